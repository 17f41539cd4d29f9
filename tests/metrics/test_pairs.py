import numpy as np
import pytest

from plumbline.algorithms.bootstrap import Interval
from plumbline.metrics.pairs import correlation, measure, most_wrong, pair_accuracy

SCORES = [[3.0, 1.0, 2.0], [0.0, 5.0]]
RANKS = [[[1, 3, 2], [1, 2, 2]], [[1, 2]]]  # the first prompt has two raters; the scorer has the second prompt wrong
GROUPS = ["a", "b"]
SETTINGS = {"resamples": 200, "seed": 1}


def test_every_untied_pair_of_every_rater_counts_once():
    assert pair_accuracy(SCORES, RANKS, GROUPS, **SETTINGS).value == 5 / 6  # 3 and 2 right pairs, 1 wrong


def test_equal_scores_count_half():
    assert pair_accuracy([[1.0, 1.0]], [[[1, 2]]], ["a"], **SETTINGS).value == 0.5


def test_pairs_of_a_distance_are_those_so_many_ranks_apart():
    found = {apart: pair_accuracy(SCORES, RANKS, GROUPS, **SETTINGS, apart=apart) for apart in (1, 2)}
    assert found[1].value == 4 / 5
    assert found[2] == Interval(1.0, None, None)  # one pair of one group: nothing to tell how groups vary
    assert pair_accuracy(SCORES, RANKS, GROUPS, **SETTINGS, apart=7) == Interval(None, None, None)


def test_the_interval_holds_the_value_and_narrows_with_more_groups():
    rng = np.random.default_rng(0)
    widths = []
    for prompts in (20, 500):
        scores = rng.normal(size=(prompts, 2)).tolist()
        found = pair_accuracy(scores, [[[1, 2]]] * prompts, [str(each) for each in range(prompts)], **SETTINGS)
        assert found.low <= found.value <= found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 3


def test_the_correlation_is_pearsons_and_none_where_a_number_never_varies():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 4)), rng.normal(size=(30, 4))
    second += first
    groups = [str(each) for each in range(30)]
    found = correlation(first.tolist(), second.tolist(), groups, **SETTINGS)
    assert found.value == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1])
    assert found.low < found.value < found.high
    flat = [[1.0] * 4] * 30
    assert correlation(first.tolist(), flat, groups, **SETTINGS) == Interval(None, None, None)


def test_the_most_wrong_pairs_are_the_surest_against_most_raters_one_a_prompt():
    scores = [[0.0, 1.0, 3.0], [0.0, 4.0], [0.0, 9.0], [2.0, 1.0]]
    ranks = [[[1, 2, 3], [1, 2, 3]], [[1, 2], [1, 2], [2, 1]], [[1, 2], [2, 1]], [[1, 2]]]
    found = most_wrong(scores, ranks, 9)
    assert [(each.prompt, each.better, each.worse) for each in found] == [(1, 0, 1), (0, 0, 2)]
    assert [(each.agreeing, each.raters) for each in found] == [(2, 3), (2, 2)]
    assert found[0].predicted == pytest.approx(1 / (1 + np.exp(-4)))
    assert most_wrong(scores, ranks, 1) == found[:1]


def test_a_scorer_that_knows_the_gold_score_is_as_good_as_people_let_it_be():
    gold = [[1.0, 0.5, 0.2]] * 40
    ranks = [[[1, 2, 3], [1, 2, 3], [2, 1, 3]]] * 40
    lengths = [[1.0, 2.0, 3.0]] * 40
    found = measure(gold, ranks, [str(each) for each in range(40)], lengths, gold, **SETTINGS)
    assert found["pairs"] == 360
    accuracy = {name: each["value"] for name, each in found["accuracy"].items()}
    assert accuracy["scorer"] == accuracy["gold"] == accuracy["shorter"] == pytest.approx(8 / 9)
    assert accuracy["longer"] == pytest.approx(1 / 9) and 0.3 < accuracy["random"] < 0.7
    assert found["correlation"]["gold"]["value"] == pytest.approx(1) and found["correlation"]["length"]["value"] < 0
    assert sum(each["pairs"] for each in found["calibration"]) == 360
    assert sum(each["pairs"] for each in found["accuracy_by_distance"].values()) == 360
    assert "gold" not in measure(gold, ranks, ["a"] * 40, lengths, None, **SETTINGS)["correlation"]


def test_scores_that_say_with_what_probability_they_are_right_have_no_calibration_error():
    lead = float(np.log(0.8 / 0.2))
    ranks = [[[1, 2]]] * 80 + [[[2, 1]]] * 20
    found = measure([[lead, 0.0]] * 100, ranks, ["a"] * 100, [[1.0, 1.0]] * 100, None, **SETTINGS)
    assert found["calibration"] == [{"predicted": pytest.approx(0.8), "observed": 0.8, "pairs": 100}]
    assert found["calibration_error"] == pytest.approx(0)
