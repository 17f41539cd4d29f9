"""The traces: every observation is what the tools return, and every answer is the shop's."""

import re
from collections import Counter, defaultdict

import pytest

from plumbline.world.articles import articles, labels, policy_facts, product_facts
from plumbline.world.shop import make_shop
from plumbline.world.traces import NO_RESULT, NOT_STATED, Reader, raw, sentences, traces

SHOP = make_shop("traces", products=20, customers=12, agents=4, orders=30)
ARTICLES = articles(SHOP, 80, "test")
ROWS = traces(SHOP, ARTICLES, 600, "test")


def plain_sentences(text):
    """A slow second way to the sentences of an article, without offsets."""
    found = []
    for line in text.splitlines():
        if line.strip() and line[0] not in "#|":
            line = re.sub(r"^(- |\d+\. )", "", line).replace("**", "")
            found += [part for part in re.split(r"(?<=[.!?]) ", line) if part]
    return found


def replay(steps):
    """What a slow second reader observes: it walks through all articles at every step."""
    names = labels(SHOP)
    ranks = ["product_guide", "troubleshooting", "howto", "comparison"]
    page, keyword, place = None, None, 0
    for step in steps:
        kind, _, argument = step["action"].removesuffix("]").partition("[")
        if kind == "Search":
            keyword = None
            titled = [article for article in ARTICLES if article["title"].lower() == argument.lower()]
            about = [
                article
                for rank in ranks
                for article in ARTICLES
                if article["kind"] == rank
                and article["product"]
                and argument.lower() in (article["product"].lower(), names[article["product"]].lower())
            ]
            page = next(iter(titled + about), None)
            if page is None:
                yield None
                continue
            shown = plain_sentences(page["text"])[:5]
            while len(shown) > 1 and sum(len(sentence.split()) for sentence in shown) > 45:
                shown.pop()
            yield " ".join(shown)
        elif kind == "Lookup":
            place = place + 1 if keyword == argument.lower() else 1
            keyword = argument.lower()
            found = [sentence for sentence in plain_sentences(page["text"]) if keyword in sentence.lower()]
            yield f"(Result {place} / {len(found)}) {found[place - 1]}" if place <= len(found) else NO_RESULT
        else:
            yield ""


def test_the_same_seed_gives_the_same_traces_and_another_seed_others():
    assert traces(SHOP, ARTICLES, 30, "test") == ROWS[:30]
    assert traces(SHOP, ARTICLES, 30, "other") != ROWS[:30]


def test_ids_are_unique_and_no_trace_comes_twice():
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({str((row["question"], row["steps"])) for row in ROWS}) == len(ROWS)


def test_every_observation_is_what_a_second_slower_reader_observes():
    titles = {article["title"] for article in ARTICLES}
    failed = 0
    for row in ROWS:
        for step, expected in zip(row["steps"], replay(row["steps"]), strict=True):
            if expected is None:
                failed += 1
                head, _, similar = step["observation"].partition(" Similar: ")
                assert head == f"Could not find {step['action'][7:-1]}."
                assert set(similar.removesuffix(".").split("; ")) <= titles
            else:
                assert step["observation"] == expected
    assert failed > 30


def test_a_trace_has_two_to_five_steps_and_ends_with_its_answer():
    for row in ROWS:
        assert 2 <= len(row["steps"]) <= 5
        assert row["steps"][-1] == row["steps"][-1] | {"action": f"Finish[{row['answer']}]", "observation": ""}
        assert row["steps"][0]["action"].startswith("Search[")
        assert all(not step["action"].startswith("Finish") for step in row["steps"][:-1])
    assert set(Counter(len(row["steps"]) for row in ROWS)) == {2, 3, 4, 5}


