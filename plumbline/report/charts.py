"""Charts as SVG text: pure functions of numbers, equal bytes for equal numbers, coloured by the page's style sheet."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape


class Bar(NamedTuple):
    """One bar: the class that colours it, its length and the ends of its whisker, all between 0 and 1."""

    style: str
    name: str
    value: float
    low: float | None
    high: float | None


class Line(NamedTuple):
    """One curve: the class that colours it, its name and its points."""

    style: str
    name: str
    points: Sequence[tuple[float, float]]


LABEL, TRACK, RIGHT = 92, 330, 48  # widths in pixels: labels, the axis from 0 to 1, numbers
THICK, GAP, TOP = 15, 13, 20


def bars(groups: Sequence[tuple[str, Sequence[Bar]]], title: str) -> Markup:
    """Horizontal bars from 0 to 1 in labelled groups, each with a whisker for its interval."""
    parts, y = [], TOP
    for label, members in groups:
        middle = y + THICK * len(members) / 2
        parts.append(
            f'<text class="label" x="{LABEL - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(label)}</text>'
        )
        for bar in members:
            parts.append(one_bar(bar, y))
            y += THICK
        y += GAP
    grid = [
        f'<line class="grid" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="{TOP - 6}" y2="{y - GAP + 3}"/>'
        f'<text class="tick" x="{at(tick):.1f}" y="{TOP - 10}" text-anchor="middle">{tick:g}</text>'
        for tick in (0, 0.25, 0.5, 0.75, 1)
    ]
    return svg(LABEL + TRACK + RIGHT, y - GAP + 8, title, [*grid, *parts])


def one_bar(bar: Bar, y: float) -> str:
    """A bar, its whisker and its number."""
    middle, end = y + THICK / 2, max(bar.value, bar.high or 0.0)
    drawn = (
        f"<g><title>{escape(bar.name)}</title>"
        f'<rect class="{bar.style}" x="{LABEL}" y="{y + 1:.1f}" width="{max(1.0, bar.value * TRACK):.1f}" '
        f'height="{THICK - 2}" rx="1.5"/>'
    )
    if bar.low is not None and bar.high is not None:
        left, right = at(bar.low), at(bar.high)
        drawn += (
            f'<path class="whisker" d="M{left:.1f} {middle:.1f}H{right:.1f}'
            f'M{left:.1f} {middle - 3:.1f}v6M{right:.1f} {middle - 3:.1f}v6"/>'
        )
    return drawn + f'<text class="number" x="{at(end) + 6:.1f}" y="{middle + 3.5:.1f}">{bar.value:.2f}</text></g>'


def at(value: float) -> float:
    """Where a value between 0 and 1 stands on the axis."""
    return LABEL + value * TRACK


def lines(
    curves: Sequence[Line],
    title: str,
    x_label: str,
    height: int = 210,
    tick_name: Callable[[float], str] = "{:g}".format,
) -> Markup:
    """Curves over a common x axis, with round ticks; a curve of few points also shows them as dots."""
    width, left, right, top, bottom = 520, 58, 14, 12, 34
    points = [point for curve in curves for point in curve.points]
    if not points:
        return Markup("")
    x_ticks = ticks(min(x for x, _ in points), max(x for x, _ in points), whole=True)
    y_ticks = ticks(min(y for _, y in points), max(y for _, y in points))
    x_low, x_high = min(points)[0], max(points)[0]
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return left + (x - x_low) / ((x_high - x_low) or 1) * (width - left - right)

    def down(y: float) -> float:
        return top + (y_high - y) / ((y_high - y_low) or 1) * (height - top - bottom)

    parts = []
    for tick in y_ticks:
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{down(tick):.1f}" y2="{down(tick):.1f}"/>'
            f'<text class="tick" x="{left - 7}" y="{down(tick) + 4:.1f}" text-anchor="end">{tick:.4g}</text>'
        )
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            parts.append(
                f'<text class="tick" x="{across(tick):.1f}" y="{height - bottom + 17}" text-anchor="middle">'
                f"{tick_name(tick)}</text>"
            )
    parts.append(
        f'<text class="tick" x="{(left + width - right) / 2:.1f}" y="{height - 3}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    for curve in curves:
        drawn = [(across(x), down(y)) for x, y in thinned(curve.points)]
        if drawn:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
            dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in drawn) if len(drawn) <= 20 else ""
            parts.append(
                f'<g class="curve {curve.style}"><title>{escape(curve.name)}</title>'
                f'<polyline points="{path}"/>{dots}</g>'
            )
    return svg(width, height, title, parts)


def thinned(points: Sequence[tuple[float, float]], most: int = 600) -> list[tuple[float, float]]:
    """At most about `most` of the points, evenly, the last one always among them."""
    stride = max(1, math.ceil(len(points) / most))
    kept = list(points[::stride])
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


def ticks(low: float, high: float, *, whole: bool = False, about: int = 5) -> list[float]:
    """Round numbers that enclose low and high, in steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, max(last, first + 1) + 1)]


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> Markup:
    """The parts as one picture that scales with the page and is read out by its title."""
    return Markup(
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )
