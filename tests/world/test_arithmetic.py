import re

import pytest

from plumbline.world.arithmetic import STORIES, arithmetic, raw
from plumbline.world.shop import Shop, make_shop

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop("arithmetic", products=40, customers=30, agents=6, orders=60)


@pytest.fixture(scope="module")
def rows(shop: Shop) -> list[dict]:
    return arithmetic(shop, 1500, "law")


def solution(program: str) -> float:
    names: dict = {}
    exec(program, names)
    return names["solution"]()


def test_running_the_program_gives_the_answer(rows: list[dict]) -> None:
    for row in rows:
        assert solution(row["program"]) == float(row["answer"]), row


def test_the_last_number_of_the_steps_is_the_answer(rows: list[dict]) -> None:
    for row in rows:
        assert NUMBER.findall(row["steps"])[-1] == row["answer"], row


def test_every_step_is_one_true_computation(rows: list[dict]) -> None:
    for row in rows:
        lines = row["steps"].split("\n")
        assert 2 <= len(lines) <= 5
        for line in lines:
            left, right = re.fullmatch(r".+?: (\S+ [-+*/] \S+) = (\S+)", line).groups()
            assert round(eval(left), 2) == float(right), line


def test_every_number_that_a_program_starts_from_stands_in_its_question(rows: list[dict]) -> None:
    for row in rows:
        given = re.findall(r"^    \w+ = (\d+(?:\.\d+)?)$", row["program"], re.MULTILINE)
        assert given
        assert set(given) <= set(NUMBER.findall(row["question"])), row


def test_a_program_holds_nothing_but_arithmetic(rows: list[dict]) -> None:
    line = re.compile(r"def solution\(\):|    # .+|    \w+ = [\w.]+( [-+*/] \w+)?|    return (\w+|round\(\w+, 2\))")
    for row in rows:
        for program_line in row["program"].split("\n"):
            assert line.fullmatch(program_line), program_line


def test_answers_are_neither_negative_nor_finer_than_the_smallest_coin(rows: list[dict]) -> None:
    for row in rows:
        assert re.fullmatch(r"\d+(\.\d\d)?", row["answer"]), row
        assert row["unit"]


def test_the_same_seed_tells_the_same_stories_and_another_seed_tells_others(shop: Shop) -> None:
    assert arithmetic(shop, 60, "one") == arithmetic(shop, 60, "one")
    assert arithmetic(shop, 60, "one")[:20] == arithmetic(shop, 20, "one")
    assert not {row["question"] for row in arithmetic(shop, 60, "one")} & {
        row["question"] for row in arithmetic(shop, 60, "two")
    }


def test_ids_and_questions_are_unique(rows: list[dict]) -> None:
    assert len({row["id"] for row in rows}) == len({row["question"] for row in rows}) == len(rows)


def test_questions_differ_in_more_than_their_numbers_and_names(rows: list[dict]) -> None:
    shapes = {re.sub(r"\b[A-Z]\w+|\d[\d.]*", "_", row["question"]) for row in rows}
    assert len(shapes) > 0.8 * len(rows)


def test_all_levels_of_difficulty_are_there(rows: list[dict]) -> None:
    share = [sum(row["difficulty"] == level for row in rows) / len(rows) for level in (1, 2, 3)]
    assert min(share) > 0.15 and sum(share) == pytest.approx(1)


def test_a_tiny_shop_has_every_story_to_tell() -> None:
    tiny = make_shop("tiny", products=1, customers=1, agents=1, orders=1)
    assert len(arithmetic(tiny, 40 * len(STORIES), "tiny")) == 40 * len(STORIES)


def test_raw_sheets_come_in_several_layouts_show_the_answer_and_fit_the_context(rows: list[dict]) -> None:
    texts = [raw(row) for row in rows]
    assert texts == [raw(row) for row in rows]
    assert len({text[:9] for text in texts}) > 5
    for row, text in zip(rows, texts, strict=True):
        assert row["question"] in text and row["answer"] in text
        assert len(text) < 1000
