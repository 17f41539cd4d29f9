import random
import re
from itertools import combinations

import pytest

from plumbline.world.grading import grade
from plumbline.world.instructions import instructions
from plumbline.world.replies import GOLD, RUBRIC, WEIGHTS, dispersion, hidden, ranks, raw, replies, score, seen
from plumbline.world.shop import Shop, make_shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop("replies", products=40, customers=30, agents=6, orders=60)


@pytest.fixture(scope="module")
def rows(shop: Shop) -> list[dict]:
    return replies(shop, 3000, "law", noise=0.10, raters=3)


def pairs(row: dict) -> list[tuple[int, int]]:
    return list(combinations(range(4), 2))


def test_annotators_put_a_tenth_of_all_pairs_in_the_wrong_order(rows: list[dict]) -> None:
    wrong = [
        (ranking["ranks"][one] < ranking["ranks"][two]) != (row["gold"][one] > row["gold"][two])
        for row in rows
        for ranking in row["rankings"]
        for one, two in pairs(row)
    ]
    assert sum(wrong) / len(wrong) == pytest.approx(0.10, abs=0.01)


def test_annotators_mix_up_neighbours_more_often_than_the_best_and_the_worst(rows: list[dict]) -> None:
    best_last = neighbours = 0
    for row in rows:
        order = sorted(range(4), key=lambda place: -row["gold"][place])
        for ranking in row["rankings"]:
            best_last += ranking["ranks"][order[0]] > ranking["ranks"][order[3]]
            neighbours += ranking["ranks"][order[0]] > ranking["ranks"][order[1]]
    assert neighbours > 5 * best_last


def test_a_ranking_is_a_permutation_and_raters_have_names(rows: list[dict]) -> None:
    for row in rows:
        assert [ranking["rater"] for ranking in row["rankings"]] == ["rater-1", "rater-2", "rater-3"]
        assert all(sorted(ranking["ranks"]) == [1, 2, 3, 4] for ranking in row["rankings"])


def test_without_noise_every_annotator_ranks_by_the_gold_score(shop: Shop) -> None:
    for row in replies(shop, 50, "quiet", noise=0.0, raters=2):
        for ranking in row["rankings"]:
            by_rank = [gold for _, gold in sorted(zip(ranking["ranks"], row["gold"], strict=True))]
            assert by_rank == sorted(row["gold"], reverse=True)


def test_at_a_noise_of_one_half_annotators_know_nothing(shop: Shop) -> None:
    rng = random.Random("half")
    drawn = [tuple(ranks(rng, [0.9, 0.7, 0.4, 0.1], 0.5)) for _ in range(4800)]
    assert len(set(drawn)) == 24
    assert all(drawn.count(ranking) == pytest.approx(200, abs=60) for ranking in set(drawn))


@pytest.mark.parametrize("noise", [-0.1, 0.6])
def test_a_noise_outside_zero_to_a_half_is_refused(shop: Shop, noise: float) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        replies(shop, 1, "loud", noise=noise, raters=1)


def test_two_items_change_places_with_the_probability_asked_for() -> None:
    # of two items the worse one jumps ahead with probability d / (1 + d)
    spread = dispersion(0.2, 2)
    assert spread / (1 + spread) == pytest.approx(0.2)


def test_noise_and_raters_leave_the_texts_alone(shop: Shop) -> None:
    def texts(noise: float, raters: int) -> list:
        return [{**row, "rankings": None} for row in replies(shop, 40, "same", noise, raters)]

    assert texts(0.0, 1) == texts(0.3, 5)


def test_neither_the_longer_nor_the_shorter_reply_is_the_better_one(rows: list[dict]) -> None:
    longer = [
        (len(row["replies"][one]) > len(row["replies"][two])) == (row["gold"][one] > row["gold"][two])
        for row in rows
        for one, two in pairs(row)
        if len(row["replies"][one]) != len(row["replies"][two])
    ]
    assert 0.40 < sum(longer) / len(longer) < 0.60  # 'shorter wins' is the rest


def test_gold_is_the_score_of_the_grades_and_no_two_replies_tie(rows: list[dict]) -> None:
    for row in rows:
        assert row["gold"] == [score(rubric) for rubric in row["rubric"]]
        assert len(set(row["gold"])) == len(set(row["replies"])) == 4
        assert max(row["gold"]) == 1.0 and min(row["gold"]) >= 0


