"""What a run's page in Prefect's UI shows besides states and logs: progress of a stage, scores, and where to look next."""

import json
import re
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.events import emit_event

from flows.settings import HOST, MLFLOW_PORT
from flows.terminal import PROGRESS
from plumbline.errors import ArtifactError
from plumbline.store import read_json
from plumbline.tracking import pipeline_runs, store_address

ALARM = re.compile(r"ALARM (?P<name>[^:]+):")
PAUSE = 1.0  # seconds between two updates of a bar
SCORES = Path("artifacts/evaluate/metrics.json")


class Progress:
    """A bar on the page of a stage's task run, from the lines in which the stage counts its steps."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.artifact: UUID | None = None
        self.told = 0.0

    def line(self, text: str) -> None:
        counted = PROGRESS.match(text)
        if not counted or time.monotonic() - self.told < PAUSE:
            return
        self.told = time.monotonic()
        done, of = (int(number.replace(",", "")) for number in counted.group().split("/"))
        percent = 100 * done / max(of, 1)
        if self.artifact is None:
            self.artifact = create_progress_artifact(percent, description=f"{self.stage}: {text}")  # type: ignore[assignment]
        else:
            update_progress_artifact(self.artifact, percent, description=f"{self.stage}: {text}")


def tell_of_alarm(stage: str, text: str) -> bool:
    """Whether a line is a stage's alarm; then it becomes an event, to which an automation may react."""
    rang = ALARM.match(text)
    if rang:
        emit_event(
            "plumbline.alarm",
            resource={"prefect.resource.id": f"plumbline.stage.{stage}", "prefect.resource.name": stage},
            payload={"alarm": rang["name"], "said": text},
        )
    return bool(rang)


def scores(root: Path) -> dict[tuple[str, str, str], float]:
    """Task, model and metric with the score, of the last evaluation in this folder; empty where there is none."""
    try:
        table = read_json(root / SCORES)
        metrics = {task: each["metric"] for task, each in table["forgetting"]["instruct"].items()}
        return {
            (task, model, metrics[task]): scored[metrics[task]]["value"]
            for task, models in table["scores"].items()
            for model, scored in models.items()
        }
    except (ArtifactError, KeyError, json.JSONDecodeError):
        return {}


def publish(
    root: Path,
    name: str,
    key: str,
    stages: Collection[str],
    before: Mapping[tuple[str, str, str], float],
    experiment: bool,
) -> None:
    """Put onto the run's page: its scores beside those that were there `before`, and links to MLflow and the report."""
    now = scores(root) if "evaluate" in stages else {}
    rows = [
        {
            "task": task,
            "model": model,
            "metric": metric,
            "before this run": before.get((task, model, metric), ""),
            "now": value,
            "change": round(value - before[task, model, metric], 6) if (task, model, metric) in before else "",
        }
        for (task, model, metric), value in now.items()
    ]
    if rows:
        create_table_artifact(rows, key="scores", description="Held-out scores, beside those before this run")
    create_markdown_artifact(links(root, name, key, stages, experiment), key="links", description="Where to look next")


def links(root: Path, name: str, key: str, stages: Collection[str], experiment: bool) -> str:
    """Markdown: the run in MLflow, beside the one before it, each stage's run, the report, and the experiment."""
    address = store_address()
    page = mlflow_page(address)
    found, this, previous = pipeline_runs(key, address)
    runs = f"{page}/#/experiments/{found}/runs"
    made = {}
    for sidecar in sorted((root / "artifacts").glob("*.run.json")):
        content = read_json(sidecar)
        if content["stage"] in stages and content["run_id"]:  # none where MLflow was away
            made[content["stage"]] = content["run_id"]
    lines = [f"## {name}", ""]
    if this:
        lines.append(f"- [this run in MLflow]({runs}/{this})")
        if previous:
            both = f'["{previous}","{this}"]'
            lines.append(
                f"- [compared with the run before it]({page}/#/compare-runs?runs={both}&experiments=[%22{found}%22])"
            )
    else:
        lines.append(
            "- every stage was up to date, so this run added nothing to MLflow; the stages were made by the runs below"
        )
    if "evaluate" in made:
        lines.append(f"- [the report]({runs}/{made['evaluate']}/artifacts/report.html)")
    if experiment:
        lines.append(f"- to take its knobs and results over: `dvc exp apply {name}`; to compare: `dvc exp diff {name}`")
    lines += ["", "| stage | run that made its results |", "|---|---|"]
    lines += [f"| {stage} | [{run[:8]}]({runs}/{run}) |" for stage, run in made.items()]
    return "\n".join(lines).replace('"', "%22")


def mlflow_page(address: str) -> str:
    """Where MLflow's UI is: at the tracking server, or where `make up` starts it for a store on this machine."""
    return address.rstrip("/") if address.startswith("http") else f"http://{HOST}:{MLFLOW_PORT}"
