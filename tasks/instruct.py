"""Stage `instruct`: teach the base model to follow instructions, by full fine-tuning on one task or many.

reads    base  the model to start from          data  train.jsonl, validation.jsonl
writes   out   model/ (safetensors and tokenizer), curves.csv, metrics.json
maths    plumbline/models/tuning.py
"""

from collections import Counter
from pathlib import Path

from plumbline.checkpoints import resumable
from plumbline.curves import TrainingCurve
from plumbline.params import Instruct
from plumbline.rows import of_tasks
from plumbline.stage import run_stage
from plumbline.store import need, unfinished
from plumbline.tracking import track


def instruct(params: Instruct, *, base: Path, data: Path, out: Path) -> Path:
    """Fine-tune all weights on the answers of the training rows, prompts masked. Killed, it goes on where it was."""
    need(data, "train.jsonl", "validation.jsonl", stage="prepare")
    train, validation = (
        of_tasks(data / f"{split}.jsonl", params.tasks, "instruct.tasks") for split in ("train", "validation")
    )

    from plumbline.models.load import load_model, load_tokenizer
    from plumbline.models.precision import on_this_machine
    from plumbline.models.tuning import step_count, tune

    params = on_this_machine(params, "instruct")
    model, tokenizer = load_model(need(base, stage="base")), load_tokenizer(base)
    with (
        resumable("instruct", params, params.checkpoint_every, base=base, data=data) as checkpoints,
        track("instruct", params, checkpoints) as run,
        unfinished(out) as folder,
    ):
        run.input("base", base)
        run.input("data", data)
        curve = TrainingCurve(run, step_count(params, len(train)))
        tune(model, tokenizer, train, validation, params, curve.report, checkpoints)

        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        curve.write(folder / "curves.csv")
        run.model(folder / "model")
        run.finish(
            folder,
            rows=len(train),
            tasks=dict(Counter(row.task for row in train)),
            **curve.results(),
        )
    return out


if __name__ == "__main__":
    run_stage(instruct)
