"""Stage `evaluate`: answer held-out prompts with each model and score the answers, task by task, with intervals.

reads    base      the model before training            data  test.jsonl, train.jsonl
         instruct  the instruction-tuned model and its curves
writes   out       metrics.json, answers.jsonl, plots/<task>.csv, report.html
maths    plumbline/metrics/score.py, plumbline/algorithms/bootstrap.py
"""

import csv
import hashlib
import re
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from plumbline.errors import ArtifactError
from plumbline.params import Evaluate
from plumbline.progress import Progress
from plumbline.rows import Example, read_rows, write_rows
from plumbline.stage import run_stage
from plumbline.store import need, read_json, unfinished
from plumbline.tracking import track

REFERENCE = "base"  # the model that the others are compared with
NOT_PLOTTED = ("bleu", "loss")  # they have scales of their own


def evaluate(params: Evaluate, *, base: Path, data: Path, instruct: Path, out: Path) -> Path:
    """Compare the models on the same held-out rows: scores, paired differences, answers side by side."""
    from plumbline.metrics.score import bleu_signature
    from plumbline.metrics.table import contributions, differences, intervals, score_rows
    from plumbline.report.evaluation import Evaluation, Sample, headline_metric, page

    need(base, "base.json", stage="base")
    need(data, "test.jsonl", stage="prepare")
    need(instruct, "model", "curves.csv", "metrics.json", stage="instruct")
    models = {REFERENCE: base, "instruct": instruct / "model"}
    rows = held_out(read_rows(data / "test.jsonl", Example), params)
    if not rows:
        raise ArtifactError(f"{data / 'test.jsonl'}: no rows; raise prepare.test and run `dvc repro prepare`")
    references = [row.references for row in rows]
    tasks = {task: [index for index, row in enumerate(rows) if row.task == task] for task in task_names(rows)}

    with track("evaluate", params) as run, unfinished(out) as folder:
        for name, path in {**models, "data": data}.items():
            run.input(name, path)
        answers, scores = {}, {}
        for name, path in models.items():
            answers[name], losses = answer(path, rows, params, name)
            scores[name] = score_rows(answers[name], references, losses, stemmer=params.stemmer)

        resampling = {"resamples": params.resamples, "seed": params.seed}
        table: dict[str, Any] = {"rows": {}, "groups": {}, "scores": {}, "differences": {}}
        for task, chosen in tasks.items():
            groups = [rows[index].group for index in chosen]
            accepted = [references[index] for index in chosen]
            parts = {name: contributions(picked(scores[name], chosen), accepted) for name in models}
            table["rows"][task], table["groups"][task] = len(chosen), len(set(groups))
            table["scores"][task] = {name: intervals(parts[name], groups, **resampling) for name in models}
            table["differences"][task] = {
                f"{name} - {REFERENCE}": differences(parts[name], parts[REFERENCE], groups, **resampling)
                for name in models
                if name != REFERENCE
            }
            write_plot(folder / "plots", task, table["scores"][task])

        settings = {
            "decoding": "greedy",
            "max_new_tokens": params.max_new_tokens,
            "stemmer": params.stemmer,
            "resamples": params.resamples,
            "seed": params.seed,
            "interval": "95 % percentile bootstrap over groups",
            "bleu_signature": {
                task: bleu_signature(
                    [answers[REFERENCE][index] for index in chosen], [references[index] for index in chosen]
                )
                for task, chosen in tasks.items()
            },
        }
        write_rows(folder / "answers.jsonl", answer_rows(rows, answers, scores))
        samples = [
            Sample(row=rows[index], answers={name: texts[index] for name, texts in answers.items()})
            for index in spread(list(tasks.values()))[: params.samples]
        ]
        report = Evaluation(
            **table,
            headline={task: headline_metric([references[index] for index in chosen]) for task, chosen in tasks.items()},
            settings=settings,
            base=read_json(base / "base.json"),
            trained={"instruct": read_json(instruct / "metrics.json")["tasks"]},
            curves=read_curves(instruct / "curves.csv"),
            samples=samples,
        )
        (folder / "report.html").write_text(page(report), encoding="utf-8")
        run.artifact(folder / "report.html")
        run.artifact(folder / "answers.jsonl")
        run.finish(folder, settings=settings, **table)
    return out


def task_names(rows: Sequence[Example]) -> list[str]:
    """The tasks in the order of the file."""
    return list(dict.fromkeys(row.task for row in rows))


def held_out(rows: Sequence[Example], params: Evaluate) -> list[Example]:
    """At most `rows_per_task` rows of each task: those with the lowest hashes, so that more rows keep the earlier."""

    def place(row: Example) -> str:
        return hashlib.sha256(f"{params.seed} {row.id}".encode()).hexdigest()

    by_task = ([row for row in rows if row.task == task] for task in task_names(rows))
    return [row for chosen in by_task for row in sorted(chosen, key=place)[: params.rows_per_task]]


def answer(
    path: Path, rows: Sequence[Example], params: Evaluate, name: str
) -> tuple[list[str], list[tuple[float, int]]]:
    """A model's answers to the rows, and each row's loss as (sum of -log p of its answer, number of tokens)."""
    from plumbline.models.encode import answer_losses
    from plumbline.models.generate import generate
    from plumbline.models.load import load_model, load_tokenizer

    model, tokenizer = load_model(path), load_tokenizer(path)
    answered = Progress(len(rows), f"rows answered by {name}")
    answers = generate(
        model,
        tokenizer,
        [row.prompt for row in rows],
        batch=params.batch,
        max_new_tokens=params.max_new_tokens,
        on_progress=lambda done, _: answered.show(done),
    )
    return answers, answer_losses(model, tokenizer, rows, batch=params.batch)


def picked(scores: dict[str, list[Any]], chosen: Sequence[int]) -> dict[str, list[Any]]:
    """The scores of some rows."""
    return {name: [values[index] for index in chosen] for name, values in scores.items()}


def spread(tasks: Sequence[Sequence[int]]) -> list[int]:
    """The rows' numbers dealt task by task, so that the first few show every task."""
    return [index for index in chain.from_iterable(zip_longest(*tasks)) if index is not None]


def answer_rows(
    rows: Sequence[Example], answers: dict[str, list[str]], scores: dict[str, dict[str, list[Any]]]
) -> list[dict[str, Any]]:
    """One line per row and model: what was asked, what was answered, and every score of it."""
    about = ("id", "task", "group", "template", "prompt", "references")
    return [
        row.model_dump(include=set(about))
        | {"model": name, "answer": texts[index]}
        | {metric: values[index] for metric, values in scores[name].items()}
        for index, row in enumerate(rows)
        for name, texts in answers.items()
    ]


def write_plot(folder: Path, task: str, models: dict[str, Any]) -> None:
    """The task's scores between 0 and 1 as `dvc plots` draws them: one bar per metric and model."""
    folder.mkdir(exist_ok=True)
    safe = re.sub(r"[^\w\-]", "_", task)
    with (folder / f"{safe}.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["score", "value", "low", "high"])
        for metric in next(iter(models.values())):
            for name, table in models.items():
                if metric not in NOT_PLOTTED and table[metric]["value"] is not None:
                    lines.writerow([f"{metric} {name}", *table[metric].values()])


def read_curves(path: Path) -> list[dict[str, float | None]]:
    """The rows of curves.csv; an empty field is None."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(text) if text else None for name, text in row.items()} for row in csv.DictReader(file)]


if __name__ == "__main__":
    run_stage(evaluate)
