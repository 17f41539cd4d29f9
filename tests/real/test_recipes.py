"""The recipes on real rows: from the embedded base through prepare, instruct and evaluate, or prepare and reward.

Short form: some hundred rows, in every test run where ../shared/data exists. Whole: `make real`.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from flows.experiment import changed_params, parse_overrides
from plumbline.models.load import load_model
from plumbline.models.policy import Policy
from plumbline.params import Params, Ppo, load_params
from plumbline.rows import Ranking, read_rows
from plumbline.store import write_json
from tasks.adapt import adapt
from tasks.base import base
from tasks.evaluate import evaluate
from tasks.instruct import instruct
from tasks.prepare import prepare
from tasks.reward import reward

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT.parent / "shared/data"
FOLDERS = ("mts_dialog", "self_instruct", "t0_p3", "hh_rlhf", "fg_rlhf")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not all((ROWS / name).is_dir() for name in FOLDERS), reason="the real rows are not here"),
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder with the committed base models and the real rows in data/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts/pretrain").symlink_to(ROOT / "artifacts/pretrain")
    (tmp_path / "data").mkdir()
    for name in FOLDERS:
        os.symlink(ROWS / name, tmp_path / "data" / name)
    return tmp_path


def prepared(project: Path, recipe: str, overrides: list[str], limit: int) -> tuple[Params, Path]:
    """Run `base` and `prepare`, which need no world for rows of one's own: the knobs, and the folder of artifacts."""
    knobs = yaml.safe_load(changed_params(project, recipe, parse_overrides(overrides)))
    sources = [source for source in knobs["prepare"]["sources"] if not source["path"].startswith("world/")]
    knobs["prepare"]["sources"] = [source | {"limit": limit} for source in sources]
    (project / "params.yaml").write_text(yaml.safe_dump(knobs))
    params = load_params(Path("params.yaml"))
    made = Path("artifacts")
    base(params.base, pretrained=made / "pretrain", out=made / "base")
    prepare(params.prepare, base=made / "base", world=made / "world", rows=Path("data"), out=made / "prepare")
    return params, made


def metrics_of(*folders: Path) -> dict[str, dict]:
    return {folder.name: json.loads((folder / "metrics.json").read_text()) for folder in folders}


def run(project: Path, recipe: str, overrides: list[str], limit: int) -> dict[str, dict]:
    """The metrics of the stages."""
    params, made = prepared(project, recipe, overrides, limit)
    instruct(params.instruct, base=made / "base", data=made / "prepare", out=made / "instruct")
    for name, each in params.adapt.adapters.items():
        out = made / "adapt" / name
        adapt(params.adapt, adapter=name, start=made / each.start, data=made / "prepare", out=out)
    evaluate(
        params.evaluate,
        base=made / "base",
        data=made / "prepare",
        instruct=made / "instruct",
        adapt=made / "adapt",
        ppo=unlearned(params.ppo, made / "instruct", made / "ppo"),
        ranks=ROOT / "docs/ranks",
        out=made / "evaluate",
    )
    return metrics_of(made / "prepare", made / "evaluate")


def scored(project: Path, recipe: str, overrides: list[str], limit: int) -> dict[str, dict]:
    """The metrics of `prepare` and `reward`."""
    params, made = prepared(project, recipe, overrides, limit)
    folders = {"start": made / params.reward.start, "data": made / "prepare", "world": made / "world"}
    return metrics_of(made / "prepare", reward(params.reward, **folders, out=made / "reward"))


