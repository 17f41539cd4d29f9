"""Charts as text."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from plumbline.report.charts import LABEL, TRACK, Bar, Line, bars, lines, thinned, ticks

finite = st.floats(-1e6, 1e6, allow_subnormal=False)


def test_a_bar_is_as_long_as_its_value_and_its_whisker_as_wide_as_its_interval():
    picture = ElementTree.fromstring(bars([("ROUGE-L", [Bar("series-0", "base", 0.5, 0.25, 0.75)])], "scores"))
    assert float(picture.find(".//rect").get("width")) == TRACK / 2
    assert f"M{LABEL + TRACK / 4:.1f}" in picture.find(".//path").get("d")
    assert f"H{LABEL + TRACK * 3 / 4:.1f}" in picture.find(".//path").get("d")


def test_a_bar_without_an_interval_has_no_whisker():
    assert "whisker" not in bars([("loss", [Bar("series-0", "base", 0.5, None, None)])], "scores")


def test_text_in_a_picture_is_escaped_and_the_picture_has_a_name():
    picture = ElementTree.fromstring(bars([("<b>", [Bar("series-0", "a & b", 0.1, None, None)])], '"quoted" <title>'))
    assert picture.get("role") == "img" and picture.get("aria-label") == '"quoted" <title>'
    assert "<b>" in [text.text for text in picture.iter("text")]


def test_curves_fall_where_numbers_fall_and_an_empty_one_is_left_out():
    drawn = ElementTree.fromstring(
        lines([Line("series-0", "loss", [(1, 3.0), (2, 2.0), (3, 1.0)]), Line("series-1", "none", [])], "loss", "step")
    )
    (curve,) = drawn.iter("polyline")
    heights = [float(point.split(",")[1]) for point in curve.get("points").split()]
    assert heights == sorted(heights)  # down the page
    assert lines([Line("series-1", "none", [])], "loss", "step") == ""


def test_a_single_point_is_drawn():
    ElementTree.fromstring(lines([Line("series-0", "loss", [(5, 0.0)])], "loss", "step"))


@given(finite, finite)
def test_ticks_enclose_the_numbers_in_few_round_steps(one, other):
    low, high = sorted((one, other))
    marks = ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), 1e-300)
    assert marks[0] <= low + slack and marks[-1] >= high - slack
    assert 2 <= len(marks) <= 9 and marks == sorted(set(marks))


@given(st.lists(st.tuples(finite, finite), max_size=200), st.integers(1, 50))
def test_thinning_keeps_the_ends(points, most):
    kept = thinned(points, most)
    assert len(kept) <= most + 1 and set(kept) <= set(points)
    assert not points or (kept[0], kept[-1]) == (points[0], points[-1])
