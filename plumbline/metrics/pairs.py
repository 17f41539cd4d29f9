"""How well a scorer ranks: accuracies and correlations with intervals, and the pairs that it is most wrong about.

Prompts stand in one order everywhere: `scores` has each prompt's scores, one a completion, and `ranks` each prompt's
rankings, one a rater.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from plumbline.algorithms.bootstrap import Interval, bootstrap, ratio
from plumbline.algorithms.preference import accuracy, calibration, leads

Table = Sequence[Sequence[float]]  # prompt -> completion
Ranks = Sequence[Sequence[Sequence[int]]]  # prompt -> rater -> completion


BINS = 10  # of the calibration


class Wrong(NamedTuple):
    """A pair that most raters put in the other order: the prompt's number, the completions' numbers, how sure."""

    prompt: int
    better: int
    worse: int
    predicted: float  # probability that the worse one is better, in the scorer's opinion
    agreeing: int  # raters who put the better one first
    raters: int


def measure(
    scores: Table,
    ranks: Ranks,
    groups: Sequence[str],
    lengths: Table,
    gold: Table | None,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """All that says how good scores (not normalised) are, beside what needs no learning: lengths, and drawn numbers.

    `gold` among the accuracies is a scorer that knows the gold scores: the raters' own mistakes allow no more.
    """
    resampling: dict[str, int] = {"resamples": resamples, "seed": seed}
    chance = np.random.default_rng(seed)
    known = {"gold": gold} if gold else {}
    contenders: dict[str, Table] = {
        "scorer": scores,
        "longer": lengths,
        "shorter": [[-length for length in each] for each in lengths],
        "random": [chance.random(len(each)).tolist() for each in lengths],
        **known,
    }
    lead, distance = (torch.cat(parts) for parts in zip(*untied(scores, ranks), strict=True))
    bins = calibration(lead, BINS)
    return {
        "pairs": len(lead),
        "accuracy": {
            name: pair_accuracy(table, ranks, groups, **resampling)._asdict() for name, table in contenders.items()
        },
        "accuracy_by_distance": {
            str(apart): pair_accuracy(scores, ranks, groups, **resampling, apart=apart)._asdict()
            | {"pairs": int((distance == apart).sum())}
            for apart in distance.unique().tolist()
        },
        "calibration": [each._asdict() for each in bins],
        "calibration_error": sum(each.pairs * abs(each.predicted - each.observed) for each in bins) / len(lead),
        "correlation": {
            name: correlation(scores, other, groups, **resampling)._asdict()
            for name, other in {**known, "length": lengths}.items()
        },
    }


def untied(scores: Table, ranks: Ranks) -> list[tuple[Tensor, Tensor]]:
    """Of each prompt the leads of all its raters' untied pairs, and how many ranks apart they are."""
    found = []
    for own, rankings in zip(scores, ranks, strict=True):
        table = torch.tensor([list(own)] * len(rankings), dtype=torch.float64)
        found.append(leads(table, torch.tensor(rankings), torch.ones(table.shape, dtype=torch.bool)))
    return found


def pair_accuracy(
    scores: Table, ranks: Ranks, groups: Sequence[str], *, resamples: int, seed: int, apart: int | None = None
) -> Interval:
    """Share of untied pairs, or of those so many ranks `apart`, whose better completion has the higher score.

    Equal scores count half.
    """
    counts, of = [], []
    for (lead, distance), group in zip(untied(scores, ranks), groups, strict=True):
        lead = lead if apart is None else lead[distance == apart]
        if len(lead):
            counts.append((accuracy(lead) * len(lead), float(len(lead))))
            of.append(group)
    return bootstrap(np.array(counts), of, ratio, resamples=resamples, seed=seed)


def correlation(first: Table, second: Table, groups: Sequence[str], *, resamples: int, seed: int) -> Interval:
    """Pearson's correlation of two numbers of every completion of every prompt; None where one never varies."""
    sums = []
    for xs, ys in zip(first, second, strict=True):
        x, y = np.array(xs, dtype=float), np.array(ys, dtype=float)
        sums.append([len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y])
    found = bootstrap(np.array(sums), groups, pearson, resamples=resamples, seed=seed)
    return Interval(*(None if end is None or not np.isfinite(end) else end for end in found))


def pearson(totals: Float[np.ndarray, "... 6"]) -> Float[np.ndarray, "..."]:
    """r = cov(x, y) / sqrt(var(x) var(y)) from the sums of 1, x, y, x^2, y^2 and x y; not a number without variance."""
    n, x, y, xx, yy, xy = np.moveaxis(totals, -1, 0)
    spread = (n * xx - x**2) * (n * yy - y**2)
    return np.asarray(np.where(spread > 0, n * xy - x * y, np.nan) / np.sqrt(np.where(spread > 0, spread, 1.0)))


def most_wrong(scores: Table, ranks: Ranks, count: int) -> list[Wrong]:
    """The `count` pairs with the greatest lead of the completion that fewer raters prefer, at most one a prompt."""
    worst: dict[int, tuple[float, Wrong]] = {}
    for prompt, (own, rankings) in enumerate(zip(scores, ranks, strict=True)):
        for one, other in combinations(range(len(own)), 2):
            votes = sum(np.sign(ranking[other] - ranking[one]) for ranking in rankings)
            better, worse = (one, other) if votes > 0 else (other, one)
            lead = own[worse] - own[better]
            if votes and lead > worst.get(prompt, (0.0,))[0]:
                agreeing = sum(ranking[better] < ranking[worse] for ranking in rankings)
                predicted = 1 / (1 + float(np.exp(-lead)))
                worst[prompt] = (lead, Wrong(prompt, better, worse, predicted, agreeing, len(rankings)))
    return [wrong for _, wrong in sorted(worst.values(), key=lambda each: -each[0])[:count]]
