"""Learning from rankings of four: Plumbline's scorer against TRL's RewardTrainer.

    python -m benchmarks.reward_vs_trl                      # three seeds; some minutes on two cores
    python -m benchmarks.reward_vs_trl --rankings 96 --seeds 1

Both start from the model of artifacts/instruct and learn from the same strict rankings of four replies in
artifacts/prepare, with the same LoRA, head, AdamW, learning rate and its course, rankings a step and passes. A ranking is
six pairs, and the loss of both is the mean over pairs, so both see the same signal. TRL runs at its defaults in all that
the task does not settle, and tuned for a CPU: no gradient checkpointing, larger micro-batches, pairs of like length
together. Every run is a process of its own, one after another, the arms in turn; rankings per second are of the training
loop alone, by the clock and by processor time, which other work on the machine disturbs less.

What Plumbline does otherwise: each completion is read once, not in each of its three pairs, and the prompt once for all
four completions, not twelve times; rows of like length share a batch. TRL reads twelve whole rows for a ranking.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.ppo_vs_trl import DEFAULT, OURS, TUNED, Clock, child, choices
from benchmarks.record import RESULTS, record

BATCH, PAIRS = 8, 6  # rankings a step, pairs of a ranking
ARMS: dict[str, dict[str, Any]] = {
    DEFAULT: {"options": {"per_device_train_batch_size": 8}},
    TUNED: {
        "options": {
            "per_device_train_batch_size": 16,
            "gradient_checkpointing": False,
            "train_sampling_strategy": "group_by_length",
            "remove_unused_columns": False,  # or the lengths would be gone
        }
    },
    OURS: {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rankings", type=int, default=384, help="read once; a multiple of 8")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = choices(parser, plumbline, trl)
    runs: list[dict[str, Any]] = []
    for seed in chosen.seeds:
        for arm in ARMS:
            spec = ARMS[arm] | {"arm": arm, "seed": seed, "rankings": chosen.rankings}
            runs.append(spec | child("benchmarks.reward_vs_trl", sys.executable, spec))
            speeds = [chosen.rankings / runs[-1][name] for name in ("seconds", "processor_seconds")]
            print(f"{arm}, seed {seed}: {speeds[0]:.2f} rankings per second, {speeds[1]:.2f} per processor second, "
                  f"held-out pairs {fmean(runs[-1]['right']):.3f}", flush=True)  # fmt: skip
    comparison = compared(runs)
    print(json.dumps(comparison, indent=1))
    print(record(chosen.out, "reward_vs_trl", {"load": os.getloadavg(), "compared": comparison, "runs": runs}))


def compared(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Speeds of the arms, how many times TRL's best is ours, and accuracies on held-out pairs with the difference's interval."""
    import numpy as np

    from plumbline.algorithms.bootstrap import bootstrap, paired_difference, ratio

    numbers: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    for arm in ARMS:
        own = [run for run in runs if run["arm"] == arm]
        rows[arm] = np.array([(right, 1.0) for run in own for right in run["right"]])
        groups = [str(place) for run in own for place in range(len(run["right"]))]
        numbers[arm] = {
            "rankings_per_second": fmean(run["rankings"] / run["seconds"] for run in own),
            "rankings_per_processor_second": fmean(run["rankings"] / run["processor_seconds"] for run in own),
            "accuracy": bootstrap(rows[arm], groups, ratio, resamples=1000, seed=0)._asdict(),
        }
    for name in ("rankings_per_second", "rankings_per_processor_second"):
        numbers[f"times {name}"] = numbers[OURS][name] / max(numbers[arm][name] for arm in (DEFAULT, TUNED))
    for arm in (DEFAULT, TUNED):
        difference = paired_difference(rows[OURS], rows[arm], groups, ratio, resamples=1000, seed=0)
        numbers[f"accuracy beyond {arm}"] = difference._asdict()
    return numbers


def strict(split: str) -> list[Any]:
    """The rankings of a split without ties."""
    from plumbline.rows import Ranking, read_rows

    rows = read_rows(Path(f"artifacts/prepare/rankings_{split}.jsonl"), Ranking)
    return [decided(row) for row in rows if len(set(row.ranks)) == len(row.ranks) == 4]


