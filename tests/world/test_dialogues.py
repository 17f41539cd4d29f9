"""The conversations: every summary can be derived from its text, and no text is a template with other names."""

import random
import re
from collections import Counter

import pytest
from rouge_score.rouge_scorer import RougeScorer

from plumbline.world.dialogues import CASES, RESOLUTIONS, dialogues, misheard, raw
from plumbline.world.shop import INTENTS, SENTIMENTS, Shop, make_shop

NUMBERS = re.compile(r"[A-Z]{2}\d{5}|\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop("tests", products=40, customers=30, agents=6, orders=60)


@pytest.fixture(scope="module")
def rows(shop: Shop) -> list[dict]:
    return dialogues(shop, 2000, "tests")


def with_slots(text: str, row: dict, shop: Shop) -> str:
    """The text with names, products, numbers and months taken out: what is left is its template."""
    for product in shop.products:
        text = text.replace(product.name, "PRODUCT").replace(product.noun, "NOUN")
    for person in shop.customers:
        text = text.replace(person.last, "LAST").replace(person.email, "EMAIL")
    capitals = re.sub(r"(?<=[a-z,] )[A-Z][a-z]+", "NAME", text)
    return re.sub(r"^(Agent )?\w+:", "SPEAKER:", NUMBERS.sub("NUMBER", capitals), flags=re.MULTILINE)


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others(shop: Shop) -> None:
    assert dialogues(shop, 20, "one") == dialogues(shop, 20, "one")
    other = {row["dialogue"] for row in dialogues(shop, 20, "two")}
    assert not other & {row["dialogue"] for row in dialogues(shop, 20, "one")}


def test_more_rows_of_a_seed_begin_with_the_fewer(shop: Shop) -> None:
    assert dialogues(shop, 30, "one")[:10] == dialogues(shop, 10, "one")


def test_no_row_repeats_an_id_a_group_or_a_conversation(rows: list[dict]) -> None:
    for key in ("id", "group", "dialogue"):
        assert len({row[key] for row in rows}) == len(rows)


def test_conversations_differ_by_more_than_names_and_numbers(rows: list[dict], shop: Shop) -> None:
    templates = {with_slots(row["dialogue"], row, shop) for row in rows[:1000]}
    assert len(templates) >= 950


def test_conversations_hardly_ever_open_alike(rows: list[dict], shop: Shop) -> None:
    openings = Counter(with_slots(row["dialogue"], row, shop).split("\n")[1] for row in rows[:1000])
    assert len(openings) >= 800
    assert max(openings.values()) <= 20


def test_every_fact_of_both_summaries_stands_in_the_conversation(rows: list[dict]) -> None:
    for row in rows:
        for fact in row["fields"].values():
            assert fact in row["dialogue"], (row["id"], fact)
        for summary in row["summaries"]:
            for number in NUMBERS.findall(summary):
                assert number in row["dialogue"], (row["id"], number)
        agent = row["dialogue"].partition("Agent ")[2].partition(":")[0]
        assert all(agent in summary for summary in row["summaries"])


def test_every_fact_of_the_first_summary_is_in_the_second(rows: list[dict]) -> None:
    for row in rows:
        first, second = row["summaries"]
        for fact in ("customer", "order", "product"):
            assert row["fields"][fact] in first and row["fields"][fact] in second
        assert set(NUMBERS.findall(first)) == set(NUMBERS.findall(second)), row["id"]


def test_the_first_summary_is_fixed_by_the_facts(rows: list[dict]) -> None:
    """With its values taken out, few forms are left: one for each matter and resolution that go together, and mood."""
    forms = set()
    for row in rows:
        form = row["summaries"][0]
        for fact in ("customer", "product", "order", "issue", "resolution", "date"):
            form = form.replace(row["fields"][fact], fact.upper()) if row["fields"][fact] else form
        form = NUMBERS.sub("NUMBER", form)
        forms.add(re.sub(r"(?<=\. )[A-Z][a-z]+ |\b(with|by) [A-Z][a-z]+ [A-Z][a-z]+", "", form.replace("\n", " ")))
    assert len(forms) < 400


def test_lengths_keep_within_their_limits(rows: list[dict]) -> None:
    for row in rows:
        turns = row["dialogue"].split("\n")
        assert 5 <= len(turns) <= 12
        assert 90 <= len(row["dialogue"].split()) <= 230
        assert len(row["dialogue"]) <= 1350
        assert 22 <= len(row["summaries"][0].split()) <= 45
        assert len(row["summaries"][1].split()) <= 55
        assert all(re.match(r"(Agent )?[A-Z][a-z]+: \S", turn) for turn in turns)
        assert row["dialogue"].isascii()


def test_no_wording_leaves_a_bracket_a_slot_or_a_stray_mark(rows: list[dict]) -> None:
    for row in rows:
        for text in (row["dialogue"], *row["summaries"]):
            assert not re.search(r"[\[\]{}|]|  | [,.;!?]|[,?!][,.]|\. \.|\.\?", text), (row["id"], text)


def test_intents_and_moods_all_occur_about_equally_often(rows: list[dict]) -> None:
    intents, moods = Counter(row["intent"] for row in rows), Counter(row["sentiment"] for row in rows)
    assert set(intents) == set(INTENTS) == set(CASES)
    assert set(moods) == set(SENTIMENTS)
    assert min(intents.values()) > len(rows) / 12
    assert min(moods.values()) > len(rows) / 5


def test_every_resolution_is_reached(rows: list[dict]) -> None:
    settled = {row["summaries"][0].split(". ")[1].split(" ", 1)[1][:18] for row in rows}
    for name, resolution in RESOLUTIONS.items():
        start = resolution.house.removeprefix("{agent} ").split("{")[0][:18]
        assert any(text.startswith(start) for text in settled), name


def test_in_a_correction_the_corrected_number_counts(rows: list[dict]) -> None:
    corrected = [row for row in rows if re.search(r"sorry|misread|wait|, no, ", row["dialogue"])]
    wrong = 0
    for row in corrected:
        number = row["fields"]["order"]
        for line in row["dialogue"].split("\n"):
            said = [other for other in re.findall(r"\b[A-Z]{2}\d{5}\b", line) if sorted(other) == sorted(number)]
            if len(set(said)) == 2:
                wrong += 1
                assert said[0] != number
    assert wrong > 50


def test_a_misheard_number_is_another_number_with_the_same_digits() -> None:
    rng = random.Random("misheard")
    for number in ("ZW74954", "MB48213", "AB10000", "KL12345"):
        heard = misheard(rng, number)
        assert heard != number and sorted(heard) == sorted(number)
    assert misheard(rng, "AB11111") == "AB11112"


@pytest.mark.parametrize("size", range(1, 6))
def test_a_small_shop_is_enough(size: int) -> None:
    small = make_shop(f"small {size}", products=size, customers=max(1, size - 2), agents=1, orders=size)
    for row in dialogues(small, 60, "tests"):
        assert all(fact in row["dialogue"] for fact in row["fields"].values())
        assert raw(row)


def test_the_opening_words_of_a_conversation_are_no_summary(rows: list[dict]) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    for words in (20, 30, 40, 60):
        scores = [
            scorer.score(row["summaries"][0], " ".join(row["dialogue"].split()[:words]))["rougeL"].fmeasure
            for row in rows[:200]
        ]
        assert sum(scores) / len(scores) < 0.35


def test_a_page_of_the_archive_holds_the_conversation_and_is_fixed_by_the_row(rows: list[dict]) -> None:
    pages = [raw(row) for row in rows[:300]]
    assert pages == [raw(row) for row in rows[:300]]
    for row, page in zip(rows, pages, strict=False):
        assert row["dialogue"] in page
    for key in (0, 1):
        shown = sum(row["summaries"][key] in page for row, page in zip(rows, pages, strict=False))
        assert shown > 60


def test_a_note_follows_a_conversation_only_where_a_heading_says_that_this_is_a_case(rows: list[dict]) -> None:
    after = 0
    for row in rows[:300]:
        before, _, rest = raw(row).partition(row["dialogue"])
        assert rest.startswith("\n-- closed --\n") or rest == ""
        assert before if rest else True
        after += bool(rest)
    assert 100 < after < 170
