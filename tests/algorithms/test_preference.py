"""Laws of the loss of people's votes on pairs, and of what a scorer is measured by."""

import math
from itertools import combinations

import numpy as np
import pytest
import torch

from plumbline.algorithms.preference import (
    agreement,
    calibration,
    majority,
    normalised,
    ranking_loss,
    scale_of,
    shares,
    untied,
)
from plumbline.errors import PlumblineError

PLAIN = {"margin": 0.0, "centring": 0.0}
KNOBS = {"margin": 0.3, "centring": 0.01}


def padded(tables, fill):
    """Vectors or square matrices of different sizes as one tensor."""
    width = max(map(len, tables))
    found = torch.full((len(tables), *[width] * np.ndim(tables[0])), fill, dtype=torch.float64)
    for number, table in enumerate(tables):
        found[(number, *[slice(len(table))] * np.ndim(table))] = torch.tensor(table, dtype=torch.float64)
    return found


def votes_of(*rankings):
    """The votes of people who rank the same completions: a tie is half a vote each way."""
    return sum(np.less.outer(own, own) + 0.5 * np.equal.outer(own, own) - 0.5 * np.eye(len(own)) for own in rankings)


def loss_of(scores, votes, ranks=None, **knobs):
    """The loss of one prompt."""
    ranks = [0] * len(scores) if ranks is None else ranks
    return ranking_loss(padded([scores], 0.0), padded([votes], 0.0), padded([ranks], 0), **knobs).item()


def slow_loss(scores, ranks, margin, centring):
    """The loss of one person's ranking, pair by pair, through the probability that Bradley and Terry give to the better."""
    losses = []
    for first, second in combinations(range(len(ranks)), 2):
        better, worse = sorted((first, second), key=lambda number: ranks[number])
        gap = scores[better] - scores[worse]
        if ranks[first] == ranks[second]:
            loss = -0.5 * math.log(1 / (1 + math.exp(-gap))) - 0.5 * math.log(1 / (1 + math.exp(gap)))
        else:
            loss = -math.log(1 / (1 + math.exp(-(gap - margin * (ranks[worse] - ranks[better])))))
        losses.append(loss + centring * (scores[better] + scores[worse]) ** 2)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("knobs", [PLAIN, KNOBS])
def test_the_loss_of_one_persons_votes_is_that_of_the_ranking_pair_by_pair(knobs):
    generator, scores, ranks = np.random.default_rng(0), [], []
    for size in (4, 2, 3, 4, 5):
        scores.append(generator.normal(size=size).tolist())
        ranks.append(generator.integers(1, 4, size=size).tolist())
    votes = padded([votes_of(own) for own in ranks], 0.0)
    found = ranking_loss(padded(scores, 50.0), votes, padded(ranks, 7), **knobs)  # filled with what must not matter
    assert found.tolist() == pytest.approx([slow_loss(*each, **knobs) for each in zip(scores, ranks, strict=True)])


def test_a_worked_case():
    # Leads 2 (votes 2 to 1), 3 (3 to 0) and 1 (a tie of all), from log(1 + exp(-x)) by hand:
    # 2/3 0.126928 + 1/3 2.126928 = 0.793595; 0.048587; (0.313262 + 1.313262) / 2 = 0.813262
    votes = [[0, 2, 3], [1, 0, 1.5], [0, 1.5, 0]]
    assert loss_of([2.0, 0.0, -1.0], votes, **PLAIN) == pytest.approx((0.793595 + 0.048587 + 0.813262) / 3, abs=1e-6)


def test_people_who_agree_teach_what_one_teaches_and_a_pair_weighs_the_same_however_many_judged_it():
    scores, ranks = [0.3, -0.2, 0.9], [2, 1, 3]
    one = votes_of(ranks)
    assert loss_of(scores, 3 * one, ranks, **KNOBS) == pytest.approx(loss_of(scores, one, ranks, **KNOBS))
    uneven = one.copy()
    uneven[0, 2] *= 5
    assert loss_of(scores, uneven, ranks, **KNOBS) == pytest.approx(loss_of(scores, one, ranks, **KNOBS))


def test_the_loss_of_several_people_is_the_mean_of_each_ones_where_all_judge_all_pairs():
    scores, people = [0.3, -0.2, 0.9, 0.1], [[1, 2, 3, 4], [2, 1, 4, 3], [1, 1, 2, 2]]
    together = loss_of(scores, votes_of(*people), **PLAIN)
    assert together == pytest.approx(np.mean([loss_of(scores, votes_of(own), **PLAIN) for own in people]))


@pytest.mark.parametrize("knobs", [PLAIN, KNOBS])
def test_the_order_in_which_completions_stand_changes_nothing(knobs):
    scores, ranks, votes = [0.3, -0.2, 0.9], [2, 1, 3], votes_of([2, 1, 3], [1, 1, 2])
    order = [2, 0, 1]
    moved = [[scores[each] for each in order], votes[np.ix_(order, order)], [ranks[each] for each in order]]
    assert loss_of(*moved, **knobs) == pytest.approx(loss_of(scores, votes, ranks, **knobs))


