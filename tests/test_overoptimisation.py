"""benchmarks/overoptimisation.py draws what it measured; the runs themselves are those of the stages."""

import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.overoptimisation import path, plot


def run(rankings, coefficient):
    cycles = [{"score": 0.1 * n, "gold": 0.2 - 0.01 * n, "kl_k1": n**2 - 0.5 * (n == 0)} for n in range(6)]
    return {"rankings": rankings, "coefficient": coefficient, "cycles": cycles}


def test_a_path_begins_at_the_reference_and_goes_by_the_root_of_the_mean_divergence():
    points = path(run(60, 0.0), "score")
    assert points[0] == (0.0, 0.0)  # an estimate below zero is no divergence
    assert points[-1] == pytest.approx(((1 + 4 + 9 + 16 + 25) ** 0.5 / 5**0.5, 0.3))


def test_the_plot_has_a_column_a_scorer_and_a_row_a_score_and_is_the_same_every_time():
    runs = [run(rankings, coefficient) for rankings in (60, 240, 909) for coefficient in (0.0, 0.2)]
    text = plot(runs)
    assert text == plot(runs)
    charts = [each for each in ElementTree.fromstring(text).iter() if each.get("aria-label")]
    assert len(charts) == 6 and {chart.get("width") for chart in charts} == {"520"}
    assert text.count("<polyline") == 6 * 3  # two policies each, and a frame that gives a row the same axes
