"""Bootstrap intervals of means and of ratios, when the rows come in groups that resemble each other.

Every statistic here is a function of the *sum* of the rows' contributions: the mean of a score is
(sum of scores) / (number of rows), the loss of a text (sum of -log p) / (number of tokens), and corpus BLEU a function
of summed n-gram counts. So a resample needs only the sums of the groups and how often each group was drawn.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

Statistic = Callable[[Float[np.ndarray, "... parts"]], Float[np.ndarray, "..."]]

LEVEL = 0.95


class Interval(NamedTuple):
    """A value and its 95 % interval; None where there is nothing to compute it from."""

    value: float | None
    low: float | None
    high: float | None


NOTHING = Interval(None, None, None)


def ratio(totals: Float[np.ndarray, "... 2"]) -> Float[np.ndarray, "..."]:
    """Sum of the first part over sum of the second: a mean when each row contributes (score, 1)."""
    return np.asarray(totals[..., 0] / totals[..., 1])


def bootstrap(
    rows: Float[np.ndarray, "rows parts"], groups: Sequence[str], statistic: Statistic, *, resamples: int, seed: int
) -> Interval:
    """The statistic of the rows' sum with its percentile interval under resampling of whole groups.

    Rows of one dialogue or article are not independent, so groups are drawn, with replacement, not rows
    (Davison and Hinkley 1997, section 3.8). Without rows everything is None; with a single group the ends are.
    """
    if not len(rows):
        return NOTHING
    membership = group_numbers(groups)
    drawn = draws(int(membership.max()) + 1, resamples, seed)
    return interval(float(statistic(rows.sum(axis=0))), statistic(drawn @ group_sums(rows, membership)), drawn)


def paired_difference(
    first: Float[np.ndarray, "rows parts"],
    second: Float[np.ndarray, "rows parts"],
    groups: Sequence[str],
    statistic: Statistic,
    *,
    resamples: int,
    seed: int,
) -> Interval:
    """`statistic(first) - statistic(second)` of two systems on the same rows, both under the same draws.

    What makes a row hard for both systems cancels, so the interval is narrower than two separate ones suggest
    (Koehn 2004, section 4).
    """
    if first.shape != second.shape:
        raise ValueError(f"paired systems need the same rows, got {first.shape} and {second.shape}")
    if not len(first):
        return NOTHING
    membership = group_numbers(groups)
    drawn = draws(int(membership.max()) + 1, resamples, seed)
    value = statistic(first.sum(axis=0)) - statistic(second.sum(axis=0))
    resampled = [statistic(drawn @ group_sums(system, membership)) for system in (first, second)]
    return interval(float(value), resampled[0] - resampled[1], drawn)


def group_numbers(groups: Sequence[str]) -> Int[np.ndarray, " rows"]:
    """The number of each row's group, from 0, in the order of the groups' names."""
    return np.unique(np.asarray(groups), return_inverse=True)[1]


def draws(groups: int, resamples: int, seed: int) -> Float[np.ndarray, "resamples groups"]:
    """How often each group is drawn when as many groups as there are get drawn with replacement."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(float)


def group_sums(
    rows: Float[np.ndarray, "rows parts"], membership: Int[np.ndarray, " rows"]
) -> Float[np.ndarray, "groups parts"]:
    """The rows' contributions, summed by group."""
    sums = np.zeros((int(membership.max()) + 1, rows.shape[1]))
    np.add.at(sums, membership, rows)
    return sums


def interval(
    value: float, resampled: Float[np.ndarray, " resamples"], drawn: Float[np.ndarray, "resamples groups"]
) -> Interval:
    """The percentile interval; one group alone says nothing about how groups vary."""
    if drawn.shape[1] == 1:
        return Interval(value, None, None)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
