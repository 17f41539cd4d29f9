"""The questions about the articles: their evidence is exact, and their answers follow from it."""

import datetime
import re
from collections import Counter

import pytest

from plumbline.world.articles import articles, labels, policy_facts, product_facts, sections
from plumbline.world.questions import UNANSWERABLE, matches, questions, raw
from plumbline.world.shop import full_day, make_shop

SHOP = make_shop("questions", products=20, customers=12, agents=4, orders=30)
ARTICLES = articles(SHOP, 80, "test")
TEXTS = {article["id"]: article["text"] for article in ARTICLES}
ROWS = questions(SHOP, ARTICLES, 2000, "test")


def of_kind(kind):
    return [row for row in ROWS if row["kind"] == kind]


def values(row):
    return [TEXTS[place["article"]][place["start"] : place["end"]] for place in row["evidence"]]


def test_the_same_seed_gives_the_same_questions_and_another_seed_others():
    assert questions(SHOP, ARTICLES, 50, "test") == ROWS[:50]
    assert [row["question"] for row in questions(SHOP, ARTICLES, 50, "other")] != [row["question"] for row in ROWS[:50]]


def test_ids_are_unique_and_no_question_is_asked_twice_of_a_passage():
    assert len({row["id"] for row in ROWS}) == len({(row["question"], row["passage"]) for row in ROWS}) == len(ROWS)


def test_all_kinds_are_asked():
    assert set(Counter(row["kind"] for row in ROWS)) == {"single", "multi_part", "filter", "unanswerable"}
    assert min(Counter(row["kind"] for row in ROWS).values()) > 100


def test_the_evidence_is_a_fact_of_the_shop_to_the_letter():
    stated = set(policy_facts(SHOP).values())
    for product in SHOP.products:
        stated |= set(product_facts(SHOP, product).values())
    for row in ROWS:
        assert set(values(row)) <= stated


def test_the_answer_holds_the_words_of_the_evidence():
    for row in ROWS:
        assert row["answers"][0] == row["answer"]
        for value in values(row):
            assert all(value in answer for answer in row["answers"])
        if row["kind"] in ("single", "filter") and not row["answer"].startswith(("Yes, ", "No, ")):
            assert row["answer"] == values(row)[0]


def test_the_passage_is_whole_sections_that_hold_the_evidence():
    by_article = {article["id"]: sections(article) for article in ARTICLES}
    for row in ROWS:
        texts = [
            next(part["text"] for part in by_article[place["article"]] if part["start"] <= place["start"] < part["end"])
            for place in row["evidence"]
        ]
        if texts:
            assert row["passage"] == "\n\n".join(texts)
        else:
            assert row["passage"] in [part["text"] for part in by_article[row["group"]]]


def test_the_passage_of_an_unanswerable_question_does_not_say():
    products = {name: product for product in SHOP.products for name in [labels(SHOP)[product.sku]]}
    for row in of_kind("unanswerable"):
        assert (row["answer"], row["answers"], row["evidence"]) == (UNANSWERABLE, [UNANSWERABLE], [])
        asked = [product for name, product in products.items() if name in row["question"]]
        for product in asked:
            for word, field in (
                ("cost", "price"),
                ("warranty", "warranty"),
                ("stars", "rating"),
                ("spare", "spare_part"),
            ):
                if word in row["question"]:
                    assert product_facts(SHOP, product)[field] not in row["passage"]
    words = {
        "restocking": "restocking_percent",
        "gift card": "gift_card_months",
        "opening hours": "support_hours",
        "gold discount": "gold_discount_percent",
        "report damage": "damage_report_days",
        "delivery free": "free_from",
        "price match": "price_match_days",
    }
    asked_of = [
        (row, fact) for row in of_kind("unanswerable") for word, fact in words.items() if word in row["question"]
    ]
    assert len(asked_of) > 20
    assert all(policy_facts(SHOP)[fact] not in row["passage"] for row, fact in asked_of)


