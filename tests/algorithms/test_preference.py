"""Laws of rankings, their pairs, their loss and the agreement of the people behind them."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from plumbline.algorithms.preference import (
    Pair,
    accuracy,
    accuracy_by_distance,
    aggregate,
    agreement,
    calibration,
    kendall_tau,
    krippendorff_alpha,
    leads,
    normalised,
    pairs_of,
    ranking_loss,
    ranks_of,
    ratings_of,
    scale_of,
)
from plumbline.errors import DataError, PlumblineError

GOLDEN = Path(__file__).parents[1] / "golden" / "krippendorff.json"
PLAIN = {"margin": 0.0, "centring": 0.0, "keep_ties": False}
rankings = st.lists(st.integers(1, 4), min_size=2, max_size=6)
two_rankings = st.integers(2, 6).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(1, 4), min_size=size, max_size=size)] * 2)
)


def dense(ranks):
    return [sorted(set(ranks)).index(rank) + 1 for rank in ranks]


def tensors(*prompts):
    """Scores, ranks and mask of prompts given as (scores, ranks), padded with numbers that must not matter."""
    width = max(len(scores) for scores, _ in prompts)
    scores = torch.tensor([[*own, *[float("nan")] * (width - len(own))] for own, _ in prompts], dtype=torch.float64)
    ranks = torch.tensor([[*own, *[7] * (width - len(own))] for _, own in prompts])
    return scores, ranks, ~scores.isnan()


def test_three_completions_make_three_pairs_and_a_tie_is_kept_or_left_out():
    assert pairs_of([2, 1, 3], keep_ties=False) == [(1, 0, False), (0, 2, False), (1, 2, False)]
    assert pairs_of([1, 2, 2], keep_ties=False) == [(0, 1, False), (0, 2, False)]
    assert pairs_of([1, 2, 2], keep_ties=True) == [(0, 1, False), (0, 2, False), (1, 2, True)]


@given(rankings)
def test_a_ranking_comes_back_from_its_pairs(ranks):
    assert ranks_of(pairs_of(ranks, keep_ties=True), "ABCDEF"[: len(ranks)]) == dense(ranks)


def test_a_chain_of_pairs_is_enough():
    assert ranks_of([Pair(2, 0, False), Pair(0, 1, False)], "ABC") == [2, 3, 1]


def test_pairs_that_run_in_a_circle_are_refused_by_name():
    circle = [Pair(0, 1, False), Pair(1, 2, False), Pair(2, 0, False)]
    with pytest.raises(DataError) as error:
        ranks_of(circle, "ABC")
    steps = str(error.value).removeprefix("contradictory ranking: ").split(" > ")
    assert steps[0] == steps[-1] and sorted(steps[1:]) == ["A", "B", "C"]
    assert all(after == {"A": "B", "B": "C", "C": "A"}[before] for before, after in pairwise(steps))


def test_a_tie_in_a_circle_is_a_contradiction_too():
    with pytest.raises(DataError, match="contradictory ranking: A = B > A = B"):
        ranks_of([Pair(0, 1, True), Pair(0, 1, False)], "AB")


def test_pairs_that_leave_two_completions_unordered_are_refused_by_name():
    with pytest.raises(DataError, match="incomplete ranking: nothing puts B and C in order"):
        ranks_of([Pair(0, 1, False), Pair(0, 2, False)], "ABC")


@given(rankings)
def test_people_who_agree_are_aggregated_to_what_they_say(ranks):
    assert aggregate([ranks] * 3) == dense(ranks)


def test_a_ranking_and_its_reverse_cancel_and_a_circle_of_majorities_is_a_tie():
    assert aggregate([[1, 2, 3], [3, 2, 1]]) == [1, 1, 1]
    assert aggregate([[1, 2, 3], [3, 1, 2], [2, 3, 1]]) == [1, 1, 1]  # Condorcet's paradox
    assert aggregate([[1, 2, 3], [1, 2, 3], [2, 1, 3]]) == [1, 2, 3]


@given(two_rankings)
def test_kendalls_tau_is_that_of_scipy(two):
    found, expected = kendall_tau(*two), kendalltau(*two).statistic
    assert math.isnan(expected) if found is None else found == pytest.approx(expected)


def test_agreement_is_one_for_equals_and_minus_one_for_opposites():
    assert agreement([[1, 2, 3]] * 3) == pytest.approx(1)
    assert agreement([[1, 2, 3], [3, 2, 1]]) == pytest.approx(-1)
    assert agreement([[1, 2, 3]]) is None and agreement([[1, 1], [1, 2]]) is None


def test_krippendorffs_worked_example_comes_out():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    found = krippendorff_alpha(np.array(golden["ratings"], dtype=float))
    assert round(found, 3) == golden["ordinal_alpha"]


def test_alpha_is_one_for_agreement_about_zero_for_chance_and_none_for_nothing():
    generator = np.random.default_rng(0)
    ratings = generator.integers(1, 5, size=(3, 2000)).astype(float)
    assert krippendorff_alpha(np.tile(ratings[:1], (3, 1))) == 1
    assert krippendorff_alpha(ratings) == pytest.approx(0, abs=0.05)
    assert krippendorff_alpha(np.ones((2, 5))) is None and krippendorff_alpha(ratings[:1]) is None


def test_alpha_knows_only_the_order_of_the_values_and_ignores_units_rated_once():
    ratings = np.random.default_rng(1).integers(1, 5, size=(3, 50)).astype(float)
    lonely = np.concatenate([ratings, np.array([[9.0], [np.nan], [np.nan]])], axis=1)
    assert krippendorff_alpha(ratings**3) == pytest.approx(krippendorff_alpha(ratings))
    assert krippendorff_alpha(lonely) == pytest.approx(krippendorff_alpha(ratings))


def test_rankings_of_different_people_become_one_table_whose_alpha_is_about_zero_for_chance():
    found = ratings_of([{"ann": [1, 2], "bo": [2, 1]}, {"bo": [1, 1, 2]}])
    np.testing.assert_array_equal(found, [[1, 2, np.nan, np.nan, np.nan], [2, 1, 1, 1, 2]])
    generator = np.random.default_rng(0)
    prompts = [{rater: (generator.permutation(4) + 1).tolist() for rater in ("ann", "bo", "cy")} for _ in range(500)]
    assert krippendorff_alpha(ratings_of(prompts)) == pytest.approx(0, abs=0.05)


def slow_loss(scores, ranks, margin, centring, keep_ties):
    """The loss of one prompt, pair by pair, through the probability that Bradley and Terry give to the better one."""
    losses = []
    for better, worse, tied in pairs_of(ranks, keep_ties=keep_ties):
        gap = scores[better] - scores[worse]
        if tied:
            loss = -0.5 * math.log(1 / (1 + math.exp(-gap))) - 0.5 * math.log(1 / (1 + math.exp(gap)))
        else:
            loss = -math.log(1 / (1 + math.exp(-(gap - margin * (ranks[worse] - ranks[better])))))
        losses.append(loss + centring * (scores[better] + scores[worse]) ** 2)
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("knobs", [PLAIN, {"margin": 0.3, "centring": 0.01, "keep_ties": True}])
def test_the_loss_of_padded_prompts_is_that_of_their_pairs_one_by_one(knobs):
    generator, prompts = np.random.default_rng(0), []
    for size in (4, 2, 3, 4, 5):
        prompts.append((generator.normal(size=size).tolist(), generator.integers(1, 4, size=size).tolist()))
    found = ranking_loss(*tensors(*prompts), **knobs)
    assert found.tolist() == pytest.approx([slow_loss(*prompt, **knobs) for prompt in prompts])


def test_equal_scores_cost_log_two_and_a_shift_of_all_scores_costs_nothing_without_centring():
    scores, ranks, mask = tensors(([0.5, 0.5, 0.5], [1, 2, 3]))
    assert ranking_loss(scores, ranks, mask, **PLAIN).item() == pytest.approx(math.log(2))
    scores = torch.randn(1, 3, dtype=torch.float64)
    centred = PLAIN | {"centring": 0.01}
    torch.testing.assert_close(
        ranking_loss(scores + 9, ranks, mask, **PLAIN), ranking_loss(scores, ranks, mask, **PLAIN)
    )
    assert ranking_loss(scores + 9, ranks, mask, **centred) > ranking_loss(scores, ranks, mask, **centred)


def test_a_kept_tie_pulls_two_scores_together_and_one_left_out_does_not():
    for keep_ties in (True, False):
        scores, ranks, mask = tensors(([1.0, -1.0], [1, 1]))
        scores.requires_grad_()
        ranking_loss(scores, ranks, mask, **PLAIN | {"keep_ties": keep_ties}).sum().backward()
        assert torch.equal(scores.grad.sign(), torch.tensor([[1.0, -1.0]], dtype=torch.float64) * keep_ties)


def test_completions_that_are_not_there_get_no_gradient_and_a_split_of_the_prompts_changes_none():
    scores, ranks, mask = tensors(([0.1, 0.9, 0.3], [1, 2, 3]), ([0.4, 0.2], [2, 1]))
    whole, parts = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    ranking_loss(whole, ranks, mask, **PLAIN).sum().backward()
    for row in range(2):
        ranking_loss(parts[[row]], ranks[[row]], mask[[row]], **PLAIN).sum().backward()
    assert torch.equal(whole.grad, parts.grad) and whole.grad[1, 2] == 0


def test_graded_preferences_ask_for_a_lead_as_large_as_the_difference_of_the_grades():
    grades = torch.tensor([[3.0, 1.0]])
    scores, mask = torch.tensor([[1.0, 0.0]]), torch.tensor([[True, True]])
    found = ranking_loss(scores, -grades, mask, **PLAIN | {"margin": 0.5})
    assert found.item() == pytest.approx(math.log(2))


def test_accuracy_counts_pairs_by_how_far_apart_they_are_and_equal_scores_half():
    lead, distance = leads(*tensors(([3.0, 2.0, 1.0], [1, 3, 2]), ([0.0, 0.0], [2, 1])))
    assert accuracy(lead) == pytest.approx((2 + 0.5) / 4)
    assert accuracy_by_distance(lead, distance) == {1: pytest.approx((1 + 0.5) / 3), 2: 1.0}
    with pytest.raises(ValueError, match="no pairs"):
        accuracy(torch.zeros(0))


def test_a_scorer_that_knows_the_law_of_the_pairs_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    gap = torch.randn(100_000, generator=generator).abs() * 2
    right = torch.rand(len(gap), generator=generator) < gap.sigmoid()
    bins = calibration(torch.where(right, gap, -gap), bins=5)
    assert sum(each.pairs for each in bins) == len(gap) and len(bins) == 5
    assert all(each.observed == pytest.approx(each.predicted, abs=0.015) for each in bins)
    sure = calibration(torch.where(right, 4 * gap, -4 * gap), bins=5)
    assert sure[-1].predicted > sure[-1].observed + 0.05


def test_normalised_scores_of_the_reference_answers_have_mean_zero_and_deviation_one():
    scores = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 3 + 8
    found = normalised(scores, scale_of(scores))
    assert found.mean().item() == pytest.approx(0, abs=1e-6) and found.std(correction=0).item() == pytest.approx(1)


def test_a_scorer_without_an_opinion_is_refused():
    with pytest.raises(PlumblineError, match="all 3 reference answers"):
        scale_of(torch.tensor([0.5, 0.5, 0.5]))