def accuracies_by_hand(project: Path) -> dict[str, float]:
    """Of score and of length: the votes that are for the completion with more of it, over all votes on untied pairs."""
    rows = read_rows(project / "artifacts/prepare/rankings_test.jsonl", Ranking)
    lines = [json.loads(line) for line in (project / "artifacts/reward/scores.jsonl").read_text().splitlines()]
    of = {(line["id"], line["completion"]): line for line in lines}
    found = {}
    for what in ("score", "length"):
        right = total = 0.0
        for row in rows:
            numbers = [of[row.id, text][what] for text in row.completions]
            votes = {(pair.better, pair.worse): pair.votes for pair in row.pairs}
            for (better, worse), count in votes.items():
                if count != votes.get((worse, better), 0):
                    total += count
                    right += count * ((numbers[better] > numbers[worse]) + 0.5 * (numbers[better] == numbers[worse]))
        found[what] = right / total
    return found


def unlearned(params: Ppo, instruct: Path, out: Path) -> Path:
    """A folder like that of stage `ppo`, of a policy that is still the model it started from."""
    out.mkdir()
    Policy(load_model(instruct / "model"), params).save(instruct / "model", out, [])
    write_json(out / "metrics.json", {"prompts": {"train": 0}, "tasks": {}})
    return out


def all_rows_are_accounted_for(project: Path, metrics: dict) -> bool:
    rows = metrics["rows"]
    named = len((project / "artifacts/prepare/rejects.jsonl").read_text().splitlines())
    return rows["read"] == rows["used"] + rows["rejected"] and named == rows["rejected"]


def share_of_loss_left(metrics: dict) -> float:
    """The tuned model's held-out loss over the base's, over all tasks."""
    losses = {"base": 0.0, "instruct": 0.0}
    for task, models in metrics["scores"].items():
        for name in losses:
            losses[name] += models[name]["loss"]["value"] * metrics["rows"][task]
    return losses["instruct"] / losses["base"]


@pytest.mark.parametrize("recipe", ["mts_dialog", "self_instruct"])
def test_some_hundred_real_rows_lower_the_held_out_loss(project, recipe):
    quick = ["instruct.epochs=1.0", "adapt.epochs=1.0", "evaluate.rows_per_task=16", "evaluate.max_new_tokens=16"]
    metrics = run(project, recipe, quick, limit=160)
    assert all_rows_are_accounted_for(project, metrics["prepare"])
    assert share_of_loss_left(metrics["evaluate"]) < 0.95


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["mts_dialog", "self_instruct"])
def test_all_real_rows_lower_the_held_out_loss_by_a_fifth(project, recipe):
    metrics = run(project, recipe, [], limit=0)
    assert all_rows_are_accounted_for(project, metrics["prepare"])
    assert share_of_loss_left(metrics["evaluate"]) <= 0.8


@pytest.mark.parametrize(("recipe", "limit"), [("hh_rlhf", 40), ("fg_rlhf", 20)])
def test_some_dozen_prompts_with_peoples_votes_are_learned_and_measured_without_a_world(project, recipe, limit):
    quick = ["prepare.validation=0.15", "prepare.max_tokens=300", "prepare.reject_limit=0.9", "reward.epochs=0.2"]
    metrics = scored(project, recipe, quick, limit)
    told, feedback = metrics["reward"], metrics["prepare"]["feedback"]
    assert all_rows_are_accounted_for(project, metrics["prepare"])
    assert sum(told["votes"].values()) == sum(each["verdicts"] for each in feedback.values())
    accuracy = {name: each["value"] for name, each in told["accuracy"].items()}
    by_hand = accuracies_by_hand(project)
    assert (accuracy["scorer"], accuracy["longer"]) == pytest.approx((by_hand["score"], by_hand["length"]))
    assert set(accuracy) == {"scorer", "longer", "shorter", "random"} and set(told["correlation"]) == {"length"}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["hh_rlhf", "fg_rlhf"])
def test_all_of_peoples_votes_leave_a_scorer_that_is_not_clearly_worse_than_chance(project, recipe):
    metrics = scored(project, recipe, [], limit=0)
    print(recipe, json.dumps({name: metrics["reward"][name] for name in ("prompts", "pairs", "groups", "accuracy")}))
    assert all_rows_are_accounted_for(project, metrics["prepare"])
    assert metrics["reward"]["accuracy"]["scorer"]["high"] > 0.5
