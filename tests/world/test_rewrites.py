"""The style guide: a polite reply keeps every fact of the blunt one and loses its tone."""

import re

import pytest

from plumbline.world.rewrites import MATTERS, raw, rewrites
from plumbline.world.shop import MONTHS, Shop, make_shop

NUMBERS = re.compile(r"[A-Z]{2}\d{5}|\d+:\d+|\d+(?:\.\d+)?")
DATES = re.compile(rf"\d+ (?:{'|'.join(MONTHS)})")


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop("tests", products=40, customers=30, agents=6, orders=60)


@pytest.fixture(scope="module")
def rows(shop: Shop) -> list[dict]:
    return rewrites(shop, 2000, "tests")


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others(shop: Shop) -> None:
    assert rewrites(shop, 20, "one") == rewrites(shop, 20, "one")
    assert rewrites(shop, 20, "one") != rewrites(shop, 20, "two")


def test_no_row_repeats_an_id_a_group_or_a_reply(rows: list[dict]) -> None:
    for key in ("id", "group", "rough"):
        assert len({row[key] for row in rows}) == len(rows)


def test_both_replies_hold_the_same_numbers_and_dates(rows: list[dict]) -> None:
    for row in rows:
        for pattern in (NUMBERS, DATES):
            assert set(pattern.findall(row["rough"])) == set(pattern.findall(row["polite"])), row


def test_both_replies_name_customer_product_and_agent(rows: list[dict], shop: Shop) -> None:
    products = {product.name for product in shop.products}
    for row in rows:
        customer = re.match(r"Dear (\w+), ", row["polite"])
        agent = re.search(r" Kind regards, (\w+)$", row["polite"])
        assert customer and agent, row["polite"]
        assert customer[1] in row["rough"] and agent[1] in row["rough"]
        named = {product for product in products if product in row["polite"]}
        assert named == {product for product in products if product in row["rough"]}
        assert named


def test_the_polite_reply_has_few_forms_and_the_blunt_one_thousands(rows: list[dict], shop: Shop) -> None:
    def template(text: str) -> str:
        for product in shop.products:
            text = text.replace(product.name, "PRODUCT")
        for name in {person.first for person in shop.customers} | set(shop.agents):
            text = re.sub(rf"\b{name}\b", "NAME", text)
        text = re.sub(r" (is|are|arrives?) ", " IS ", text)
        return NUMBERS.sub("NUMBER", DATES.sub("DATE", text))

    assert len({template(row["polite"]) for row in rows}) <= 4 * len(MATTERS)
    assert len({template(row["rough"]) for row in rows[:1000]}) >= 950


def test_lengths_keep_within_their_limits(rows: list[dict]) -> None:
    for row in rows:
        assert 15 <= len(row["rough"].split()) <= 75
        assert 25 <= len(row["polite"].split()) <= 60
        assert row["rough"].isascii()
        assert not re.search(r"[\[\]{}|]|  | [,.;!?]|[,?!][,.]|\.\?", row["rough"] + row["polite"]), row


@pytest.mark.parametrize("size", range(1, 6))
def test_a_small_shop_is_enough(size: int) -> None:
    small = make_shop(f"small {size}", products=size, customers=1, agents=1, orders=size)
    assert len(rewrites(small, 60, "tests")) == 60


def test_a_page_of_the_style_guide_holds_both_replies_and_is_fixed_by_the_row(rows: list[dict]) -> None:
    for row in rows[:200]:
        assert row["rough"] in raw(row) and row["polite"] in raw(row)
        assert raw(row) == raw(row)
