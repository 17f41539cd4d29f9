"""Laws of the cluster bootstrap."""

import numpy as np
import pytest

from plumbline.algorithms.bootstrap import NOTHING, Interval, bootstrap, draws, paired_difference, ratio

DRAWS = {"resamples": 400, "seed": 1}


def scored(scores):
    """Contributions of scores to their mean."""
    return np.stack([np.asarray(scores, dtype=float), np.ones(len(scores))], axis=1)


def names(count):
    return [f"group {number}" for number in range(count)]


def test_the_value_is_the_mean_and_lies_in_its_interval():
    scores = np.random.default_rng(0).random(80)
    value, low, high = bootstrap(scored(scores), names(80), ratio, **DRAWS)
    assert value == pytest.approx(scores.mean())
    assert low < value < high


def test_equal_scores_have_no_width():
    value, low, high = bootstrap(scored([0.7] * 30), names(30), ratio, **DRAWS)
    assert high - low == pytest.approx(0, abs=1e-12) and value == pytest.approx(0.7)


def test_identical_systems_differ_by_exactly_zero():
    rows = scored(np.random.default_rng(0).random(50))
    assert paired_difference(rows, rows.copy(), names(50), ratio, **DRAWS) == Interval(0.0, 0.0, 0.0)


def test_a_constant_lead_has_no_width_however_much_the_rows_vary():
    scores = np.random.default_rng(0).random(50)
    value, low, high = paired_difference(scored(scores + 0.1), scored(scores), names(50), ratio, **DRAWS)
    assert (value, low, high) == pytest.approx((0.1, 0.1, 0.1))


def test_the_order_of_the_rows_does_not_matter():
    generator = np.random.default_rng(0)
    rows, groups = scored(generator.random(60)), [f"group {number // 3}" for number in range(60)]
    order = generator.permutation(60)
    shuffled = bootstrap(rows[order], [groups[index] for index in order], ratio, **DRAWS)
    assert shuffled == pytest.approx(bootstrap(rows, groups, ratio, **DRAWS), abs=1e-12)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    rows = scored(np.random.default_rng(0).random(40))
    assert bootstrap(rows, names(40), ratio, **DRAWS) == bootstrap(rows, names(40), ratio, **DRAWS)
    assert bootstrap(rows, names(40), ratio, **DRAWS) != bootstrap(rows, names(40), ratio, resamples=400, seed=2)


def test_every_draw_holds_as_many_groups_as_there_are():
    drawn = draws(17, 50, seed=0)
    assert drawn.shape == (50, 17) and (drawn.sum(axis=1) == 17).all()


def test_copies_of_a_row_in_its_own_group_add_nothing_to_what_is_known():
    scores = np.random.default_rng(0).random(30)
    once = bootstrap(scored(scores), names(30), ratio, **DRAWS)
    tenfold = bootstrap(scored(np.repeat(scores, 10)), np.repeat(names(30), 10).tolist(), ratio, **DRAWS)
    assert tenfold == pytest.approx(once)


def test_a_ratio_weighs_rows_by_their_denominator():
    rows = np.array([[2.0, 10.0], [9.0, 10.0], [0.0, 80.0]])
    assert bootstrap(rows, names(3), ratio, **DRAWS).value == pytest.approx(11 / 100)


def test_nothing_to_score_gives_none_and_one_group_gives_no_interval():
    assert bootstrap(np.zeros((0, 2)), [], ratio, **DRAWS) == NOTHING
    assert paired_difference(np.zeros((0, 2)), np.zeros((0, 2)), [], ratio, **DRAWS) == NOTHING
    assert bootstrap(scored([0.2, 0.4]), ["one", "one"], ratio, **DRAWS) == (pytest.approx(0.3), None, None)


def test_systems_with_different_rows_are_refused():
    with pytest.raises(ValueError, match="same rows"):
        paired_difference(scored([1.0]), scored([1.0, 0.0]), ["one"], ratio, **DRAWS)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """600 worlds of 40 groups of three rows that share most of their luck; resampling rows would cover far less.

    With 40 groups the percentile interval is a little short: 0.934 in 2,000 worlds, where 0.95 was asked for.
    """
    generator = np.random.default_rng(0)
    groups = np.repeat(names(40), 3).tolist()
    by_group = by_row = 0
    for world in range(600):
        rows = scored(np.repeat(generator.normal(0.5, 0.1, 40), 3) + generator.normal(0, 0.02, 120))
        covered = [
            result.low <= 0.5 <= result.high
            for result in (bootstrap(rows, each, ratio, resamples=400, seed=world) for each in (groups, names(120)))
        ]
        by_group, by_row = by_group + covered[0], by_row + covered[1]
    assert 0.91 <= by_group / 600 <= 0.97
    assert by_row / 600 < 0.85


def test_the_width_agrees_with_the_normal_theory_of_the_mean():
    scores = np.random.default_rng(0).normal(size=400)
    _, low, high = bootstrap(scored(scores), names(400), ratio, resamples=4000, seed=1)
    assert high - low == pytest.approx(2 * 1.96 * scores.std() / np.sqrt(400), rel=0.05)