def decided(row: Any) -> Any:
    """The ranking as that of one person, who finds every completion better than those that are ranked below it."""
    places = range(len(row.ranks))
    pairs = [
        {"better": better, "worse": worse, "votes": 1.0}
        for better in places
        for worse in places
        if row.ranks[better] < row.ranks[worse]
    ]
    return type(row)(**row.model_dump() | {"pairs": pairs, "raters": [""]})


def right(scores: list[list[float]], rows: list[Any]) -> list[float]:
    """Of each held-out ranking the share of pairs that the scores put in the right order."""
    return [
        fmean(float(own[pair.better] > own[pair.worse]) for pair in row.pairs)
        for own, row in zip(scores, rows, strict=True)
    ]


def settings(spec: dict[str, Any]) -> Any:
    from plumbline.params import load_params

    ready = load_params(Path("params.yaml")).reward
    return ready.model_copy(update={"seed": spec["seed"], "epochs": 1.0, "batch": BATCH, "checkpoint_every": 0})


def plumbline(spec: dict[str, Any]) -> dict[str, Any]:
    """Train with Plumbline, and say how long it took and what is in the right order."""
    from plumbline.models import ranking
    from plumbline.models.scorer import new_scorer, raw_scores

    params, start = settings(spec), Path("artifacts/instruct/model")
    train, test = strict("train")[: spec["rankings"]], strict("test")
    scorer = new_scorer(start, params.lora, spec["seed"])
    clock = Clock()
    clock.watch(ranking, "losses", lambda: "forward")
    ranking.validation_values = lambda *_: {}  # TRL does not validate either
    clock.start()
    ranking.train_scorer(scorer, train, train[:1], params, lambda *_: None)
    numbers = clock.stop()
    return numbers | {"right": right(raw_scores(scorer, ranking.encoded(scorer, test), 8), test)}


def trl(spec: dict[str, Any]) -> dict[str, Any]:
    """The same with TRL, on the pairs of the same rankings, encoded as Plumbline does."""
    import torch
    from datasets import Dataset
    from transformers import LlamaForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    from plumbline.models.adapters import lora_config
    from plumbline.models.collate import attention, padded
    from plumbline.models.encode import answer_ids, token_ids
    from plumbline.models.load import load_model, load_tokenizer

    params, start = settings(spec), Path("artifacts/instruct/model")
    tokenizer, plain = load_tokenizer(start), load_model(start)
    train, test = strict("train")[: spec["rankings"]], strict("test")

    def encoded(row: Any) -> list[list[int]]:
        prompt = token_ids(tokenizer, [row.prompt])[0]
        return [[*prompt, *ids] for ids in answer_ids(tokenizer, row.completions)]

    pairs = [
        {"chosen_ids": ids[pair.better], "rejected_ids": ids[pair.worse],
         "length": max(len(ids[pair.better]), len(ids[pair.worse]))}
        for row in train
        for ids in [encoded(row)]
        for pair in row.pairs
    ]  # fmt: skip
    config = type(plain.config).from_dict(plain.config.to_dict() | {"num_labels": 1})
    model = LlamaForSequenceClassification(config)
    model.model.load_state_dict(plain.model.state_dict())
    torch.manual_seed(spec["seed"])
    model.score.weight.data.normal_(std=(config.hidden_size + 1) ** -0.5)
    lora = lora_config(plain, params.lora)
    lora.task_type, lora.modules_to_save = "SEQ_CLS", ["score"]
    with tempfile.TemporaryDirectory() as folder:
        arguments = RewardConfig(
            output_dir=folder,
            seed=spec["seed"],
            num_train_epochs=1,
            gradient_accumulation_steps=BATCH * PAIRS // spec["options"]["per_device_train_batch_size"],
            learning_rate=params.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=round(len(train) // BATCH * params.warmup),
            weight_decay=params.weight_decay,
            adam_beta2=0.95,
            max_grad_norm=params.gradient_clip,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            use_cpu=True,
            **spec["options"],
        )
        trainer = RewardTrainer(
            model=model,
            args=arguments,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(pairs),
            peft_config=lora,
        )
        clock = Clock()
        clock.start()
        trainer.train()
        numbers = clock.stop()
    trainer.model.eval()
    scores = []
    with torch.inference_mode():
        for row in test:
            ids = encoded(row)
            inputs = {"input_ids": padded(ids, tokenizer.pad_token_id), "attention_mask": attention(ids)}
            scores.append(trainer.model(**inputs).logits[:, 0].tolist())
    return numbers | {"right": right(scores, test)}


if __name__ == "__main__":
    main()
