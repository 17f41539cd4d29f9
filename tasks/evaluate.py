"""Stage `evaluate`: answer held-out prompts with each model and score the answers, task by task, with intervals.

reads    base      the model before training            data  test.jsonl, train.jsonl
         instruct  the instruction-tuned model and its curves    adapt  the folders of all adapters
         ppo       the policy, which lies on instruct    ranks  results of benchmarks/ranks.py, if any
writes   out       metrics.json, answers.jsonl, plots/<task>.csv, report.html
maths    plumbline/metrics/score.py, plumbline/algorithms/bootstrap.py
"""

import csv
import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plumbline.errors import ArtifactError
from plumbline.params import Evaluate
from plumbline.progress import Progress
from plumbline.registry import Candidate, registration
from plumbline.rows import Example, read_rows, write_rows
from plumbline.stage import run_stage
from plumbline.store import need, read_json, unfinished, write_json
from plumbline.tracking import model_digest, track

if TYPE_CHECKING:
    from plumbline.metrics.table import Contributions
    from plumbline.models.adapters import Choice

REFERENCE = "base"  # the model that the others are compared with
POLICY = "ppo"  # learned from a scorer on prompts of one task, and from no reference: shown for what it forgot
NOT_PLOTTED = ("bleu", "loss")  # they have scales of their own


def evaluate(
    params: Evaluate, *, base: Path, data: Path, instruct: Path, adapt: Path, ppo: Path, ranks: Path, out: Path
) -> Path:
    """Compare the models on the same held-out rows: scores, paired differences, answers side by side.

    An adapter answers the rows of its own tasks, and of each other task as many as show what it forgot. The policy
    answers all rows of the first task, enough to show a small fall, and as few of each other.
    """
    from plumbline.metrics.score import bleu_signature
    from plumbline.metrics.table import contributions, differences, intervals, score_rows
    from plumbline.models.adapters import CONFIG
    from plumbline.report.evaluation import Evaluation, Sample, headline_metric, page

    origin = read_json(need(base, "base.json", stage="base") / "base.json")
    need(data, "test.jsonl", stage="prepare")
    need(instruct, "model", "curves.csv", "metrics.json", stage="instruct")
    need(ppo, "metrics.json", stage="ppo")
    models = {REFERENCE: base, "instruct": instruct / "model"}
    adapters = {folder.name: read_json(folder / "metrics.json") for folder in adapter_folders(adapt)}
    words = [
        read_json(adapt / name / CONFIG)["num_virtual_tokens"]
        for name in adapters
        if adapters[name]["kind"] == "prompt"
    ]
    rows = held_out(that_fit(read_rows(data / "test.jsonl", Example), base, max(words, default=0), params), params)
    if not rows:
        raise ArtifactError(f"{data / 'test.jsonl'}: no rows; raise prepare.test and run `dvc repro prepare`")
    references = [row.references for row in rows]
    tasks = {task: [index for index, row in enumerate(rows) if row.task == task] for task in task_names(rows)}

    with track("evaluate", params) as run, unfinished(out) as folder:
        trained_folders = {"instruct": instruct, **{name: adapt / name for name in adapters}}
        folders = trained_folders | {POLICY: ppo}
        for name, path in {"base": base, "data": data, **folders}.items():
            run.input(name, path)
        own = {name: set(tasks) for name in models} | {name: set(each["tasks"]) for name, each in adapters.items()}
        own[POLICY] = set()
        fully = own | {POLICY: {next(iter(tasks))}}  # the task that the page speaks of first
        on_top = adapters | {POLICY: {"start": "instruct", "kind": "full" if (ppo / "model").exists() else "lora"}}
        wanted = {
            name: [i for task in tasks for i in tasks[task][: None if task in fully[name] else params.forgetting_rows]]
            for name in own
        }
        answers: dict[str, dict[int, str]] = {}
        scores: dict[str, dict[str, dict[int, Any]]] = {}
        for name, texts, losses in answered(models, folders, on_top, rows, wanted, params):
            accepted = [references[index] for index in wanted[name]]
            answers[name] = dict(zip(wanted[name], texts, strict=True))
            scores[name] = {
                metric: dict(zip(wanted[name], values, strict=True))
                for metric, values in score_rows(texts, accepted, losses, stemmer=params.stemmer).items()
            }

        resampling = {"resamples": params.resamples, "seed": params.seed}
        headline = {task: headline_metric([references[index] for index in chosen]) for task, chosen in tasks.items()}
        table: dict[str, Any] = {"rows": {}, "groups": {}, "scores": {}, "differences": {}, "forgetting": {}}

        def parts_of(name: str, chosen: Sequence[int]) -> "Contributions":
            return contributions(picked(scores[name], chosen), [references[index] for index in chosen])

        for task, chosen in tasks.items():
            groups = [rows[index].group for index in chosen]
            names = [name for name in own if task in own[name]]
            parts = {name: parts_of(name, chosen) for name in names}
            table["rows"][task], table["groups"][task] = len(chosen), len(set(groups))
            table["scores"][task] = {name: intervals(parts[name], groups, **resampling) for name in names}
            table["differences"][task] = {
                f"{name} - {REFERENCE}": differences(parts[name], parts[REFERENCE], groups, **resampling)
                for name in names
                if name != REFERENCE
            }
            write_plot(folder / "plots", task, table["scores"][task])

        trained = {
            "instruct": {"start": REFERENCE, "tasks": read_json(instruct / "metrics.json")["tasks"]},
            **adapters,
            POLICY: {"start": "instruct", "tasks": read_json(ppo / "metrics.json")["tasks"]},
        }
        for name, training in trained.items():
            table["forgetting"][name] = {}
            for task, chosen in tasks.items():
                both, metric = [index for index in chosen if index in answers[name]], headline[task]
                before, after = ({metric: parts_of(model, both)[metric]} for model in (training["start"], name))
                groups = [rows[index].group for index in both]
                table["forgetting"][name][task] = {
                    "metric": metric,
                    "rows": len(both),
                    "trained": training["tasks"].get(task, 0),
                    "before": intervals(before, groups, **resampling)[metric],
                    "after": intervals(after, groups, **resampling)[metric],
                    "difference": differences(after, before, groups, **resampling)[metric],
                }

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
            Sample(
                row=rows[index],
                answers={name: answers[name][index] for name in table["scores"][rows[index].task]},
            )
            for index in spread(list(tasks.values()))[: params.samples]
        ]
        report = Evaluation(
            **table,
            headline=headline,
            settings=settings,
            base=origin,
            sweep=newest_sweep(ranks, origin["weights"]),
            trained={"instruct": trained["instruct"]["tasks"]},
            adapters=adapters,
            curves=read_curves(instruct / "curves.csv"),
            samples=samples,
        )
        (folder / "report.html").write_text(page(report), encoding="utf-8")
        run.artifact(folder / "report.html")
        run.artifact(folder / "answers.jsonl")
        scored = {name: model_digest(path) for name, path in trained_folders.items()}
        numbers = {"settings": settings, "adapters": adapters, "models": scored, **table}
        write_json(folder / "metrics.json", numbers)
        for path in trained_folders.values():
            run.then(registration(Candidate(path, base, data, folder, instruct)))
        run.finish(folder, **numbers)
    return out


