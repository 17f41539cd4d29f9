"""Laws of the loss of rankings, and of what a scorer is measured by."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from plumbline.algorithms.preference import (
    accuracy,
    calibration,
    leads,
    normalised,
    ranking_loss,
    scale_of,
)
from plumbline.errors import PlumblineError

PLAIN = {"margin": 0.0, "centring": 0.0, "keep_ties": False}


def tensors(*prompts):
    """Scores, ranks and mask of prompts given as (scores, ranks), padded with numbers that must not matter."""
    width = max(len(scores) for scores, _ in prompts)
    scores = torch.tensor([[*own, *[float("nan")] * (width - len(own))] for own, _ in prompts], dtype=torch.float64)
    ranks = torch.tensor([[*own, *[7] * (width - len(own))] for _, own in prompts])
    return scores, ranks, ~scores.isnan()


def slow_loss(scores, ranks, margin, centring, keep_ties):
    """The loss of one prompt, pair by pair, through the probability that Bradley and Terry give to the better one."""
    losses = []
    for first, second in combinations(range(len(ranks)), 2):
        better, worse = sorted((first, second), key=lambda number: ranks[number])
        tied = ranks[first] == ranks[second]
        if tied and not keep_ties:
            continue
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
    by_distance = {int(apart): accuracy(lead[distance == apart]) for apart in distance.unique()}
    assert by_distance == {1: pytest.approx((1 + 0.5) / 3), 2: 1.0}
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