def test_the_score_of_a_worked_case() -> None:
    # 0.4 * 0.5 + 0.2 * 1 + 0.25 * 0 + 0.15 * 0.5, by hand
    assert score({"correct": 0.5, "complete": 1.0, "polite": 0.0, "concise": 0.5}) == 0.475


def test_the_written_rubric_names_every_quality_with_its_weight() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert max(WEIGHTS, key=WEIGHTS.__getitem__) == "correct"
    assert all(f"{quality} {weight:g}" in RUBRIC for quality, weight in WEIGHTS.items())


def test_every_number_of_a_correct_reply_stands_in_the_message_and_a_wrong_reply_differs(rows: list[dict]) -> None:
    number = re.compile(r"\d[\d.]*\d|\d")
    for row in rows:
        known = set(number.findall(row["message"]))
        for text, rubric in zip(row["replies"], row["rubric"], strict=True):
            if rubric["correct"] == 1 and rubric["concise"] == 1:
                assert set(number.findall(text)) <= known, (row["message"], text)


def test_qualities_vary_on_their_own(rows: list[dict]) -> None:
    flawed = [rubric for row in rows for rubric, gold in zip(row["rubric"], row["gold"], strict=True) if gold < 1]
    for quality in WEIGHTS:
        lost = sum(rubric[quality] < 1 for rubric in flawed) / len(flawed)
        assert 0.25 < lost < 0.65, quality
        assert any(
            all(rubric[other] == (1 if other != quality else rubric[other]) for other in WEIGHTS) for rubric in flawed
        )


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others(shop: Shop) -> None:
    assert replies(shop, 30, "one", 0.1, 2) == replies(shop, 30, "one", 0.1, 2)
    assert replies(shop, 30, "one", 0.1, 2)[:10] == replies(shop, 10, "one", 0.1, 2)
    one, two = ({row["message"] for row in replies(shop, 30, seed, 0.1, 2)} for seed in ("one", "two"))
    assert not one & two


def test_ids_and_messages_are_unique_and_an_order_is_a_group(rows: list[dict]) -> None:
    assert len({row["id"] for row in rows}) == len({row["message"] for row in rows}) == len(rows)
    for row in rows:
        assert row["group"].removeprefix("order-") in row["context"]
        assert row["message"].startswith(row["context"])


def test_mails_and_replies_differ_in_more_than_their_facts(rows: list[dict]) -> None:
    def shape(text: str) -> str:
        return re.sub(r"\b[A-Z]\w+|\d[\d.]*", "_", text)

    assert len({shape(row["message"].removeprefix(row["context"])) for row in rows}) > 0.95 * len(rows)
    assert len({shape(text) for row in rows for text in row["replies"]}) > 0.8 * 4 * len(rows)


def test_what_is_seen_and_what_is_hidden_make_the_row_and_no_gold_is_seen(rows: list[dict]) -> None:
    for row in rows[:100]:
        assert {**seen(row), **hidden(row)} == row
        assert not seen(row).keys() & set(GOLD)


def test_demonstrations_have_their_facts_right_and_manners_of_every_kind_and_their_messages_names(rows) -> None:
    shown = instructions([], [], [], rows[:800])
    assert [(row["id"], row["group"], row["fields"]["prompt"]) for row in shown] == [
        (row["id"], row["group"], row["message"]) for row in rows[:800]
    ]
    grades = [grade(each["answer"], row["facts"]) for row, each in zip(rows, shown, strict=False)]
    assert all(each["correct"] == 1 for each in grades)
    assert all(
        0.3 < sum(each[quality] < 1 for each in grades) / len(grades) < 0.6
        for quality in WEIGHTS
        if quality != "correct"
    )
    assert shown == instructions([], [], [], rows[:800])


def test_a_tiny_shop_is_enough() -> None:
    tiny = make_shop("tiny", products=1, customers=1, agents=1, orders=1)
    assert len(replies(tiny, 200, "tiny", 0.1, 1)) == 200


def test_raw_documents_come_in_several_layouts_and_hold_the_best_reply(rows: list[dict]) -> None:
    texts = [raw(row) for row in rows]
    assert texts == [raw(row) for row in rows]
    assert len({text.split("\n")[0][:7] for text in texts}) > 5
    for row, text in zip(rows, texts, strict=True):
        assert row["replies"][row["gold"].index(1.0)] in text
    assert sorted(map(len, texts))[int(0.95 * len(texts))] < 1300
