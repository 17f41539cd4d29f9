"""From people's rankings to a reward model: pairs, their loss, how well it ranks, and how far the people agree.

Rank 1 is the best, equal ranks are a tie. A ranking of K completions is all its K (K - 1) / 2 pairs, yet each completion
is scored once: the loss takes the K scores and forms the pairs itself (Ouyang et al. 2022, section 3.5).
"""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Real
from torch import Tensor
from torch.nn.functional import logsigmoid

from plumbline.errors import DataError, PlumblineError


class Pair(NamedTuple):
    """Two completions of one prompt by their numbers from 0; of a tie neither is the better one."""

    better: int
    worse: int
    tied: bool


class Bin(NamedTuple):
    """Pairs of which the scorer was about equally sure: the mean of what it said, and how often it was right."""

    predicted: float
    observed: float
    pairs: int


class Scale(NamedTuple):
    """Mean and deviation of a scorer's scores of the reference answers."""

    mean: float
    deviation: float


def pairs_of(ranks: Sequence[int], *, keep_ties: bool) -> list[Pair]:
    """All pairs of a ranking, the better completion first; K = 3 gives three. Ties are kept as such or left out."""
    pairs = []
    for first, second in combinations(range(len(ranks)), 2):
        if ranks[first] != ranks[second]:
            better, worse = sorted((first, second), key=lambda number: ranks[number])
            pairs.append(Pair(better, worse, tied=False))
        elif keep_ties:
            pairs.append(Pair(first, second, tied=True))
    return pairs


def ranks_of(pairs: Sequence[Pair], names: Sequence[str]) -> list[int]:
    """The ranking from which the pairs come, ranks without gaps; `names` are the completions' names in messages.

    Raises DataError where there is none: the pairs contradict each other (`A > B > C > A`), or leave two completions
    that neither a pair nor a chain of pairs puts in order.
    """
    level = list(range(len(names)))  # tied completions share a number
    for pair in pairs:
        if pair.tied:
            level = [level[pair.better] if number == level[pair.worse] else number for number in level]
    label = {
        number: " = ".join(name for name, own in zip(names, level, strict=True) if own == number) for number in level
    }
    order: TopologicalSorter[int] = TopologicalSorter({number: [] for number in level})
    for pair in pairs:
        if not pair.tied:
            order.add(level[pair.worse], level[pair.better])
    try:
        order.prepare()
    except CycleError as error:
        raise DataError(f"contradictory ranking: {' > '.join(label[number] for number in error.args[1])}") from None
    place: dict[int, int] = {}
    while order.is_active():
        ready = order.get_ready()
        if len(ready) > 1:
            raise DataError(f"incomplete ranking: nothing puts {label[ready[0]]} and {label[ready[1]]} in order")
        place[ready[0]] = len(place) + 1
        order.done(*ready)
    return [place[number] for number in level]


def aggregate(rankings: Sequence[Sequence[int]]) -> list[int]:
    """One ranking of several people's rankings of the same completions: by Borda count, ranks without gaps.

    A completion's count is how many it beats less how many beat it, over all people; equal counts tie. Unlike the
    majority of each pair, counts cannot run in a circle (Condorcet's paradox).
    """
    counts = sum(order_of(ranking).sum(axis=1) for ranking in rankings)
    return (np.unique(-counts, return_inverse=True)[1] + 1).tolist()


def order_of(ranking: Sequence[int]) -> Real[np.ndarray, "completions completions"]:
    """1 where the completion of the row is better than that of the column, -1 where it is worse, 0 for ties."""
    ranks = np.asarray(ranking)
    return np.sign(ranks[None, :] - ranks[:, None])


def kendall_tau(first: Sequence[int], second: Sequence[int]) -> float | None:
    """Agreement of two rankings from -1 (reversed) to 1 (equal), ties accounted for; None if one ranks nothing.

    tau-b = sum of sign(x_i - x_j) sign(y_i - y_j) / sqrt(untied pairs of x * untied pairs of y). Kendall (1945).
    """
    one, other = order_of(first), order_of(second)
    untied = (one**2).sum() * (other**2).sum()
    return float((one * other).sum() / np.sqrt(untied)) if untied else None


def agreement(rankings: Sequence[Sequence[int]]) -> float | None:
    """Mean of Kendall's tau-b over all pairs of people that ranked the same completions; None without such a pair."""
    taus = [kendall_tau(first, second) for first, second in combinations(rankings, 2)]
    defined = [tau for tau in taus if tau is not None]
    return sum(defined) / len(defined) if defined else None