def test_the_answer_was_observed_before_it_is_given():
    facts = set(policy_facts(SHOP).values())
    for product in SHOP.products:
        facts |= set(product_facts(SHOP, product).values())
    for row in ROWS:
        observed = " ".join(step["observation"] for step in row["steps"])
        if row["answer"] in facts:
            assert row["answer"] in observed
        elif row["answer"].startswith(("Yes, ", "No, ")):
            assert any(fact in observed and fact in row["answer"] for fact in facts)
        elif row["answer"] == NOT_STATED:
            assert NO_RESULT in observed
        else:
            assert row["answer"] in labels(SHOP).values()


def test_the_better_of_two_products_is_the_better_by_the_shops_own_numbers():
    products = {labels(SHOP)[product.sku]: product for product in SHOP.products}
    compared = 0
    for row in ROWS:
        if row["answer"] in products:
            winner = products[row["answer"]]
            loser = next(products[name] for name in products if name in row["question"] and name != row["answer"])
            question = row["question"]
            if "warranty" in question:
                gap = winner.warranty_months - loser.warranty_months
            elif re.search("rate|rating|stars", question):
                gap = winner.rating - loser.rating
            else:
                gap = winner.price - loser.price
            assert gap != 0
            assert (gap < 0) == bool(re.search("cheaper|less|shorter|lower|fewer", question))
            compared += 1
    assert compared > 40


def test_an_article_is_read_in_one_group_only():
    groups = defaultdict(set)
    reader = Reader(SHOP, ARTICLES)
    for row in ROWS:
        for step in row["steps"]:
            reader.run(step["action"])
            if reader.open is not None:
                groups[reader.open].add(row["group"])
    assert len(groups) > 30
    assert all(len(group) == 1 for group in groups.values())


def test_sentences_are_places_in_the_text_and_leave_out_headings_and_tables():
    text = "# Title\n\nOne costs 2.50 marks. Two?\n\n| a | b |\n\n- **Item**: x\n1. Step.\n"
    assert [text[start:end] for start, end in sentences(text)] == [
        "One costs 2.50 marks.",
        "Two?",
        "**Item**: x",
        "Step.",
    ]


def test_lookup_walks_through_the_results_starts_again_with_another_keyword_and_needs_an_open_article():
    reader = Reader(SHOP, ARTICLES)
    assert reader.run("Lookup[days]") == "Search for an article first."
    article = next(article for article in ARTICLES if len(re.findall("days", article["text"])) > 3)
    reader.run(f"Search[{article['title'].upper()}]")
    first = reader.run("Lookup[days]")
    second = reader.run("Lookup[days]")
    assert first.startswith("(Result 1 / ")
    assert second.startswith("(Result 2 / ")
    assert reader.run("Lookup[no such word]") == NO_RESULT
    assert reader.run("Lookup[days]") == first
    reader.run("Search[nothing at all like this]")
    assert reader.run("Lookup[days]") == "Search for an article first."


@pytest.mark.parametrize("action", ["Search", "Look[up]", "Search[a] Search[b", "finish[x]", ""])
def test_an_action_that_does_not_exist_is_refused(action):
    with pytest.raises(ValueError, match="no such action"):
        Reader(SHOP, ARTICLES).run(action)


def test_few_products_and_few_articles_are_enough():
    for number in range(12):
        shop = make_shop(f"small {number}", products=1 + number % 4, customers=1, agents=1, orders=1)
        assert len(traces(shop, articles(shop, 1 + number, "small"), 30, "small")) == 30
    with pytest.raises(ValueError, match="at least one article"):
        traces(SHOP, [], 1, "none")


def test_a_trace_is_short_enough_for_a_small_models_context_and_its_raw_text_shows_every_step():
    for row in ROWS:
        text = raw(row)
        assert len(text) < 1500
        assert text.startswith(f"Question: {row['question']}\n")
        for number, step in enumerate(row["steps"], 1):
            assert f"Thought {number}: {step['thought']}\nAction {number}: {step['action']}\n" in text
            assert not step["observation"] or f"Observation {number}: {step['observation']}\n" in text
