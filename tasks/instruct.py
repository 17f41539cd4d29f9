"""Stage `instruct`: teach the base model to follow instructions, by full fine-tuning on one task or many.

reads    base  the model to start from          data  train.jsonl, validation.jsonl
writes   out   model/ (safetensors and tokenizer), curves.csv, metrics.json
maths    plumbline/models/tuning.py
"""

import csv
from collections import Counter
from pathlib import Path

from plumbline.checkpoints import resumable
from plumbline.errors import DataError
from plumbline.params import Instruct
from plumbline.progress import Progress
from plumbline.rows import Example, read_rows
from plumbline.stage import run_stage
from plumbline.store import need, unfinished
from plumbline.tracking import track

CURVES = ("step", "loss", "learning_rate", "validation_loss")


def instruct(params: Instruct, *, base: Path, data: Path, out: Path) -> Path:
    """Fine-tune all weights on the answers of the training rows, prompts masked. Killed, it goes on where it was."""
    need(data, "train.jsonl", "validation.jsonl", stage="prepare")
    train = chosen(read_rows(data / "train.jsonl", Example), params.tasks, data / "train.jsonl")
    validation = chosen(read_rows(data / "validation.jsonl", Example), params.tasks, data / "validation.jsonl")

    from plumbline.models.load import load_model, load_tokenizer
    from plumbline.models.tuning import step_count, tune

    model, tokenizer = load_model(need(base, stage="base")), load_tokenizer(base)
    with (
        resumable("instruct", params, params.checkpoint_every, base=base, data=data) as checkpoints,
        track("instruct", params, checkpoints) as run,
        unfinished(out) as folder,
    ):
        run.input("base", base)
        run.input("data", data)
        curve: dict[int, dict[str, float]] = {}
        bar = Progress(step_count(params, len(train)), "steps")

        def report(step: int, values: dict[str, float]) -> None:
            curve.setdefault(step, {}).update(values)
            run.step(step, **values)
            bar.show(step, **values)

        tune(model, tokenizer, train, validation, params, report, checkpoints)

        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        with (folder / "curves.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, CURVES, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows({"step": step, **values} for step, values in sorted(curve.items()))
        run.model(folder / "model")
        validations = [values["validation_loss"] for values in curve.values() if "validation_loss" in values]
        run.finish(
            folder,
            rows=len(train),
            tasks=dict(Counter(row.task for row in train)),
            steps=max(curve),
            validation_loss_before=validations[0],
            validation_loss=validations[-1],
        )
    return out


def chosen(rows: list[Example], tasks: list[str], file: Path) -> list[Example]:
    """The rows of `tasks`, or all rows when none is named."""
    known = sorted({row.task for row in rows})
    if missing := sorted(set(tasks) - set(known)):
        raise DataError(
            f"{file}: no rows of task {missing[0]} (instruct.tasks); it has {', '.join(known) or 'no rows'}"
        )
    kept = [row for row in rows if not tasks or row.task in tasks]
    if not kept:
        raise DataError(f"{file}: no rows; raise its share of the splits in params.yaml, or add rows")
    return kept


if __name__ == "__main__":
    run_stage(instruct)