def krippendorff_alpha(ratings: Float[np.ndarray, "raters units"]) -> float | None:
    """Agreement of any number of people on an ordinal scale: 1 is perfect, 0 is chance. Not a number: not rated.

    alpha = 1 - observed / expected disagreement. Observed: mean distance of two ratings of one unit, each unit weighing
    as much as it has ratings. Expected: mean distance of any two ratings. The distance of values c < k is the square of
    the number of ratings between them, with half of those at c and at k. Units with fewer than two ratings say nothing.
    Krippendorff (2011), section C to E. None where all ratings are equal.
    """
    units = [unit[~np.isnan(unit)] for unit in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    if not units:
        return None
    values, counts = np.unique(np.concatenate(units), return_counts=True)
    total = counts.sum()
    middle = counts.cumsum() - counts / 2
    distance = (middle[None, :] - middle[:, None]) ** 2
    tallies = np.array([[np.sum(unit == value) for value in values] for unit in units])
    observed = sum(tally @ distance @ tally / (tally.sum() - 1) for tally in tallies) / total
    expected = counts @ distance @ counts / (total * (total - 1))
    return float(1 - observed / expected) if expected else None


def ratings_of(prompts: Sequence[Mapping[str, Sequence[int]]]) -> Float[np.ndarray, "raters units"]:
    """Each person's ranks of each completion of each prompt, not a number where a prompt was not theirs.

    A prompt maps its raters to their rankings of its completions, all of one length.
    """
    raters = sorted(set().union(*prompts))
    columns = []
    for rankings in prompts:
        unrated = [float("nan")] * len(next(iter(rankings.values())))
        columns.append(np.array([rankings.get(rater, unrated) for rater in raters], dtype=float))
    return np.concatenate(columns, axis=1)


def ranking_loss(
    scores: Float[Tensor, "prompts completions"],
    ranks: Real[Tensor, "prompts completions"],
    is_completion: Bool[Tensor, "prompts completions"],
    *,
    margin: float,
    centring: float,
    keep_ties: bool,
) -> Float[Tensor, " prompts"]:
    """Bradley-Terry loss of each prompt, the mean over its pairs; 0 for a prompt without a pair.

    Pair of i better than j:  -log sigmoid(s_i - s_j - margin (rank_j - rank_i)) + centring (s_i + s_j)^2
    Pair of a tie:            the mean of both orders, so that 1/2 is the target.
    Ouyang et al. (2022) eq. 1; margin by how much better: Touvron et al. (2023) section 3.2.2, and for grades instead of
    ranks give their negatives; centring: Eisenstein et al. (2023) section 2. One loss a prompt, and no mean of them,
    so that the caller can divide by the prompts of the whole batch, however it is split.
    """
    scores = torch.where(is_completion, scores, 0)
    weight = pair_weights(ranks, is_completion, keep_ties)
    distance = ranks[:, None, :] - ranks[:, :, None]
    loss = -logsigmoid(scores[:, :, None] - scores[:, None, :] - margin * distance)
    loss = loss + centring * (scores[:, :, None] + scores[:, None, :]) ** 2
    return (weight * loss).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)


def pair_weights(
    ranks: Real[Tensor, "prompts completions"], is_completion: Bool[Tensor, "prompts completions"], keep_ties: bool
) -> Float[Tensor, "prompts completions completions"]:
    """1 where the completion of the row is better than that of the column; of a kept tie 1/2 in both orders."""
    both = is_completion[:, :, None] & is_completion[:, None, :]
    better = ranks[:, :, None] < ranks[:, None, :]
    tied = (ranks[:, :, None] == ranks[:, None, :]) & ~torch.eye(ranks.shape[1], dtype=torch.bool, device=ranks.device)
    return (better + 0.5 * keep_ties * tied) * both


def leads(
    scores: Float[Tensor, "prompts completions"],
    ranks: Real[Tensor, "prompts completions"],
    is_completion: Bool[Tensor, "prompts completions"],
) -> tuple[Float[Tensor, " pairs"], Real[Tensor, " pairs"]]:
    """Of every untied pair, how far the better completion's score leads, and how many ranks the two are apart.

    With the completions' lengths for scores: what a scorer would do that only prefers the longer one.
    """
    better = pair_weights(ranks, is_completion, keep_ties=False) > 0
    return (scores[:, :, None] - scores[:, None, :])[better], (ranks[:, None, :] - ranks[:, :, None])[better]


def accuracy(lead: Float[Tensor, " pairs"]) -> float:
    """Share of pairs whose better completion has the higher score; equal scores count half. ValueError without pairs."""
    if not len(lead):
        raise ValueError("no pairs: every completion is tied with every other")
    return float(((lead > 0) + 0.5 * (lead == 0)).double().mean())


def accuracy_by_distance(lead: Float[Tensor, " pairs"], distance: Int[Tensor, " pairs"]) -> dict[int, float]:
    """The accuracy of pairs one rank apart, two ranks apart, and so on: the closer, the harder."""
    return {int(apart): accuracy(lead[distance == apart]) for apart in distance.unique()}


def calibration(lead: Float[Tensor, " pairs"], bins: int) -> list[Bin]:
    """Where the scorer says that one completion is better with probability p, is it so in a share p of the pairs?

    Pairs are put into `bins` of equal width by the probability of the one with the higher score, sigmoid(|lead|), from
    0.5 to 1; bins without pairs are left out.
    """
    predicted = lead.double().abs().sigmoid()
    number = ((predicted - 0.5) * 2 * bins).long().clamp(max=bins - 1)
    return [
        Bin(float(predicted[own].mean()), accuracy(lead[own]), int(own.sum()))
        for own in (number == each for each in number.unique())
    ]


def scale_of(scores: Float[Tensor, " answers"]) -> Scale:
    """What takes the scores of the reference answers to mean 0 and deviation 1. Ziegler et al. (2019), section 2.2."""
    deviation, mean = torch.std_mean(scores.double(), correction=0)
    if not deviation > 0:
        raise PlumblineError(
            f"the scorer gives all {len(scores)} reference answers the score {float(mean):.6g}: "
            "train it on rankings whose completions differ"
        )
    return Scale(float(mean), float(deviation))


def normalised(scores: Float[Tensor, " answers"], scale: Scale) -> Float[Tensor, " answers"]:
    """Scores in deviations of the reference answers' scores, from their mean."""
    return (scores - scale.mean) / scale.deviation
