"""The help articles: they say what the shop says, everywhere the same, and know where they say it."""

import datetime
import re
from collections import Counter

import pytest

from plumbline.world.articles import articles, labels, product_facts, raw, sections
from plumbline.world.shop import full_day, make_shop

SHOP = make_shop("articles", products=24, customers=12, agents=4, orders=30)
SMALL = make_shop("few", products=6, customers=4, agents=2, orders=6)
ALONE = make_shop("one of each", products=1, customers=1, agents=1, orders=1)
ROWS = articles(SHOP, 150, "test")
PRODUCTS = {product.sku: product for product in SHOP.products}


def numbers(unit, rows=ROWS):
    """Every whole number that stands before the unit in the texts."""
    return {int(found) for row in rows for found in re.findall(rf"(?<![\d.])(\d+) {unit}s?\b", row["text"])}


def test_the_same_seed_gives_the_same_articles_and_another_seed_others():
    assert articles(SHOP, 20, "test") == ROWS[:20]
    assert [row["text"] for row in articles(SHOP, 20, "other")] != [row["text"] for row in ROWS[:20]]


@pytest.mark.parametrize("shop", [SHOP, SMALL, ALONE], ids=["many", "few", "one"])
def test_an_article_has_200_to_900_words_and_its_sections_at_most_160(shop):
    for row in articles(shop, 60, "length"):
        assert 200 <= len(row["text"].split()) <= 900
        assert all(len(section["text"].split()) <= 160 for section in sections(row))


def test_ids_and_titles_are_unique_also_when_the_subjects_come_again():
    for shop in (SHOP, ALONE):
        rows = articles(shop, 150, "unique")
        assert len({row["id"] for row in rows}) == len({row["title"].lower() for row in rows}) == 150
        assert all(row["group"] == row["id"] for row in rows)


def test_all_kinds_are_written_and_every_kind_but_policies_is_about_products():
    assert set(Counter(row["kind"] for row in ROWS)) == {
        "policy",
        "product_guide",
        "howto",
        "comparison",
        "troubleshooting",
    }
    assert all(bool(row["product"]) != (row["kind"] == "policy") for row in ROWS if row["kind"] != "howto")


def test_every_noted_place_holds_the_shops_own_words():
    rules = SHOP.policies
    counts = {"_days": "day", "_hours": "hour", "_months": "month", "_percent": "", "_mark": "point"}
    seen = set()
    for row in ROWS:
        for fact in row["facts"]:
            words, name = row["text"][fact["start"] : fact["end"]], fact["name"]
            seen.add(name)
            if fact["product"]:
                product = PRODUCTS[fact["product"]]
                assert words == product_facts(SHOP, product)[name]
                if name == "price":
                    assert round(float(words.removesuffix(" marks")) * 100) == product.price
                if name == "warranty":
                    assert int(words.split()[0]) == product.warranty_months
            elif name == "support_hours":
                assert words == f"{rules.support_opens}:00 to {rules.support_closes}:00"
            elif name in ("delivery_fee", "express_fee", "free_from"):
                assert round(float(words.removesuffix(" marks")) * 100) == getattr(rules, name)
            else:
                ending = next(ending for ending in counts if name.endswith(ending))
                assert int(words.split()[0]) == getattr(rules, name)
                assert counts[ending] in words
    named = {name for name in vars(rules) if not name.startswith("support_")} | {"support_hours"}
    assert named <= seen


def test_no_article_states_a_number_that_is_not_the_shops():
    rules = SHOP.policies
    assert numbers("day") <= {
        rules.return_days,
        rules.refund_days,
        rules.delivery_days,
        rules.express_days,
        rules.damage_report_days,
        rules.price_match_days,
        rules.repair_days,
    }
    assert numbers("percent") <= {rules.restocking_percent, rules.gold_discount_percent}
    assert numbers("month") <= {rules.gift_card_months} | {product.warranty_months for product in SHOP.products}
    lives = {value for product in SHOP.products for name, value, unit in product.attributes if unit == "hours"}
    told = [row for row in ROWS if row["kind"] != "troubleshooting"]  # remedies have hours of their own
    assert numbers("hour", told) <= {rules.cancel_hours} | lives


def test_the_worked_examples_are_right():
    fee, free = SHOP.policies.delivery_fee / 100, SHOP.policies.free_from / 100
    totals = re.findall(
        r"[Aa]n order of ([\d.]+) marks, for example, comes to ([\d.]+) marks", "".join(row["text"] for row in ROWS)
    )
    assert totals
    for order, total in totals:
        assert float(order) < free
        assert round(float(order) + fee, 2) == float(total)
    returns = re.findall(
        r"parcel that arrives on (\d+ \w+) can be returned until (\d+ \w+)", "".join(row["text"] for row in ROWS)
    )
    assert returns
    for arrival, last in returns:
        first, until = (datetime.datetime.strptime(f"{text} 2032", "%d %B %Y") for text in (arrival, last))
        assert (until - first).days % 366 == SHOP.policies.return_days


def test_the_metadata_are_true_to_the_text():
    names = labels(SHOP)
    for row in ROWS:
        updated = datetime.date.fromisoformat(row["updated"])
        closing = sections(row)[-1]["text"]
        assert full_day(updated) in closing
        assert row["author"] in closing
        assert row["author"] in SHOP.agents
        assert row["audience"] in closing
        assert row["text"].startswith(f"# {row['title']}\n")
        if row["product"]:
            assert names[row["product"]] in row["text"]
            assert row["category"] == PRODUCTS[row["product"]].category
            assert updated > PRODUCTS[row["product"]].launched


def test_the_sections_are_the_article_cut_at_its_headings():
    for row in ROWS:
        parts = sections(row)
        assert len({part["id"] for part in parts}) == len(parts)
        assert all(row["text"][part["start"] : part["end"]] == part["text"] for part in parts)
        assert all(part["article"] == row["id"] for part in parts)
        assert [part["heading"] for part in parts] == re.findall(r"^#+ (.*)$", row["text"], re.MULTILINE)
        assert "\n\n".join(part["text"] for part in parts) + "\n" == row["text"]


def test_every_fact_stands_inside_one_section():
    for row in ROWS:
        parts = sections(row)
        for fact in row["facts"]:
            assert sum(part["start"] <= fact["start"] and fact["end"] <= part["end"] for part in parts) == 1


def test_nothing_of_the_templates_is_left_in_a_text():
    for row in ROWS:
        assert not re.search(r"[{}<>¦#*]{1}(?<!#)(?<!\*)|  |\|\||\n\n\n| [.,;?!]", row["text"])


def test_the_wording_differs_even_where_the_facts_are_the_same():
    """With every fact replaced by its name, hardly two sections on a rule of the shop are the same."""
    bare = []
    for row in articles(SHOP, 300, "distinct"):
        text = row["text"]
        for fact in reversed(row["facts"]):
            text = text[: fact["start"]] + f"<{fact['name']}>" + text[fact["end"] :]
        bare += [
            re.sub(r"\d+", "0", part.partition("\n")[2]) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:-1]
        ]
    assert len(set(bare)) > 0.9 * len(bare)


def test_an_archived_article_holds_its_text_and_the_layouts_differ():
    beginnings = set()
    for row in ROWS[:60]:
        document = raw(row)
        assert row["text"].strip() in document
        beginnings.add(document[:3])
    assert {"---", "<!-", "TIT"} <= beginnings
    assert raw(ROWS[0]) == raw(articles(SHOP, 1, "test")[0])
