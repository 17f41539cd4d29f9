"""The page of the stage `ppo`: what the policy gained, what that cost, how it went, and the answers themselves.

One HTML file that loads nothing; all text of models is escaped. Equal results give equal bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from plumbline.params import Ppo
from plumbline.report.charts import Line, lines
from plumbline.report.document import document

NAMES = {
    "gold": "gold score, 0 to 1",
    "score": "score that the policy is rewarded by",
    "second_score": "second score",
    "length": "length, tokens",
    "ended": "share that ended properly",
    "kl_k1": "divergence from the reference, nats per answer (k1)",
    "kl_k3": "the same by k3",
}
CHARTS = (
    ("score", "Score, mean over the answers of a cycle"),
    ("gold", "Gold score of the same answers"),
    ("kl_k1", "Divergence from the reference, nats per answer"),
    ("entropy", "Entropy, nats per token"),
    ("length", "Tokens per answer"),
    ("ended", "Share of answers that ended properly"),
    ("explained_variance", "Share of the returns' variance that the values foresaw"),
    ("clip_fraction", "Share of tokens whose ratio was clipped"),
)


def page(
    numbers: dict[str, Any], answers: Sequence[dict[str, Any]], curves: Sequence[Mapping[str, float]], params: Ppo
) -> str:
    """The whole report as one HTML document."""
    rows = {name: each for name, each in numbers["measured"].items() if name in NAMES}
    return document(
        "ppo.html.j2",
        {"NAMES": NAMES, "number": number, "signed": signed, "span": span},
        it=numbers,
        title=title(numbers["measured"]),
        rows={name: rows[name] for name in NAMES if name in rows},
        charts=[(label, curve_chart(curves, name, label)) for name, label in CHARTS if name in curves[0]],
        samples=answers[: params.samples],
        settings=params.model_dump(),
    )


def headline(measured: Mapping[str, Any]) -> dict[str, Any]:
    """What the result is judged by: the gold score where there is one, else the score that was learned from."""
    found: dict[str, Any] = measured["gold"] if "gold" in measured else measured["score"]
    return found


def title(measured: Mapping[str, Any]) -> str:
    """The result in one sentence."""
    judged = headline(measured)
    what = "The gold score of held-out answers" if "gold" in measured else "The score of held-out answers"
    return f"{what} {moved(judged)}: from {number(judged['before']['value'])} to {number(judged['after']['value'])}"


def moved(measured: Mapping[str, Any]) -> str:
    """Whether the interval of the difference leaves out zero, and on which side."""
    low, high = measured["difference"]["low"], measured["difference"]["high"]
    if low is not None and low > 0:
        return "rose"
    return "fell" if high is not None and high < 0 else "did not clearly change"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def span(numbers: Mapping[str, Any], show: Any) -> str:
    """The 95 % interval; a dash where there is none."""
    low, high = numbers["low"], numbers["high"]
    return "–" if low is None or high is None else f"{show(low)} to {show(high)}"


def curve_chart(curves: Sequence[Mapping[str, float]], name: str, label: str) -> str:
    """A number of the training by cycle."""
    points = [(row["step"], row[name]) for row in curves if name in row]
    return lines([Line("series-1", name, points)], label, "cycle")
