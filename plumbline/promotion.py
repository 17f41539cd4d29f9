"""Whether a model is better than the one that answers now: a paired comparison on the same held-out rows.

Stage `evaluate` leaves all that is needed; nothing is generated again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from plumbline.algorithms.bootstrap import Interval, paired_difference, ratio
from plumbline.errors import ArtifactError
from plumbline.store import need, read_json

MADE_BY = ("decoding", "max_new_tokens", "stemmer")  # settings without which two scores cannot be compared


class Scored(NamedTuple):
    """A held-out row and the score of a model's answer to it; None where its references cannot be scored."""

    task: str
    id: str
    group: str
    score: float | None


@dataclass(frozen=True)
class Evaluation:
    """How a model did on the held-out rows of its tasks, by the first metric of each task."""

    rows: str  # SHA-256 of what was asked and of the answers that were accepted
    settings: dict[str, Any]  # how the answers were made and scored
    metrics: dict[str, str]  # task -> metric
    scored: tuple[Scored, ...]

    @property
    def key(self) -> str:
        """Two evaluations with this in common can be compared."""
        settings = json.dumps([self.settings, self.metrics], sort_keys=True)
        return f"{self.rows[:16]}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def as_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "settings": self.settings, "metrics": self.metrics, "scored": self.scored}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Evaluation":
        scored = tuple(Scored(*each) for each in content["scored"])
        return cls(content["rows"], content["settings"], content["metrics"], scored)


class Verdict(NamedTuple):
    """Whether the one model is to take the other's place, and why in one line."""

    better: bool
    reason: str


def read_evaluation(folder: Path, model: str) -> Evaluation:
    """What stage `evaluate` has left in `folder` of one model or adapter, on the tasks that it was trained on."""
    numbers = read_json(need(folder, "metrics.json", "answers.jsonl", stage="evaluate") / "metrics.json")
    tasks = [task for task, models in numbers["scores"].items() if model in models]
    if not tasks:
        raise ArtifactError(f"{folder}: no scores of {model}; run `dvc repro evaluate`")
    metrics = {task: numbers["forgetting"][model][task]["metric"] for task in tasks}
    asked, scored = [], []
    with (folder / "answers.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["model"] == model and row["task"] in tasks:
                asked.append([row[name] for name in ("task", "id", "group", "prompt", "references")])
                scored.append(Scored(row["task"], row["id"], row["group"], row[metrics[row["task"]]]))
    rows = hashlib.sha256(json.dumps(sorted(asked), ensure_ascii=False).encode()).hexdigest()
    settings = {name: numbers["settings"][name] for name in MADE_BY}
    return Evaluation(rows, settings, metrics, tuple(sorted(scored, key=lambda each: each[:2])))


def difference(first: Evaluation, second: Evaluation, task: str | None, *, resamples: int, seed: int) -> Interval:
    """How much better the first did, paired on the rows, with the 95 % interval over groups; of one task or of all.

    Of all tasks it is the mean over the rows: every row counts the same, and both metrics lie between 0 and 1.
    """
    if first.key != second.key:
        raise ValueError(f"evaluations of other rows or settings: {first.key}, {second.key}")
    pairs = [
        (ours, theirs)
        for ours, theirs in zip(first.scored, second.scored, strict=True)
        if task in (None, ours.task) and ours.score is not None and theirs.score is not None
    ]
    ours, theirs = (np.array([(pair[side].score, 1) for pair in pairs], dtype=float) for side in (0, 1))
    groups = [pair[0].group for pair in pairs]
    return paired_difference(ours, theirs, groups, ratio, resamples=resamples, seed=seed)


def compare(candidate: Evaluation, champion: Evaluation, *, resamples: int, seed: int) -> Verdict:
    """Better is a candidate whose interval over all rows lies above zero, and of no task below."""
    overall = difference(candidate, champion, None, resamples=resamples, seed=seed)
    count = len(candidate.scored)
    if overall.value is None or overall.low is None or overall.high is None:
        return Verdict(False, f"{count} held-out rows of one source are too few to tell")
    told = (
        f"{signed(overall.value)} a row, 95 % interval {signed(overall.low)} to {signed(overall.high)}, "
        f"on the same {count} held-out rows"
    )
    if overall.high < 0:
        return Verdict(False, f"worse than the champion: {told}")
    if overall.low <= 0:
        return Verdict(False, f"not clearly better than the champion: {told}")
    for task in candidate.metrics:
        each = difference(candidate, champion, task, resamples=resamples, seed=seed)
        if each.high is not None and each.low is not None and each.high < 0:
            return Verdict(
                False, f"better over all, but worse on {task}: 95 % interval {signed(each.low)} to {signed(each.high)}"
            )
    return Verdict(True, f"better than the champion: {told}")


def signed(number: float) -> str:
    return f"{number:+.3f}".replace("-", "−")
