"""The page of the stage `reward`: how well the scorer ranks, beside what needs no learning, and where it is most wrong.

One HTML file that loads nothing; all text of people and models is escaped. Equal results give equal bytes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from plumbline.params import Reward
from plumbline.report.charts import Bar, Line, bars, lines
from plumbline.report.document import document

NAMES = {
    "scorer": "scorer",
    "longer": "longer wins",
    "shorter": "shorter wins",
    "random": "random",
    "gold": "gold score",
}
STYLES = {"scorer": "series-1", "longer": "series-0", "shorter": "series-0", "random": "series-0", "gold": "series-2"}
UNLEARNED = ("longer", "shorter", "random")

Numbers = Mapping[str, Any]  # value, low, high


def page(
    numbers: dict[str, Any], wrong: Sequence[dict[str, Any]], curves: Sequence[dict[str, float]], params: Reward
) -> str:
    """The whole report as one HTML document."""
    return document(
        "reward.html.j2",
        {"NAMES": NAMES, "percent": percent, "signed": signed, "span": span, "people": people},
        it=numbers,
        title=title(numbers),
        verdict=verdict(numbers),
        wrong=wrong,
        settings=params.model_dump(),
        accuracy_chart=accuracy_chart(numbers["accuracy"], "Share of people's votes"),
        majority_chart=accuracy_chart(numbers["majority_accuracy"], "Share of pairs as most people have them"),
        distance_chart=distance_chart(numbers["accuracy_by_distance"]),
        calibration_chart=calibration_chart(numbers["calibration"]),
        loss_chart=curve_chart(curves, "loss", "Loss by step"),
        accuracy_curve=curve_chart(curves, "accuracy", "Accuracy by step"),
    )


def title(numbers: dict[str, Any]) -> str:
    """The result in one sentence."""
    return (
        f"The scorer agrees with {percent(numbers['accuracy']['scorer']['value'])} of people's votes on held-out pairs"
    )


def verdict(numbers: dict[str, Any]) -> str:
    """Whether it is clearly better than the best of what needs no learning."""
    accuracy = numbers["accuracy"]
    best = max(UNLEARNED, key=lambda name: accuracy[name]["value"])
    scorer, other = accuracy["scorer"], accuracy[best]
    beside = f"“{NAMES[best]}”, the best rule that needs no learning, gets {percent(other['value'])}"
    if scorer["low"] is None or other["high"] is None:
        return f"There is one group of prompts only, too few to tell how sure that is; {beside}."
    if scorer["low"] > other["high"]:
        return f"That is clearly more than chance or length explain: {beside}."
    return f"That is not clearly more than what needs no learning: {beside}."


def percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def signed(value: float | None) -> str:
    """A correlation with its sign."""
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def span(numbers: Numbers, show: Any) -> str:
    """The 95 % interval; empty where there is none."""
    low, high = numbers["low"], numbers["high"]
    return "" if low is None or high is None else f"{show(low)} to {show(high)}"


def people(agreeing: float, judged: float) -> str:
    """How many of those who judged a pair; a tie is half a vote."""
    if judged == 1:
        return "The one person asked"
    return f"{agreeing:g} of {judged:g} people{'' if agreeing == round(agreeing) else ' (a tie is half a vote)'}"


def accuracy_chart(accuracy: Mapping[str, Numbers], label: str) -> str:
    """Accuracies as bars with whiskers, one for each way to order a pair."""
    groups = [
        (NAMES[name], [Bar(STYLES[name], f"{NAMES[name]}: {percent(each['value'])}", *ends(each))])
        for name, each in accuracy.items()
    ]
    return bars(groups, f"{label}, with 95 % intervals")


def distance_chart(by_distance: Mapping[str, Numbers]) -> str:
    """The scorer's accuracy by how many ranks of the joint ranking two completions are apart."""
    groups = [
        (ranks_apart(apart), [Bar("series-1", f"{ranks_apart(apart)}: {percent(each['value'])}", *ends(each))])
        for apart, each in by_distance.items()
    ]
    return bars(groups, "Accuracy by distance in rank, with 95 % intervals")


def ranks_apart(apart: str) -> str:
    return {"0": "same rank", "1": "1 rank"}.get(apart, f"{apart} ranks")


def ends(numbers: Numbers) -> tuple[float, float | None, float | None]:
    return numbers["value"], numbers["low"], numbers["high"]


def calibration_chart(bins: Sequence[Numbers]) -> str:
    """The share of votes for the scorer's order against what it says, beside the line on which both are equal."""
    return lines(
        [
            Line("series-0", "as many votes as it says", [(50.0, 50.0), (100.0, 100.0)]),
            Line("series-1", "scorer", [(100 * each["predicted"], 100 * each["observed"]) for each in bins]),
        ],
        "Share of votes for the scorer's order, by the share that it says, both in percent",
        "share that the scorer says, %",
    )


def curve_chart(curves: Sequence[Mapping[str, float]], name: str, label: str) -> str:
    """A number of the training by step, and the same on validation rankings."""
    return lines(
        [
            Line(style, column, [(row["step"], row[column]) for row in curves if column in row])
            for style, column in (("series-0", name), ("series-1", f"validation_{name}"))
        ],
        label,
        "step",
    )
