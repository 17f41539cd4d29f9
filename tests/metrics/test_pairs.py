import numpy as np
import pytest
import torch

from plumbline.algorithms.bootstrap import Interval
from plumbline.metrics.pairs import correlation, measure, most_wrong, pair_accuracy

SCORES = [[3.0, 1.0, 2.0], [0.0, 5.0]]  # the second prompt is in the wrong order
GROUPS = ["a", "b"]
SETTINGS = {"resamples": 200, "seed": 1}


def votes_of(*prompts):
    """The votes of people who rank each prompt's completions, given prompt by prompt, person by person."""
    width = max(len(ranks) for people in prompts for ranks in people)
    votes = torch.zeros(len(prompts), width, width)
    for number, people in enumerate(prompts):
        for ranks in people:
            for one, first in enumerate(ranks):
                for other, second in enumerate(ranks):
                    votes[number, one, other] += (first < second) + 0.5 * (first == second and one != other)
    return votes


VOTES = votes_of([[1, 3, 2], [1, 2, 2]], [[1, 2]])


def test_every_vote_counts_once_and_a_tie_half_each_way():
    assert pair_accuracy(SCORES, VOTES, GROUPS, **SETTINGS).value == 5.5 / 7


def test_equal_scores_count_half():
    assert pair_accuracy([[1.0, 1.0]], votes_of([[1, 2]]), ["a"], **SETTINGS).value == 0.5


def test_prompts_without_a_vote_are_not_drawn():
    found = pair_accuracy(SCORES, VOTES * torch.tensor([0, 1])[:, None, None], GROUPS, **SETTINGS)
    assert found == Interval(0.0, None, None)  # one group: nothing to tell how groups vary
    assert pair_accuracy(SCORES, 0 * VOTES, GROUPS, **SETTINGS) == Interval(None, None, None)


def test_the_interval_holds_the_value_and_narrows_with_more_groups():
    rng = np.random.default_rng(0)
    widths = []
    for prompts in (20, 500):
        scores, votes = rng.normal(size=(prompts, 2)).tolist(), votes_of(*[[[1, 2]]] * prompts)
        found = pair_accuracy(scores, votes, [str(each) for each in range(prompts)], **SETTINGS)
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


def test_the_most_wrong_pairs_are_the_surest_against_most_people_one_a_prompt():
    scores = [[0.0, 1.0, 3.0], [0.0, 4.0], [0.0, 9.0], [2.0, 1.0]]
    votes = votes_of([[1, 2, 3], [1, 2, 2]], [[1, 2], [1, 2], [2, 1]], [[1, 2], [2, 1]], [[1, 2]])
    found = most_wrong(scores, votes, 9)
    assert [(each.prompt, each.better, each.worse) for each in found] == [(1, 0, 1), (0, 0, 2)]
    assert [(each.agreeing, each.people) for each in found] == [(2, 3), (2, 2)]
    assert found[0].predicted == pytest.approx(1 / (1 + np.exp(-4)))
    assert most_wrong(scores, votes, 1) == found[:1]


def measured(scores, people, ranks, lengths, gold=None):
    groups = [str(each) for each in range(len(scores))]
    return measure(scores, votes_of(*people), torch.tensor(ranks), groups, lengths, gold, **SETTINGS)


def test_a_scorer_that_knows_the_gold_score_agrees_with_people_but_for_their_noise_and_with_every_majority():
    gold = [[1.0, 0.5, 0.2]] * 40
    people = [[[1, 2, 3], [1, 2, 3], [2, 1, 3]]] * 40
    ranks, lengths = [[1, 2, 3]] * 40, [[1.0, 2.0, 3.0]] * 40
    found = measured(gold, people, ranks, lengths, gold)
    assert (found["pairs"], found["counted_votes"]) == (120, 360)
    accuracy = {name: each["value"] for name, each in found["accuracy"].items()}
    assert accuracy["scorer"] == accuracy["gold"] == accuracy["shorter"] == pytest.approx(8 / 9)
    assert accuracy["longer"] == pytest.approx(1 / 9) and 0.3 < accuracy["random"] < 0.7
    most = {name: each["value"] for name, each in found["majority_accuracy"].items()}
    assert most["scorer"] == most["gold"] == most["shorter"] == 1 and most["longer"] == 0
    assert found["correlation"]["gold"]["value"] == pytest.approx(1) and found["correlation"]["length"]["value"] < 0
    assert sum(each["pairs"] for each in found["calibration"]) == 120
    by_distance = found["accuracy_by_distance"]
    assert {apart: (each["pairs"], each["value"]) for apart, each in by_distance.items()} == {
        "1": (80, pytest.approx(5 / 6)),
        "2": (40, 1.0),
    }
    assert "gold" not in measured(gold, people, ranks, lengths)["correlation"]


def test_pairs_of_even_votes_have_no_right_order_but_a_right_probability():
    people = [[[1, 1, 2]], [[1, 2, 3], [2, 1, 3]]]
    scores = [[0.0, 0.0, -1.0]] * 2
    found = measured(scores, people, [[1, 1, 2]] * 2, [[1.0, 2.0, 3.0]] * 2)
    assert (found["pairs"], found["counted_votes"]) == (4, 6)
    assert found["accuracy"]["scorer"]["value"] == 1
    assert found["calibration"][0] == {"predicted": 0.5, "observed": 0.5, "pairs": 2}
    assert sum(each["pairs"] for each in found["calibration"]) == 6


def test_scores_that_say_what_share_of_people_agrees_have_no_calibration_error():
    lead = float(np.log(0.8 / 0.2))
    people = [[[1, 2]] * 4 + [[2, 1]]] * 100
    found = measured([[lead, 0.0]] * 100, people, [[1, 2]] * 100, [[1.0, 1.0]] * 100)
    [only] = found["calibration"]
    assert only == {"predicted": pytest.approx(0.8), "observed": pytest.approx(0.8), "pairs": 100}
    assert found["calibration_error"] == pytest.approx(0)
