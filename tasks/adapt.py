"""Stage `adapt`: teach a frozen model one task through a small addition to it, a LoRA or a soft prompt.

One variant per adapter of `adapt.adapters`. Kind `full` trains every weight of a copy instead, to compare with.

reads    start  the model that stays as it is: artifacts/base or artifacts/instruct
         data   train.jsonl, validation.jsonl
writes   out   adapter_model.safetensors, adapter_config.json, adapter.json (of kind full: model/), curves.csv,
               metrics.json
maths    plumbline/models/adapters.py, plumbline/models/tuning.py
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from plumbline.checkpoints import resumable
from plumbline.curves import TrainingCurve
from plumbline.errors import DataError, ParamsError
from plumbline.params import Adapt, Full
from plumbline.rows import of_tasks
from plumbline.stage import run_stage
from plumbline.store import need, unfinished
from plumbline.tracking import track

PROBED = 8  # validation prompts on which a merged LoRA is compared with itself


def adapt(params: Adapt, *, adapter: str, start: Path, data: Path, out: Path) -> Path:
    """Train the adapter called `adapter` on the answers of its tasks, prompts masked, and see that it can be used."""
    if adapter not in params.adapters:
        raise ParamsError(f"adapt.adapters has no {adapter}; it has {', '.join(params.adapters)}")
    settings = params.adapters[adapter]
    need(data, "train.jsonl", "validation.jsonl", stage="prepare")
    need(start, "base.json" if settings.start == "base" else "model", stage=settings.start)
    train, validation = (
        of_tasks(data / f"{split}.jsonl", settings.tasks, f"adapt.adapters.{adapter}.tasks")
        for split in ("train", "validation")
    )

    from plumbline.models.adapters import Choice, attach, save, trainable
    from plumbline.models.encode import encode
    from plumbline.models.load import load_model, load_tokenizer, weights_folder
    from plumbline.models.precision import on_this_machine
    from plumbline.models.tuning import step_count, tune

    params = on_this_machine(params, f"adapt@{adapter}")
    training = params.training(adapter)
    beneath = start if settings.start == "base" else start / "model"
    model, tokenizer = load_model(beneath), load_tokenizer(beneath)
    added = None if isinstance(settings, Full) else attach(model, tokenizer, adapter, settings, params.seed)
    choice = Choice(model, added) if added else None
    with (
        resumable(f"adapt@{adapter}", training, training.checkpoint_every, start=beneath, data=data) as checkpoints,
        track("adapt", params, checkpoints) as run,
        unfinished(out) as folder,
    ):
        run.input("start", beneath)
        run.input("data", data)
        encoded = encode(tokenizer, train, model.config.is_encoder_decoder, choice)
        refuse_overlong(max(len(row["input_ids"]) for row in encoded), model.config, data, adapter)
        parameters = {"trained": sum(weight.numel() for weight in trainable(model)), "all": model.num_parameters()}
        curve = TrainingCurve(run, step_count(training, len(train)))
        tune(model, tokenizer, train, validation, training, curve.report, checkpoints, choice)

        if added:
            save(model, added, beneath, folder, start=settings.start, tasks=settings.tasks)
        else:
            model.save_pretrained(folder / "model")
            tokenizer.save_pretrained(folder / "model")
        curve.write(folder / "curves.csv")
        run.model(folder)
        facts: dict[str, Any] = {}
        del model, choice  # or there would be two in memory
        if settings.kind == "lora":
            facts["merging_moves"] = merging_moves(beneath, folder, [row.prompt for row in validation[:PROBED]])
        run.finish(
            folder,
            kind=settings.kind,
            start=settings.start,
            rows=len(train),
            tasks=dict(Counter(row.task for row in train)),
            parameters=parameters,
            bytes={"saved": weight_bytes(folder), "base": weight_bytes(weights_folder(beneath, check=False))},
            **curve.results(),
            **facts,
        )
    return out


def refuse_overlong(longest: int, config: Any, data: Path, adapter: str) -> None:
    """DataError when a soft prompt has made a row of `longest` tokens, which is more than the model reads."""
    context = getattr(config, "max_position_embeddings", None) or math.inf
    if longest > context:
        raise DataError(
            f"{data / 'train.jsonl'}: with the soft prompt a row has {longest} tokens, and the model reads {context}; "
            f"lower prepare.max_tokens or adapt.adapters.{adapter}.tokens"
        )


def merging_moves(beneath: Path, folder: Path, prompts: list[str]) -> float:
    """How far merging the saved LoRA into its base moves a log-probability; PlumblineError where that is too far."""
    from plumbline.models.adapters import load, merge, probe_of
    from plumbline.models.load import load_model, load_tokenizer

    model = load_model(beneath)
    return merge(model, load(model, beneath, folder), probe_of(model, load_tokenizer(beneath), prompts))


def weight_bytes(folder: Path) -> int:
    """The size of the files of weights in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


if __name__ == "__main__":
    run_stage(adapt)