def task_names(rows: Sequence[Example]) -> list[str]:
    """The tasks in the order of the file."""
    return list(dict.fromkeys(row.task for row in rows))


def that_fit(rows: list[Example], base: Path, words: int, params: Evaluate) -> list[Example]:
    """The rows that leave a decoder room for an answer, behind a soft prompt of `words` words, and a line on the others."""
    from plumbline.models.encode import count_tokens
    from plumbline.models.load import architecture, context_of, load_tokenizer
    from plumbline.models.room import has_room

    context, encoder_decoder = context_of(base), architecture(base) == "seq2seq"
    lengths = count_tokens(load_tokenizer(base), [row.prompt for row in rows])
    fitting = [
        row
        for row, length in zip(rows, lengths, strict=True)
        if has_room(words + length, params.max_new_tokens, context, encoder_decoder=encoder_decoder)
    ]
    if away := len(rows) - len(fitting):
        print(
            f"evaluate: {away} of {len(rows)} held-out rows leave no room for an answer of {params.max_new_tokens} tokens "
            f"in {context}, and are left out",
            flush=True,
        )
    return fitting


def held_out(rows: Sequence[Example], params: Evaluate) -> list[Example]:
    """At most `rows_per_task` rows of each task: those with the lowest hashes, so that more rows keep the earlier."""

    def place(row: Example) -> str:
        return hashlib.sha256(f"{params.seed} {row.id}".encode()).hexdigest()

    by_task = ([row for row in rows if row.task == task] for task in task_names(rows))
    return [row for chosen in by_task for row in sorted(chosen, key=place)[: params.rows_per_task]]


