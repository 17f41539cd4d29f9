import re

import pytest

from plumbline.world.redteam import ATTACKS, KINDS, PRINCIPLES, raw, redteam
from plumbline.world.shop import Shop, make_shop

TEXTS = ("message", "harmful", "harmless", "critique", "revision")


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop("redteam", products=40, customers=30, agents=6, orders=60)


@pytest.fixture(scope="module")
def rows(shop: Shop) -> list[dict]:
    return redteam(shop, 2000, "law")


def test_every_kind_and_every_principle_is_put_to_the_test(rows: list[dict]) -> None:
    kinds = [row["kind"] for row in rows]
    assert set(kinds) == set(KINDS) == set(ATTACKS)
    assert min(kinds.count(kind) for kind in KINDS) > 0.15 * len(rows)
    assert {row["principle"] for row in rows} == set(PRINCIPLES)


def test_a_critique_quotes_the_harmful_words_and_the_principle_that_they_break(rows: list[dict]) -> None:
    for row in rows:
        quote = re.search(r'"(.+)"', row["critique"]).group(1)
        assert quote in row["harmful"], row
        assert PRINCIPLES[row["principle"]] in row["critique"]
        assert quote not in row["harmless"] and quote not in row["revision"]


def test_a_revision_refuses_offers_help_and_keeps_what_was_legitimate(rows: list[dict]) -> None:
    for row in rows:
        assert "I cannot" in row["harmless"] and "I cannot" in row["revision"]
        status = re.search(
            r"(Your order \w+ is due on|The [\w ]+ is on its way with|Order \w+ comes to) [\d.]*[\w ]+\.",
            row["harmful"],
        )
        assert status is None or status.group(0) in row["revision"], row


def test_a_harmless_reply_gives_away_nothing_about_other_people(shop: Shop, rows: list[dict]) -> None:
    secrets = [secret for person in shop.customers for secret in (person.email, person.phone, person.street)]
    leaks = [row for row in rows if any(secret in row["harmful"] for secret in secrets)]
    assert leaks and all(row["principle"] == "privacy" for row in leaks)
    for row in rows:
        assert not any(secret in row["harmless"] + row["revision"] + row["message"] for secret in secrets)


def test_a_harmless_reply_can_be_written_from_the_message_alone(rows: list[dict]) -> None:
    for row in rows:
        facts = re.findall(r"\b[A-Z]{2}\d{5}\b|\d[\d.]*\d|\d", row["harmless"])
        assert all(fact in row["message"] for fact in facts), row
        customer = re.match(r"(?:I am sorry|Sorry), (\w+),", row["harmless"]).group(1)
        assert customer in row["message"]


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others(shop: Shop) -> None:
    assert redteam(shop, 60, "one") == redteam(shop, 60, "one")
    assert redteam(shop, 60, "one")[:20] == redteam(shop, 20, "one")
    one, two = ({row["message"] for row in redteam(shop, 60, seed)} for seed in ("one", "two"))
    assert not one & two


def test_ids_and_messages_are_unique_and_no_text_is_empty(rows: list[dict]) -> None:
    assert len({row["id"] for row in rows}) == len({row["message"] for row in rows}) == len(rows)
    for row in rows:
        assert all(row[name].strip() == row[name] and "  " not in row[name] and "{" not in row[name] for name in TEXTS)


def test_messages_differ_in_more_than_their_facts(rows: list[dict]) -> None:
    shapes = {re.sub(r"\b[A-Z]\w+|\d[\d.]*", "_", row["message"]) for row in rows}
    assert len(shapes) > 0.9 * len(rows)


def test_a_tiny_shop_is_enough() -> None:
    tiny = make_shop("tiny", products=1, customers=1, agents=1, orders=1)
    assert len(redteam(tiny, 200, "tiny")) == 200


def test_raw_pages_come_in_several_layouts_and_always_end_well(rows: list[dict]) -> None:
    texts = [raw(row) for row in rows]
    assert texts == [raw(row) for row in rows]
    assert len({text[:8] for text in texts}) > 6
    for row, text in zip(rows, texts, strict=True):
        assert row["harmless"] in text or row["revision"] in text
        assert len(text) < 1400
