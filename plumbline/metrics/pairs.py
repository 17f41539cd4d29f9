"""How well a scorer orders pairs: accuracies and correlations with intervals, and the pairs that it is most wrong about.

Prompts stand in one order everywhere: `scores` has each prompt's scores, one a completion, and `votes` what people find
of each pair of them, as `plumbline.algorithms.preference` takes it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from plumbline.algorithms.bootstrap import Interval, bootstrap, ratio
from plumbline.algorithms.preference import Votes, agreement, calibration, leads, majority, untied

Table = Sequence[Sequence[float]]  # prompt -> completion

BINS = 10  # of the calibration


class Wrong(NamedTuple):
    """A pair that most people put in the other order: the prompt's number, the completions' numbers, how sure."""

    prompt: int
    better: int
    worse: int
    predicted: float  # probability that the worse one is better, in the scorer's opinion
    agreeing: float  # people who find the better one better; a tie is half a vote
    people: float  # who judged the pair


def measure(
    scores: Table,
    votes: Votes,
    ranks: Int[Tensor, "prompts completions"],
    groups: Sequence[str],
    lengths: Table,
    gold: Table | None,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """All that says how good scores (not normalised) are, beside what needs no learning: lengths, and drawn numbers.

    `accuracy` is the share of people's votes that an order agrees with, `majority_accuracy` that of pairs which it has
    as most people do. `gold` among them is a scorer that knows the gold scores: people's own mistakes allow no more.
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
    counted, most, distance = untied(votes), majority(votes), leads(ranks).abs()
    bins = calibration(padded(scores), votes, BINS)
    return {
        "pairs": int(most.sum()),
        "counted_votes": round(float(counted.sum())),
        "accuracy": accuracies(contenders, counted, groups, **resampling),
        "majority_accuracy": accuracies(contenders, most, groups, **resampling),
        "accuracy_by_distance": {
            str(apart): pair_accuracy(scores, counted * (distance == apart), groups, **resampling)._asdict()
            | {"pairs": int(most[distance == apart].sum())}
            for apart in distance[most > 0].unique().tolist()
        },
        "calibration": [each._asdict() for each in bins],
        "calibration_error": sum(each.pairs * abs(each.predicted - each.observed) for each in bins)
        / sum(each.pairs for each in bins),
        "correlation": {
            name: correlation(scores, other, groups, **resampling)._asdict()
            for name, other in {**known, "length": lengths}.items()
        },
    }


def accuracies(
    contenders: dict[str, Table], votes: Votes, groups: Sequence[str], *, resamples: int, seed: int
) -> dict[str, dict[str, float | None]]:
    """The accuracy of everything that puts completions in an order."""
    return {
        name: pair_accuracy(table, votes, groups, resamples=resamples, seed=seed)._asdict()
        for name, table in contenders.items()
    }


def pair_accuracy(scores: Table, votes: Votes, groups: Sequence[str], *, resamples: int, seed: int) -> Interval:
    """Share of the votes that are for the completion with the higher score. Equal scores get half."""
    right, total = agreement(padded(scores), votes.double())
    voted = total > 0
    counts = torch.stack((right, total), dim=1)[voted].numpy()
    of = [group for group, each in zip(groups, voted.tolist(), strict=True) if each]
    return bootstrap(counts, of, ratio, resamples=resamples, seed=seed)


def padded(scores: Table) -> Float[Tensor, "prompts completions"]:
    """Scores of prompts with different numbers of completions as one table."""
    return pad_sequence([torch.tensor(each, dtype=torch.float64) for each in scores], batch_first=True)


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


def most_wrong(scores: Table, votes: Votes, count: int) -> list[Wrong]:
    """The `count` pairs with the greatest lead of the completion that fewer people prefer, at most one a prompt."""
    wrong = torch.where(majority(votes) > 0, -leads(padded(scores)), 0).flatten(1)
    lead, place = wrong.max(1)
    found = []
    for prompt in lead.argsort(descending=True, stable=True)[:count].tolist():
        better, worse = divmod(int(place[prompt]), votes.shape[1])
        agreeing, other = float(votes[prompt, better, worse]), float(votes[prompt, worse, better])
        if lead[prompt] > 0:
            predicted = float(lead[prompt].sigmoid())
            found.append(Wrong(prompt, better, worse, predicted, agreeing, agreeing + other))
    return found