def adapter_folders(adapt: Path) -> list[Path]:
    """The folder of each adapter, by name."""
    need(adapt, stage="adapt")
    folders = sorted(folder for folder in adapt.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if not folders:
        raise ArtifactError(f"{adapt}: no adapters; run `dvc repro adapt`")
    return [need(folder, "metrics.json", stage=f"adapt@{folder.name}") for folder in folders]


def newest_sweep(ranks: Path, weights: dict[str, str]) -> dict[str, Any] | None:
    """The latest result of benchmarks/ranks.py on a base of these weights; None where there is none."""
    if not ranks.is_dir():
        raise ArtifactError(f"{ranks}: no such folder; it comes with the project, and may be empty")
    sweeps = [read_json(file) for file in sorted(ranks.glob("*.json"))]
    return max((each for each in sweeps if each["base"]["weights"] == weights), key=lambda s: s["date"], default=None)


def answered(
    models: dict[str, Path],
    folders: dict[str, Path],
    adapters: dict[str, Any],
    rows: Sequence[Example],
    wanted: dict[str, list[int]],
    params: Evaluate,
) -> Iterator[tuple[str, list[str], list[tuple[float, int]]]]:
    """Name, answers and losses of each model and adapter on its rows; a model is loaded once for all that start from it."""
    from plumbline.models.load import load_model, load_tokenizer

    def of(name: str) -> list[Example]:
        return [rows[index] for index in wanted[name]]

    def of_all_on(name: str, path: Path) -> Iterator[tuple[str, list[str], list[tuple[float, int]]]]:
        from plumbline.models.adapters import Choice, load

        model, tokenizer = load_model(path), load_tokenizer(path)
        yield name, *answer(model, tokenizer, of(name), params, name)
        for other, adapter in adapters.items():
            if adapter["start"] == name and adapter["kind"] != "full":
                choice = Choice(model, load(model, path, folders[other]))
                yield other, *answer(model, tokenizer, of(other), params, other, choice)

    for name, path in models.items():
        yield from of_all_on(name, path)  # whose model is gone when the next one is loaded
    for name, adapter in adapters.items():
        if adapter["kind"] == "full":
            path = folders[name] / "model"
            yield name, *answer(load_model(path), load_tokenizer(path), of(name), params, name)


def answer(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Example],
    params: Evaluate,
    name: str,
    adapters: "Choice | None" = None,
) -> tuple[list[str], list[tuple[float, int]]]:
    """A model's answers to the rows, and each row's loss as (sum of -log p of its answer, number of tokens)."""
    from plumbline.models.encode import answer_losses
    from plumbline.models.generate import generate

    shown = Progress(len(rows), f"rows answered by {name}")
    answers = generate(
        model,
        tokenizer,
        [row.prompt for row in rows],
        batch=params.batch,
        max_new_tokens=params.max_new_tokens,
        on_progress=lambda done, _: shown.show(done),
        adapters=adapters,
    )
    return answers, answer_losses(model, tokenizer, rows, batch=params.batch, adapters=adapters)


def picked(scores: dict[str, dict[int, Any]], chosen: Sequence[int]) -> dict[str, list[Any]]:
    """The scores of some rows."""
    return {name: [values[index] for index in chosen] for name, values in scores.items()}


def spread(tasks: Sequence[Sequence[int]]) -> list[int]:
    """The rows' numbers dealt task by task, so that the first few show every task."""
    return [index for index in chain.from_iterable(zip_longest(*tasks)) if index is not None]


def answer_rows(
    rows: Sequence[Example], answers: dict[str, dict[int, str]], scores: dict[str, dict[str, dict[int, Any]]]
) -> list[dict[str, Any]]:
    """One line per row and model: what was asked, what was answered, and every score of it."""
    about = ("id", "task", "group", "template", "prompt", "references")
    return [
        row.model_dump(include=set(about))
        | {"model": name, "answer": texts[index]}
        | {metric: values[index] for metric, values in scores[name].items()}
        for index, row in enumerate(rows)
        for name, texts in answers.items()
        if index in texts
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
