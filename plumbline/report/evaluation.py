"""The page of the stage `evaluate`: what was trained, what improved by how much, and the answers themselves.

One HTML file that loads nothing: style sheet and pictures are inside, and all text of models is escaped. Equal
results give equal bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2
from statistics import median
from typing import Any, NamedTuple

from plumbline.report.charts import Bar, Line, bars, lines
from plumbline.report.document import document
from plumbline.report.words import nearest, word_differences
from plumbline.rows import Example

NAMES = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "bleu": "BLEU",
    "exact_match": "exact match",
    "token_f1": "token F1",
    "loss": "loss",
}
SCALES = {"bleu": 100.0}  # of the metrics that do not end at 1; the loss has no end and no bar
LOWER_IS_BETTER = ("loss",)
FEW_GROUPS = 10  # below, a percentile interval covers the truth less than nine times in ten (docs/stages.md)
LABEL_WORDS = 3  # answers of up to so many words are labels: right or wrong

Numbers = dict[str, float | None]  # value, low, high
Table = dict[str, dict[str, dict[str, Numbers]]]  # task -> model -> metric


@dataclass(frozen=True)
class Sample:
    """A held-out row and what each model answered."""

    row: Example
    answers: dict[str, str]


@dataclass(frozen=True)
class Evaluation:
    """Everything that the page shows. The first model of every task's scores is the one compared with.

    Adapters stand among the scores of the tasks that they were trained on; `forgetting` has every task of each, and of
    the policy, which stands nowhere else: its answers follow no reference.
    """

    rows: dict[str, int]
    groups: dict[str, int]
    scores: Table
    differences: Table
    forgetting: dict[str, dict[str, dict[str, Any]]]  # model -> task -> rows, before, after, difference
    headline: dict[str, str]
    settings: dict[str, Any]
    base: dict[str, Any]
    trained: dict[str, dict[str, int]]
    adapters: dict[str, dict[str, Any]]
    sweep: dict[str, Any] | None  # a result of benchmarks/ranks.py
    curves: list[Numbers]
    samples: list[Sample]

    @property
    def models(self) -> list[str]:
        """Those that answered every row."""
        return [name for name in next(iter(self.scores.values())) if name not in self.adapters]


class Change(NamedTuple):
    """A paired difference in words: `kind` is better, worse, unclear or unknown."""

    kind: str
    text: str


def page(evaluation: Evaluation) -> str:
    """The whole report as one HTML document."""
    helpers = {
        "FEW_GROUPS": FEW_GROUPS,
        "NAMES": NAMES,
        "number": number,
        "span": span,
        "sentence": sentence,
        "signed": signed,
        "signed_span": signed_span,
        "change": change,
        "chart": chart,
        "share": share,
        "rank_chart": rank_chart,
        "described": described,
        "against": against,
        "nearest": nearest,
        "word_differences": word_differences,
    }
    return document(
        "evaluation.html.j2",
        helpers,
        it=evaluation,
        title=title(evaluation),
        styles={name: f"series-{index % 5}" for index, name in enumerate([*evaluation.models, *evaluation.adapters])},
        loss_curves=loss_curves(evaluation.curves),
        rate_curve=rate_curve(evaluation.curves),
        rank_curves=rank_curves(evaluation.sweep),
    )


def headline_metric(references: Sequence[Sequence[str]]) -> str:
    """The metric that a task is first judged by: exact match where answers are labels, ROUGE-L where they are text."""
    typical = median(len(text.split()) for texts in references for text in texts)
    return "exact_match" if typical <= LABEL_WORDS else "rougeL"


def title(evaluation: Evaluation) -> str:
    """The result in one sentence: on how many tasks the last model is clearly better than the first, or worse."""
    first, last = evaluation.models[0], evaluation.models[-1]
    kinds = [
        change(metric, evaluation.differences[task][against(evaluation, last)][metric]).kind
        for task, metric in evaluation.headline.items()
    ]
    better, worse, all_tasks = kinds.count("better"), kinds.count("worse"), plural(len(kinds), "task")
    if better == len(kinds):
        which = f"all {all_tasks}" if len(kinds) > 1 else "the one task"
        return f"{last} is better than {first} on {which}"
    text = f"{last} is better than {first} on {better} of {all_tasks}"
    if not better:
        text = f"{last} is not clearly better than {first} on any of {all_tasks}"
    return f"{text}, and worse on {worse}" if worse else text


def sentence(evaluation: Evaluation, model: str) -> str:
    """What training did on the first task, with its interval."""
    task, metric = next(iter(evaluation.headline.items()))
    before, after = (evaluation.scores[task][name][metric] for name in (evaluation.models[0], model))
    difference = evaluation.differences[task][against(evaluation, model)][metric]
    if before["value"] is None or after["value"] is None:
        return ""
    moved = f"{NAMES[metric]} went from {number(metric, before['value'])} to {number(metric, after['value'])}"
    by = f"{signed(metric, difference['value'])}, 95 % interval {signed_span(metric, difference) or 'unknown'}"
    return f"On {plural(evaluation.rows[task], 'held-out row')} of {task}, {moved} ({by})."


def described(evaluation: Evaluation, model: str) -> str:
    """What was done to a model in a few words."""
    if model in evaluation.trained:
        return "all weights, " + ("many tasks" if len(evaluation.trained[model]) > 1 else "one task")
    adapter = evaluation.adapters.get(model)
    if adapter is None:
        return "policy on instruct, learned from a scorer"
    how = {"lora": "LoRA", "prompt": "soft prompt", "full": "all weights"}[adapter["kind"]]
    return f"{how} on {adapter['start']}, {', '.join(adapter['tasks'])}"


def share(part: float, whole: float) -> str:
    """A part in percent, in two digits below 100."""
    percent = 100 * part / whole
    return f"{percent:.2g} %" if percent < 99.5 else f"{percent:.0f} %"


def against(evaluation: Evaluation, model: str) -> str:
    """The name of a model's comparison with the first one."""
    return f"{model} - {evaluation.models[0]}"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def change(metric: str, difference: Numbers) -> Change:
    """What a paired difference says: clear only when its interval leaves out zero."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None:
        return Change("unknown", "too few rows to tell" if difference["value"] is not None else "cannot be computed")
    if low <= 0 <= high:
        return Change("unclear", "no clear difference")
    return Change("worse", "worse") if (low > 0) == (metric in LOWER_IS_BETTER) else Change("better", "better")


def digits(metric: str) -> int:
    """How many decimals a metric is worth on its scale."""
    return 1 if metric in SCALES else 3


def number(metric: str, value: float | None) -> str:
    """A score as people read it; a dash where there is none."""
    return "–" if value is None else f"{value:.{digits(metric)}f}"


def span(metric: str, numbers: Numbers) -> str:
    """The interval of a score; empty where there is none."""
    low, high = numbers["low"], numbers["high"]
    return "" if low is None or high is None else f"{number(metric, low)} to {number(metric, high)}"


def signed(metric: str, value: float | None) -> str:
    """A difference with its sign."""
    return "–" if value is None else f"{value:+.{digits(metric)}f}".replace("-", "−")


def signed_span(metric: str, numbers: Numbers) -> str:
    """The interval of a difference; empty where there is none."""
    low, high = numbers["low"], numbers["high"]
    return "" if low is None or high is None else f"{signed(metric, low)} to {signed(metric, high)}"


def chart(scores: dict[str, dict[str, Numbers]], styles: dict[str, str], task: str) -> str:
    """The task's scores as bars between 0 and 1, one per model, with whiskers; BLEU divided by 100."""
    groups = []
    for metric in next(iter(scores.values())):
        members = [
            Bar(styles[model], f"{model}: {NAMES[metric]} {number(metric, table[metric]['value'])}", *on_axis)
            for model, table in scores.items()
            if (on_axis := scaled(metric, table[metric]))
        ]
        if members and metric not in LOWER_IS_BETTER:
            groups.append((NAMES[metric] + (f" ÷{SCALES[metric]:.0f}" if metric in SCALES else ""), members))
    return bars(groups, f"Scores of each model on {task}, with 95 % intervals; the table beside has the numbers")


