"""Verdicts on pairs: rankings, cycles, votes, aggregation and agreement, each a law or worked by hand."""

from itertools import combinations, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline.data.rankings import aggregate, alpha, cycle, dense_ranks, ranking, turned, verdicts_of, votes

RANKS = st.lists(st.integers(1, 5), min_size=2, max_size=6)
VERDICTS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from([-1, 0, 1]),
    min_size=1,
)


def test_a_ranking_of_three_is_three_pairs_and_a_tie_is_none_of_the_better():
    assert verdicts_of([2, 1, 3]) == {(0, 1): -1, (0, 2): 1, (1, 2): 1}
    assert verdicts_of([1, 1, 2]) == {(0, 1): 0, (0, 2): 1, (1, 2): 1}
    assert votes([verdicts_of([2, 1, 3])], ties=True) == {(0, 2): 1, (1, 0): 1, (1, 2): 1}


def test_a_tie_is_half_a_vote_each_way_or_none():
    tied = verdicts_of([1, 1, 2])
    assert votes([tied], ties=True) == {(0, 1): 0.5, (1, 0): 0.5, (0, 2): 1, (1, 2): 1}
    assert votes([tied], ties=False) == {(0, 2): 1, (1, 2): 1}
    assert votes([tied, verdicts_of([2, 1, 2])], ties=True)[1, 0] == 1.5


@given(st.lists(RANKS.filter(lambda ranks: len(ranks) == 4), min_size=1, max_size=4))
def test_every_person_has_one_vote_on_every_pair(rankings):
    counted = votes([verdicts_of(ranks) for ranks in rankings], ties=True)
    for one, other in combinations(range(4), 2):
        assert counted.get((one, other), 0) + counted.get((other, one), 0) == len(rankings)


@given(RANKS)
def test_verdicts_give_their_ranking_back(ranks):
    found = ranking(verdicts_of(ranks))
    assert [found[place] for place in range(len(ranks))] == dense_ranks(ranks) == aggregate([verdicts_of(ranks)])


@given(VERDICTS)
def test_either_there_is_a_circle_of_better_ones_or_a_ranking_that_keeps_every_preference(verdicts):
    circle = cycle(verdicts)
    if circle:
        assert len(set(circle)) == len(circle) >= 3
        for one, other in zip(circle, [*circle[1:], circle[0]], strict=True):
            pair, verdict = turned(one, other, 1)
            assert verdicts[pair] == verdict
    else:
        ranks = ranking(verdicts)
        assert all(ranks[one] < ranks[other] for (one, other), verdict in verdicts.items() if verdict == 1)
        assert all(ranks[one] > ranks[other] for (one, other), verdict in verdicts.items() if verdict == -1)
        assert set(ranks.values()) == set(range(1, len(set(ranks.values())) + 1))


def test_the_shortest_circle_is_named():
    long = {(0, 1): 1, (1, 2): 1, (2, 3): 1, (0, 3): -1}
    assert cycle(long) == [0, 1, 2, 3]
    assert cycle({**long, (1, 3): -1}) == [1, 2, 3]
    assert cycle({(0, 1): 1, (1, 2): 1, (0, 2): 0}) == []


def test_a_preference_is_kept_where_wins_less_losses_would_turn_it_round():
    # 0 beats 1 beats 2, and 2 beats three others that 0 and 1 were not compared with
    ranks = ranking({(0, 1): 1, (1, 2): 1, (2, 3): 1, (2, 4): 1, (2, 5): 1})
    assert ranks[0] < ranks[1] < ranks[2] < ranks[3]


def test_people_are_aggregated_by_their_mean_rank_and_equal_means_tie():
    assert aggregate([verdicts_of([1, 2, 3]), verdicts_of([2, 1, 3])]) == [1, 1, 2]
    assert aggregate([verdicts_of([1, 2, 3]), verdicts_of([2, 1, 3]), verdicts_of([1, 2, 3])]) == [1, 2, 3]
    # mean places 1.5+3, 1.5+1, 3+2 over two people, ties sharing theirs
    assert aggregate([verdicts_of([1, 1, 2]), verdicts_of([3, 1, 2])]) == [2, 1, 3]


@given(st.lists(st.permutations([1, 2, 3, 4]), min_size=1, max_size=5), st.permutations(range(4)))
def test_aggregation_does_not_know_the_order_of_people_or_completions(rankings, order):
    whole = aggregate([verdicts_of(ranks) for ranks in rankings])
    assert whole == aggregate([verdicts_of(ranks) for ranks in reversed(rankings)])
    moved = aggregate([verdicts_of([ranks[place] for place in order]) for ranks in rankings])
    assert moved == [whole[place] for place in order]


def test_a_person_who_saw_two_of_three_counts_for_these():
    assert aggregate([verdicts_of([1, 2, 3]), {(1, 2): -1}]) == [1, 3, 2]


def test_agreement_is_1_for_equal_people_minus_for_opposites_and_nothing_for_one():
    same = [[verdicts_of([1, 2, 3])] * 2]
    assert alpha(same) == 1
    # three pairs both ways make six units of 1 and -1: disagreement 6 * 8, twelve values whose squares sum to 12
    assert alpha([[verdicts_of([1, 2, 3]), verdicts_of([3, 2, 1])]]) == pytest.approx(1 - 48 * 11 / (2 * 12 * 12))
    assert alpha([[verdicts_of([1, 2, 3])]]) is None
    assert alpha([]) is None


def brute_force_alpha(units):
    """The definition: observed over expected disagreement, on coincidences of values."""
    values = [value for unit in units for value in unit]
    observed = sum(
        sum((one - other) ** 2 for one, other in permutations(unit, 2)) / (len(unit) - 1) for unit in units
    ) / len(values)
    expected = sum((one - other) ** 2 for one, other in permutations(values, 2)) / (len(values) * (len(values) - 1))
    return 1 - observed / expected


@given(st.lists(st.lists(st.permutations([1, 2, 3]), min_size=2, max_size=4), min_size=1, max_size=4))
def test_agreement_is_krippendorffs_alpha_by_its_definition(prompts):
    units = []
    for rankings in prompts:
        for one, other in combinations(range(3), 2):
            unit = [(ranks[one] < ranks[other]) - (ranks[one] > ranks[other]) for ranks in rankings]
            units += [unit, [-verdict for verdict in unit]]
    found = alpha([[verdicts_of(ranks) for ranks in rankings] for rankings in prompts])
    assert found == pytest.approx(brute_force_alpha(units))


@given(st.lists(st.permutations([1, 2, 3]), min_size=2, max_size=4), st.permutations(range(3)))
def test_agreement_does_not_depend_on_what_was_shown_first(rankings, order):
    moved = [[ranks[place] for place in order] for ranks in rankings]
    assert alpha([list(map(verdicts_of, rankings))]) == pytest.approx(alpha([list(map(verdicts_of, moved))]))
