"""A workspace as the stages leave it, with models whose scores are what a test says. Nothing in it was trained."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from plumbline.rows import write_rows
from plumbline.store import digest, write_json
from plumbline.tracking import model_digest

TASK = "summarise"


def make(root: Path, scores: Mapping[str, Sequence[float]], licence: str = "mit", **settings: object) -> Path:
    """The folder of artifacts below `root`, where each model has these scores on rows of one task.

    `instruct` is tuned on all rows, any other name is an adapter on the base. Called again, it is as if all had been
    trained anew: the weights are other ones if the scores are.
    """
    artifacts = root / "artifacts"
    weights = artifacts / "pretrain/causal"
    weights.mkdir(parents=True, exist_ok=True)
    (weights / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (weights / "model.safetensors").write_text("base")
    (weights / "README.md").write_text(f"---\nlicense: {licence}\n---\nA base.\n")
    for stage in ("base", "prepare", "evaluate", "instruct/model", "adapt"):
        (artifacts / stage).mkdir(parents=True, exist_ok=True)
    known = {"model.safetensors": digest(weights / "model.safetensors")}
    write_json(artifacts / "base/base.json", {"folder": str(weights), "weights": known})
    rows = [
        {"id": f"row-{n}", "task": TASK, "source_file": "world/dialogues.jsonl", "source_line": n + 1} for n in range(3)
    ]
    write_rows(artifacts / "prepare/train.jsonl", rows)

    about = {"start": "base", "tasks": {TASK: 3}}
    folders = {name: artifacts / ("instruct" if name == "instruct" else f"adapt/{name}") for name in scores}
    for name, folder in folders.items():
        inner = folder / "model" if name == "instruct" else folder
        inner.mkdir(exist_ok=True)
        (inner / "weights.safetensors").write_text(json.dumps([name, list(scores[name])]))
        if name != "instruct":
            write_json(folder / "adapter.json", {"name": name, "kind": "lora", "base": known})
        write_json(folder / "metrics.json", about)
    intervals = {"rougeL": {"value": 0.5, "low": 0.4, "high": 0.6}, "bleu": {"value": None, "low": None, "high": None}}
    numbers = {
        "models": {name: model_digest(folder) for name, folder in folders.items()},
        "rows": {TASK: len(next(iter(scores.values())))},
        "scores": {TASK: dict.fromkeys(["base", *scores], intervals)},
        "forgetting": {name: {TASK: {"metric": "rougeL"}} for name in scores},
        "settings": {
            "decoding": "greedy", "max_new_tokens": 8, "stemmer": False, "resamples": 200, "seed": 1, **settings,
        },
    }  # fmt: skip
    write_json(artifacts / "evaluate/metrics.json", numbers)
    answers = [
        {"id": f"row-{n}", "task": TASK, "group": f"dialogue-{n}", "prompt": f"Question {n}?", "references": ["yes"],
         "model": name, "answer": "yes", "rougeL": score}
        for name, values in scores.items() for n, score in enumerate(values)
    ]  # fmt: skip
    write_rows(artifacts / "evaluate/answers.jsonl", answers)
    return artifacts
