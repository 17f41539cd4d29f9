"""Named alarms over the cycles of reinforcement learning: signs that the policy games its reward.

Every detector sees the history as plain numbers, smoothed by the mean over the last `window` cycles (over fewer at the
beginning). What is normal is read off the first cycle: its answers are the reference's own, as nothing was learned yet.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Alarm(NamedTuple):
    """What was seen in the last cycle, the limit that it is beyond, and the cycle since which it has been (from 0)."""

    name: str
    seen: float
    limit: float
    since: int

    def __str__(self) -> str:
        side = "above" if self.seen > self.limit else "below"
        return f"{self.name}: {self.seen:.3g} is {side} {self.limit:.3g} since cycle {self.since}"


class Limits(NamedTuple):
    """From where on something is an alarm."""

    window: int  # cycles in a mean
    kl_budget: float  # nats per answer
    kl_noise: float  # standard errors that the divergence may be below zero
    length_factor: float  # by which answers may become longer or shorter
    repetition_rise: float  # share of words
    entropy_share: float  # of the first cycle's entropy
    distinct_share: float  # of the first cycle's distinct n-grams
    ended_fall: float  # share of answers
    second_fall: float  # deviations of reference answers' scores


Series = Float[np.ndarray, " cycles"]

ROUNDING = 1e-3  # nats per answer that floating-point sums may take a divergence below zero


def alarms(history: Sequence[Mapping[str, float]], limits: Limits) -> list[Alarm]:
    """The alarms that stand after the last cycle.

    A cycle holds `kl_k1`, `kl_error`, `score`, `length`, `entropy`, `ended` (see `ppo.cycle_statistics`), `repetition`
    and `distinct` (see `diversity`), and, where there is one, `second_score`: the mean score of the same answers by a
    second, independently seeded scorer, or their gold score, in deviations of the reference answers' scores.
    """
    first = history[0]
    mean = {name: smoothed(np.array([cycle[name] for cycle in history], dtype=float), limits.window) for name in first}
    error = np.sqrt(smoothed(np.array([cycle["kl_error"] ** 2 for cycle in history]), limits.window))
    error /= np.sqrt(np.minimum(np.arange(len(history)) + 1, limits.window))
    found = [
        above("kl", mean["kl_k1"], limits.kl_budget),
        below("negative kl", mean["kl_k1"], -ROUNDING - limits.kl_noise * error),
        above("long answers", mean["length"], first["length"] * limits.length_factor),
        below("short answers", mean["length"], first["length"] / limits.length_factor),
        above("repetition", mean["repetition"], first["repetition"] + limits.repetition_rise),
        below("entropy", mean["entropy"], first["entropy"] * limits.entropy_share),
        below("distinct", mean["distinct"], first["distinct"] * limits.distinct_share),
        below("ended", mean["ended"], first["ended"] - limits.ended_fall),
    ]
    if "second_score" in first:
        found.append(above("reward hacking", hidden_fall(mean["score"], mean["second_score"]), limits.second_fall))
    return [alarm for alarm in found if alarm is not None]


def hidden_fall(score: Series, second: Series) -> Series:
    """How far the second score is below its best so far, where the score has risen since that best; else 0.

    The mark of an over-optimised proxy. Gao, Schulman and Hilton (2023), figure 1.
    """
    best = np.array([second[: cycle + 1].argmax() for cycle in range(len(second))])
    return np.where(score > score[best], second[best] - second, 0.0)


def smoothed(series: Series, window: int) -> Series:
    """The mean of each value and those before it, `window` of them where there are as many."""
    return np.array([series[max(end - window, 0) : end].mean() for end in range(1, len(series) + 1)])


def above(name: str, seen: Series, limit: Series | float) -> Alarm | None:
    """An alarm if the last value is above its limit."""
    return standing(name, seen, np.broadcast_to(limit, seen.shape), seen > limit)


def below(name: str, seen: Series, limit: Series | float) -> Alarm | None:
    """An alarm if the last value is below its limit."""
    return standing(name, seen, np.broadcast_to(limit, seen.shape), seen < limit)


def standing(name: str, seen: Series, limit: Series, beyond: Bool[np.ndarray, " cycles"]) -> Alarm | None:
    """The alarm of the last cycle, if it is beyond its limit, with the first cycle of the unbroken run up to it."""
    if not beyond[-1]:
        return None
    since = len(beyond) - int(np.argmin(beyond[::-1])) if not beyond.all() else 0
    return Alarm(name, float(seen[-1]), float(limit[-1]), since)