def scaled(metric: str, numbers: Numbers) -> tuple[float, float | None, float | None] | None:
    """Value, low and high between 0 and 1; None where there is no value."""
    scale = SCALES.get(metric, 1.0)
    value, low, high = (None if end is None else end / scale for end in ends(numbers))
    return None if value is None else (value, low, high)


def ends(numbers: Numbers) -> tuple[float | None, float | None, float | None]:
    return numbers["value"], numbers["low"], numbers["high"]


def loss_curves(curves: Sequence[Numbers]) -> str:
    """Training loss of every step, and validation loss where it was measured."""
    return lines(
        [
            Line("series-0", "training loss", points(curves, "loss")),
            Line("series-1", "validation loss", points(curves, "validation_loss")),
        ],
        "Training and validation loss by step",
        "step",
    )


def rate_curve(curves: Sequence[Numbers]) -> str:
    """The learning rate of every step."""
    return lines([Line("series-2", "learning rate", points(curves, "learning_rate"))], "Learning rate by step", "step")


def rank_curves(sweep: dict[str, Any] | None) -> list[Line]:
    """ROUGE-L of a LoRA by the logarithm of its rank, and across all ranks that of all weights and of the bare base."""
    if sweep is None:
        return []
    by_targets: dict[str, list[tuple[float, float]]] = {}
    for each in sweep["points"]:
        by_targets.setdefault(each["targets"], []).append((log2(each["rank"]), each["rougeL"]["value"]))
    across = sorted({x for curve in by_targets.values() for x, _ in curve})
    for each in (sweep["full"], sweep["base"]):
        by_targets[each["targets"]] = [(x, each["rougeL"]["value"]) for x in (across[0], across[-1])]
    return [Line(f"series-{number}", name, curve) for number, (name, curve) in enumerate(by_targets.items())]


def rank_chart(curves: Sequence[Line]) -> str:
    """The curves over the ranks that stand behind the logarithms."""
    return lines(curves, "ROUGE-L by rank", "rank", tick_name=lambda tick: f"{2**tick:g}")


def points(curves: Sequence[Numbers], column: str) -> list[tuple[float, float]]:
    """The steps at which a column was measured, with its values."""
    pairs = ((row["step"], row.get(column)) for row in curves)
    return [(step, value) for step, value in pairs if step is not None and value is not None]
