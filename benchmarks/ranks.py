"""How much rank does a LoRA need? Trains one task at many ranks, and scores each on held-out rows.

    python -m benchmarks.ranks                         # 14 adapters and full tuning, about a quarter of an hour on two cores
    python -m benchmarks.ranks --ranks 4 8 --rows 20   # a short look

Reads params.yaml and the folders of `base` and `prepare`, so run the pipeline first. Everything but rank and targets is
as in `adapt.adapters.<adapter>`, and alpha is twice the rank. Writes
docs/ranks/ranks__<machine>__<date>__<commit>.json and docs/ranks/ranks.svg; `evaluate` shows the numbers in its report.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.record import record
from plumbline.metrics.table import contributions, intervals, score_rows
from plumbline.models.adapters import Choice, attach, save, trainable
from plumbline.models.encode import answer_losses
from plumbline.models.generate import generate
from plumbline.models.load import load_model, load_tokenizer, weight_digests, weights_folder
from plumbline.models.tuning import tune
from plumbline.params import Lora, load_params
from plumbline.rows import of_tasks
from tasks.adapt import weight_bytes
from tasks.evaluate import held_out

RANKS = (1, 2, 4, 8, 16, 32, 64)
TARGETS = ("attention", "attention+mlp")
BASE, DATA = Path("artifacts/base"), Path("artifacts/prepare")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", default="summarise", help="of adapt.adapters, of kind lora: what is varied")
    parser.add_argument("--ranks", type=int, nargs="+", default=RANKS)
    parser.add_argument("--rows", type=int, default=0, help="held-out rows; default: evaluate.rows_per_task")
    parser.add_argument("--out", type=Path, default=Path("docs/ranks"))
    chosen = parser.parse_args()
    params = load_params(Path("params.yaml"))
    settings = params.adapt.adapters[chosen.adapter]
    assert isinstance(settings, Lora), f"{chosen.adapter} is no LoRA"
    train, validation, test = (
        of_tasks(DATA / f"{split}.jsonl", settings.tasks, f"adapt.adapters.{chosen.adapter}.tasks")
        for split in ("train", "validation", "test")
    )
    asked = params.evaluate.model_copy(update={"rows_per_task": chosen.rows or params.evaluate.rows_per_task})
    held = held_out(test, asked)
    tokenizer = load_tokenizer(BASE)

    def measured(how: Lora | None) -> dict[str, Any]:
        """One training, of an adapter or, for None, of all weights: its size, its time, and its scores."""
        model = load_model(BASE)
        adapter = attach(model, tokenizer, "sweep", how, params.adapt.seed) if how else None
        training = params.adapt.training(chosen.adapter) if how else params.instruct
        training = training.model_copy(update={"epochs": params.adapt.training(chosen.adapter).epochs})
        choice = Choice(model, adapter) if adapter else None
        parameters = sum(weight.numel() for weight in trainable(model))
        started = time.monotonic()
        tune(model, tokenizer, train, validation, training, lambda *_: None, adapters=choice)
        seconds = time.monotonic() - started
        with TemporaryDirectory() as folder:
            if adapter:
                save(model, adapter, BASE, Path(folder))
            else:
                model.save_pretrained(folder)
            size = weight_bytes(Path(folder))
        return {"parameters": parameters, "bytes": size, "seconds": round(seconds, 1), **scores(model, choice)}

    def scores(model: Any, choice: Choice | None) -> dict[str, Any]:
        prompts, references = [row.prompt for row in held], [row.references for row in held]
        generated = generate(
            model, tokenizer, prompts, batch=asked.batch, max_new_tokens=asked.max_new_tokens, adapters=choice
        )
        losses = answer_losses(model, tokenizer, held, batch=asked.batch, adapters=choice)
        parts = contributions(score_rows(generated, references, losses, stemmer=asked.stemmer), references)
        table = intervals(parts, [row.group for row in held], resamples=asked.resamples, seed=asked.seed)
        return {"rougeL": table["rougeL"], "loss": table["loss"]}

    points = []
    for targets in TARGETS:
        for rank in chosen.ranks:
            how = settings.model_copy(update={"rank": rank, "alpha": 2 * rank, "targets": targets})
            points.append({"targets": targets, "rank": rank, **measured(how)})
            print(points[-1], flush=True)
    result = {
        "adapter": chosen.adapter,
        "tasks": settings.tasks,
        "rows": len(held),
        "base": {
            "targets": "bare base",
            "rank": None,
            "weights": weight_digests(BASE),
            "bytes": weight_bytes(weights_folder(BASE, check=False)),
            "parameters": load_model(BASE).num_parameters(),
            **scores(load_model(BASE), None),
        },
        "full": {"targets": "all weights", "rank": None, **measured(None)},
        "points": points,
    }
    record(chosen.out, "ranks", result)
    plot(result, chosen.out / "ranks.svg")


def plot(result: dict[str, Any], path: Path) -> None:
    """ROUGE-L against rank, trained weights and bytes, beside the bare base and the tuning of all weights."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ranks"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), sharey=True, layout="constrained")
    for axis, (column, label) in zip(
        axes, {"rank": "rank", "parameters": "weights trained", "bytes": "bytes saved"}.items(), strict=True
    ):
        for targets in TARGETS:
            chosen = [point for point in result["points"] if point["targets"] == targets]
            values = [point["rougeL"]["value"] for point in chosen]
            below = [point["rougeL"]["value"] - (point["rougeL"]["low"] or 0) for point in chosen]
            above = [(point["rougeL"]["high"] or 0) - point["rougeL"]["value"] for point in chosen]
            axis.errorbar(
                [point[column] for point in chosen], values, [below, above], marker="o", capsize=2, label=targets
            )
        axis.axhline(result["full"]["rougeL"]["value"], color="black", linestyle="--", label="all weights")
        axis.axhline(result["base"]["rougeL"]["value"], color="grey", linestyle=":", label="bare base")
        axis.set_xscale("log", base=2 if column == "rank" else 10)
        axis.set_xlabel(label)
    axes[0].xaxis.set_major_formatter("{x:.0f}")
    axes[0].set_ylabel(f"ROUGE-L, {result['rows']} held-out rows")
    axes[0].legend(fontsize="small")
    figure.suptitle(f"LoRA on {', '.join(result['tasks'])}, 95 % intervals", fontsize="medium")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
