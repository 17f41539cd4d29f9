"""People's verdicts on completions of one prompt: what they say of each pair, together, and how far they agree.

A person's verdicts are a mapping of pairs (one, other) of places, one < other, to 1 if the first is better, -1 if the
second is, and 0 for a tie. A pair that the person was not shown is not there.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, permutations
from typing import TypeVar

Pair = tuple[int, int]
Verdicts = Mapping[Pair, int]
Number = TypeVar("Number", int, Fraction)


def verdicts_of(ranks: Sequence[int]) -> dict[Pair, int]:
    """The verdicts of a ranking, 1 the best: on every pair; equal ranks are ties."""
    return {
        (one, other): (ranks[one] < ranks[other]) - (ranks[one] > ranks[other])
        for one, other in combinations(range(len(ranks)), 2)
    }


def turned(one: int, other: int, verdict: int) -> tuple[Pair, int]:
    """Pair and verdict with the lower place first."""
    return ((one, other), verdict) if one < other else ((other, one), -verdict)


def cycle(verdicts: Verdicts) -> list[int]:
    """Places that are each better than the next, and the last better than the first; a shortest one. [] if none."""
    worse: defaultdict[int, list[int]] = defaultdict(list)
    for (one, other), verdict in verdicts.items():
        if verdict:
            worse[one if verdict > 0 else other].append(other if verdict > 0 else one)
    shortest: list[int] = []
    for start in sorted(worse):
        ways, reached = [[start]], {start}
        while ways and not (shortest and len(ways[0]) >= len(shortest)):
            way = ways.pop(0)
            if start in worse[way[-1]]:
                shortest = way
                break
            ways += [[*way, place] for place in sorted(worse[way[-1]]) if place not in reached]
            reached.update(worse[way[-1]])
    return shortest


def dense_ranks(ranks: Iterable[Number]) -> list[int]:
    """Ranks renumbered 1, 2, 3 without gaps; ties stay ties. A ranking is dense when this leaves it as it is."""
    ranks = list(ranks)
    return [1 + sorted(set(ranks)).index(rank) for rank in ranks]


def ranking(verdicts: Verdicts) -> dict[int, int]:
    """Dense ranks of the places in the verdicts, none behind one that is worse. The verdicts hold no cycle.

    Of those that no other one left is better than, the next rank goes to the ones with the most wins less losses.
    Where ties carry over (a ties with b, b with c, so a with c), the ranks say just what the verdicts say.
    """
    net: Counter[int] = Counter()
    for (one, other), verdict in verdicts.items():
        net[one] += verdict
        net[other] -= verdict
    ranks: dict[int, int] = {}
    rank = 0
    while left := net.keys() - ranks.keys():
        rank += 1
        beaten = {
            other if verdict > 0 else one
            for (one, other), verdict in verdicts.items()
            if verdict and one in left and other in left
        }
        most = max(net[place] for place in left - beaten)
        ranks |= {place: rank for place in left - beaten if net[place] == most}
    return ranks


def aggregate(opinions: Iterable[Verdicts]) -> list[int]:
    """Dense ranks by the mean rank that several people give; equal means tie.

    A rank is taken as a place between the best (0) and the worst (1) that the person saw, ties sharing the mean of
    theirs; the mean is over the people who saw the completion.
    """
    given: defaultdict[int, list[Fraction]] = defaultdict(list)
    for verdicts in opinions:
        ranks = ranking(verdicts)
        for place, rank in ranks.items():
            before = sum(other < rank for other in ranks.values())
            beside = sum(other == rank for other in ranks.values()) - 1
            given[place].append(Fraction(2 * before + beside, 2 * (len(ranks) - 1)))
    return dense_ranks(sum(given[place], Fraction()) / len(given[place]) for place in sorted(given))


def votes(opinions: Iterable[Verdicts], ties: bool) -> dict[Pair, float]:
    """How many people find the first of (better, worse) better. A tie is half a vote each way, or none at all."""
    counted: defaultdict[Pair, float] = defaultdict(float)
    for verdicts in opinions:
        for (one, other), verdict in verdicts.items():
            if verdict:
                counted[(one, other) if verdict > 0 else (other, one)] += 1
            elif ties:
                counted[one, other] += 0.5
                counted[other, one] += 0.5
    return dict(sorted(counted.items()))


def alpha(opinions: Iterable[Sequence[Verdicts]]) -> float | None:
    """Krippendorff's alpha of the verdicts, on the interval scale -1, 0, 1, over the pairs that two people or more saw.

    `opinions` holds for each prompt the verdicts of its people. 1 is agreement in everything, 0 what chance gives.
    Each pair counts both ways round, so that it does not matter which completion was shown first. None where no pair
    was seen twice. Krippendorff, Content Analysis, ch. 11.
    """
    values = total = 0
    disagreement = 0.0
    for people in opinions:
        units: defaultdict[Pair, list[int]] = defaultdict(list)
        for verdicts in people:
            for pair, verdict in verdicts.items():
                units[pair].append(verdict)
        for unit in units.values():
            if len(unit) > 1:
                squares = sum((one - other) ** 2 for one, other in permutations(unit, 2))
                disagreement += 2 * squares / (len(unit) - 1)
                values += 2 * len(unit)
                total += 2 * sum(verdict**2 for verdict in unit)
    if not total:
        return None if not values else 1.0
    # Turned both ways the values sum to 0, so all squared differences of two of them sum to 2 * values * total.
    return 1 - disagreement * (values - 1) / (2 * values * total)