def test_yes_and_no_agree_with_the_rules():
    rules = SHOP.policies
    seen = Counter()
    for row in ROWS:
        if row["answer"].startswith(("Yes, ", "No, ")):
            yes = row["answer"].startswith("Yes")
            if "delivery is free" in row["answer"]:
                amount = float(re.search(r"([\d.]+) marks", row["question"])[1])
                assert yes == (amount * 100 >= rules.free_from)
            elif "desk is open" in row["answer"]:
                hour = int(re.search(r"(\d+):00", row["question"])[1])
                assert yes == (rules.support_opens <= hour < rules.support_closes)
            else:
                case = int(re.search(r"(\d+) (?:day|hour|month)s?", row["question"])[1])
                assert yes == (case <= int(re.search(r"(\d+) (?:day|hour|month)s?", row["answer"])[1]))
            seen[yes] += 1
    assert min(seen.values()) > 50


def test_filters_are_true_of_the_article_and_stand_in_the_question():
    by_id = {article["id"]: article for article in ARTICLES}
    for row in of_kind("filter"):
        assert row["filters"]
        assert matches(by_id[row["group"]], row["filters"])
        for name in ("category", "author", "audience"):
            assert row["filters"].get(name, "") in row["question"]
        for name in ("updated_after", "updated_before"):
            if name in row["filters"]:
                assert full_day(datetime.date.fromisoformat(row["filters"][name])) in row["question"]
    assert all(row["filters"] == {} for row in ROWS if row["kind"] != "filter")


def test_a_question_about_the_product_described_there_fits_one_article_only():
    rows = [row for row in of_kind("filter") if "described there" in row["question"]]
    assert rows
    for row in rows:
        assert [article["id"] for article in ARTICLES if matches(article, row["filters"])] == [row["group"]]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"category": "kitchen"}, True),
        ({"category": "garden"}, False),
        ({"updated_after": "2031-05-01"}, False),
        ({"updated_after": "2031-04-30", "updated_before": "2031-05-02"}, True),
        ({"updated_before": "2031-05-01"}, False),
    ],
)
def test_dates_bound_an_article_exclusively(filters, expected):
    assert matches({"category": "kitchen", "updated": "2031-05-01"}, filters) is expected


def test_both_parts_of_a_question_stand_in_two_sections_of_one_article():
    for row in of_kind("multi_part"):
        first, second = row["evidence"]
        assert first["article"] == second["article"] == row["group"]
        assert row["answer"] == "; ".join(values(row))
        assert len(row["parts"]) == 2
        assert row["passage"].count("\n\n") >= 3  # two headings, two bodies
    assert all(row["parts"] == [] for row in ROWS if row["kind"] != "multi_part")


def test_the_group_is_the_article_of_the_evidence():
    assert all(place["article"] == row["group"] for row in ROWS for place in row["evidence"])
    assert all(row["group"] in TEXTS for row in ROWS)


def test_few_products_and_few_articles_are_enough():
    for number in range(12):
        shop = make_shop(f"small {number}", products=1 + number % 4, customers=1, agents=1, orders=1)
        assert len(questions(shop, articles(shop, 1 + number, "small"), 40, "small")) == 40
    with pytest.raises(ValueError, match="at least one article"):
        questions(SHOP, [], 1, "none")


def test_a_row_fits_a_small_models_context():
    assert max(len(raw(row)) for row in ROWS) < 1500


def test_the_wording_is_rich_also_without_its_names_and_numbers():
    names = sorted(labels(SHOP).values(), key=len, reverse=True)
    bare = set()
    for row in of_kind("single"):
        text = row["question"]
        for name in names:
            text = text.replace(name, "<name>")
        bare.add(re.sub(r"\d+", "0", text))
    assert len(bare) > 0.5 * len(of_kind("single"))


def test_a_raw_document_holds_passage_question_and_answer_in_several_layouts():
    beginnings = set()
    for row in ROWS[:200]:
        document = raw(row)
        assert row["question"] in document
        assert row["answer"] in document
        assert row["passage"].splitlines()[-1] in document
        beginnings.add(document[:5])
    assert {"Passa", "# FAQ", "kind:"} <= beginnings