def test_equal_scores_cost_log_two_and_a_shift_of_all_scores_costs_nothing_without_centring():
    votes = votes_of([1, 2, 3], [2, 1, 2])
    assert loss_of([0.5, 0.5, 0.5], votes, **PLAIN) == pytest.approx(math.log(2))
    near, far = [0.1, -0.4, 0.8], [9.1, 8.6, 9.8]
    assert loss_of(far, votes, **PLAIN) == pytest.approx(loss_of(near, votes, **PLAIN))
    assert loss_of(far, votes, **PLAIN | {"centring": 0.01}) > loss_of(near, votes, **PLAIN | {"centring": 0.01})


@pytest.mark.parametrize(("better", "worse"), [(2, 1), (3, 1), (1, 1), (0.5, 0.5), (2.5, 0.5)])
def test_the_loss_is_least_where_the_lead_says_the_share_of_votes_so_a_tie_asks_for_none(better, worse):
    lead = math.log(better / worse)
    scores = torch.tensor([[lead, 0.0]], dtype=torch.float64, requires_grad=True)
    votes = torch.tensor([[[0, better], [worse, 0]]], dtype=torch.float64)
    ranking_loss(scores, votes, torch.zeros(1, 2), **PLAIN).sum().backward()
    assert scores.grad.abs().max() < 1e-12
    above = loss_of([lead + 1, 0.0], votes[0].tolist(), **PLAIN)
    assert above > loss_of([lead, 0.0], votes[0].tolist(), **PLAIN)


def test_completions_that_are_not_there_get_no_gradient_and_a_split_of_the_prompts_changes_none():
    scores = padded([[0.1, 0.9, 0.3], [0.4, 0.2]], 0.0)
    votes, ranks = padded([votes_of([1, 2, 3]), votes_of([2, 1])], 0.0), padded([[1, 2, 3], [2, 1]], 0)
    whole, parts = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    ranking_loss(whole, votes, ranks, **KNOBS).sum().backward()
    for row in range(2):
        ranking_loss(parts[[row]], votes[[row]], ranks[[row]], **KNOBS).sum().backward()
    assert torch.equal(whole.grad, parts.grad) and whole.grad[1, 2] == 0


def test_pairs_that_nobody_judged_cost_nothing():
    one = [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert loss_of([0.3, 0.1, 5.0], one, **KNOBS) == pytest.approx(loss_of([0.3, 0.1], [[0, 1], [0, 0]], **KNOBS))
    assert loss_of([0.3, 0.1], [[0, 0], [0, 0]], **KNOBS) == 0


def test_graded_preferences_ask_for_a_lead_as_large_as_the_difference_of_the_grades():
    grades = [3.0, 1.0]
    found = loss_of([1.0, 0.0], [[0, 1], [0, 0]], [-each for each in grades], **PLAIN | {"margin": 0.5})
    assert found == pytest.approx(math.log(2))


def test_shares_majorities_and_untied_votes():
    votes = padded([[[0, 2, 1.5], [1, 0, 0], [1.5, 0, 0]]], 0.0)
    assert shares(votes)[0].flatten().tolist() == pytest.approx([0, 2 / 3, 0.5, 1 / 3, 0, 0, 0.5, 0, 0])
    assert majority(votes)[0].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert untied(votes)[0].tolist() == [[0, 2, 0], [1, 0, 0], [0, 0, 0]]


def test_agreement_counts_every_vote_and_half_of_those_on_equal_scores():
    votes = padded([votes_of([1, 2, 3], [2, 1, 3]), votes_of([1, 2])], 0.0)
    right, total = agreement(padded([[3.0, 2.0, 1.0], [0.0, 0.0]], 0.0), votes)
    assert (right.tolist(), total.tolist()) == ([5.0, 0.5], [6.0, 1.0])
    against, _ = agreement(padded([[-3.0, -2.0, -1.0], [0.0, 0.0]], 0.0), votes)
    assert torch.equal(right + against, total)


def test_a_scorer_that_knows_the_law_of_the_votes_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    gap = torch.randn(50_000, generator=generator) * 2
    first = torch.binomial(torch.full_like(gap, 3), gap.sigmoid(), generator=generator)  # of three people
    votes = torch.zeros(len(gap), 2, 2)
    votes[:, 0, 1], votes[:, 1, 0] = first, 3 - first
    bins = calibration(torch.stack((gap, torch.zeros_like(gap)), 1), votes, bins=5)
    assert sum(each.pairs for each in bins) == len(gap) and len(bins) == 5
    assert all(each.observed == pytest.approx(each.predicted, abs=0.015) for each in bins)
    sure = calibration(torch.stack((4 * gap, torch.zeros_like(gap)), 1), votes, bins=5)
    assert sure[-1].predicted > sure[-1].observed + 0.05


def test_a_tie_is_what_a_scorer_without_an_opinion_foresees():
    tied, none = padded([[[0, 0.5], [0.5, 0]]], 0.0), padded([[[0, 0], [0, 0]]], 0.0)
    scores = padded([[1.0, 1.0]], 0.0)
    assert calibration(scores, tied, bins=10) == [(0.5, 0.5, 1)] and calibration(scores, none, bins=10) == []


def test_normalised_scores_of_the_reference_answers_have_mean_zero_and_deviation_one():
    scores = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 3 + 8
    found = normalised(scores, scale_of(scores))
    assert found.mean().item() == pytest.approx(0, abs=1e-6) and found.std(correction=0).item() == pytest.approx(1)


def test_a_scorer_without_an_opinion_is_refused():
    with pytest.raises(PlumblineError, match="all 3 reference answers"):
        scale_of(torch.tensor([0.5, 0.5, 0.5]))
