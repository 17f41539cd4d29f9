"""The card of a model: what it was made from, by digest and licence, and how it did on held-out rows."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from plumbline.errors import ArtifactError
from plumbline.models.load import weight_digests, weights_folder
from plumbline.promotion import Evaluation
from plumbline.store import digest

UNKNOWN = "unknown"
OWN = "apache-2.0"  # the licence of the invented world, as of the whole project


class Ingredient(NamedTuple):
    """Something that a model was made from."""

    what: str
    digest: str
    licence: str
    knob: str  # where the licence is to be written, if it is unknown


def ingredients(tasks: Iterable[str], base: Path, data: Path) -> list[Ingredient]:
    """The base's weights and the rows of each source that a model of these tasks was trained on."""
    weights = weights_folder(base, check=False)
    digests = ", ".join(weight_digests(base).values())
    licence = locked_knobs("base").get("licence") or licence_of(weights)
    found = [Ingredient(f"base {weights}", digests, licence, "base.licence")]
    rows: Counter[str] = Counter()
    with (data / "train.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if row["task"] in tasks:
                rows[row["source_file"]] += 1
    of_all = digest(data / "train.jsonl")
    for source, count in rows.items():
        licence, knob = licence_of_rows(source)
        found.append(Ingredient(f"{count:,} rows of {source}, in {data / 'train.jsonl'}", of_all, licence, knob))
    return found


def licence_of(weights: Path) -> str:
    """What the card beside a model's weights says of its licence."""
    try:
        text = (weights / "README.md").read_text(encoding="utf-8")
        told = yaml.safe_load(text.split("---")[1])["license"]
    except (OSError, UnicodeDecodeError, IndexError, KeyError, TypeError, yaml.YAMLError):
        return UNKNOWN
    return str(told)


def licence_of_rows(source: str) -> tuple[str, str]:
    """The licence of a source of rows, and the knob that tells it."""
    entries = [
        (entry.get("licence"), f"prepare.sources.{number}.licence")
        for number, entry in enumerate(locked_knobs("prepare").get("sources", []))
        if entry["path"] == source
    ]
    told = sorted({licence for licence, _ in entries if licence})
    knob = next((knob for licence, knob in entries if not licence), f"prepare.sources (licence of {source})")
    if told and all(licence for licence, _ in entries):
        return " and ".join(told), knob
    return (OWN if source.startswith("world/") else UNKNOWN), knob


def locked_knobs(stage: str) -> dict[str, Any]:
    """The knobs with which DVC last ran a stage; none where it never did."""
    try:
        lock = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
        return dict(lock["stages"][stage]["params"]["params.yaml"][stage])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return {}


def require_licences(name: str, found: Iterable[Ingredient]) -> None:
    """ArtifactError naming the first thing whose licence nobody has told, and where to tell it."""
    for each in found:
        if each.licence == UNKNOWN:
            raise ArtifactError(
                f"{name}: the licence of {each.what} is unknown; write it to {each.knob} in params.yaml and run "
                "`dvc repro` (only the stage with the knob runs again)"
            )


def card(
    name: str,
    made_from: list[Ingredient],
    scores: dict[str, dict[str, dict[str, float | None]]],
    evaluation: Evaluation,
    facts: dict[str, str],
) -> str:
    """The card in Markdown, its first lines for machines. `scores` are task -> metric -> value, low, high."""
    licences = sorted({each.licence for each in made_from})
    head = yaml.safe_dump({"license": licences if len(licences) > 1 else licences[0], "tags": ["plumbline"]})
    lines = ["---", head.rstrip(), "---", f"# {name}", ""]
    lines += [f"- **{what}**: {told}" for what, told in facts.items()]
    lines += ["", "## Made from", "", "| what | SHA-256 | licence |", "|---|---|---|"]
    lines += [f"| {each.what} | {each.digest} | {each.licence} |" for each in made_from]
    lines += [
        "", "All of these licences hold for the model: the strictest decides what may be done with it.",
        "", "## Scores", "", f"On held-out rows that no training row shares its source with ({evaluation.rows}).",
        "", "| task | rows | metric | score | 95 % interval |", "|---|---|---|---|---|",
    ]  # fmt: skip
    rows = Counter(each.task for each in evaluation.scored)
    for task in evaluation.metrics:
        for metric, score in scores[task].items():
            if score["value"] is not None:
                ends = "–" if score["low"] is None else f"{score['low']:.4g} to {score['high']:.4g}"
                lines.append(f"| {task} | {rows[task]} | {metric} | {score['value']:.4g} | {ends} |")
    lines += [
        "", "Answers are greedy, and cut at " + f"{evaluation.settings['max_new_tokens']} tokens. Scores of different "
        "tasks and metrics cannot be compared.",
        "", "## Use", "", f"`mlflow models serve -m models:/{name}@champion --env-manager local`, or",
        f'`mlflow.pyfunc.load_model("models:/{name}@champion")`. Input is a column `prompt`, the text as the model sees',
        "it; with the parameter `chat`, what a user says.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
