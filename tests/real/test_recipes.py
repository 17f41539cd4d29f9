"""The recipes on real rows: from the embedded base through prepare, instruct and evaluate.

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
from plumbline.params import Ppo, load_params
from plumbline.store import write_json
from tasks.adapt import adapt
from tasks.base import base
from tasks.evaluate import evaluate
from tasks.instruct import instruct
from tasks.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT.parent / "shared/data"
FOLDERS = ("mts_dialog", "self_instruct", "t0_p3")

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
    (tmp_path / "artifacts/world").mkdir()
    (tmp_path / "data").mkdir()
    for name in FOLDERS:
        os.symlink(ROWS / name, tmp_path / "data" / name)
    return tmp_path


def run(project: Path, recipe: str, overrides: list[str], limit: int) -> dict[str, dict]:
    """The metrics of the stages."""
    knobs = yaml.safe_load(changed_params(project, recipe, parse_overrides(overrides)))
    sources = [source for source in knobs["prepare"]["sources"] if not source["path"].startswith("world/")]
    knobs["prepare"]["sources"] = [source | {"limit": limit} for source in sources]
    (project / "params.yaml").write_text(yaml.safe_dump(knobs))
    params = load_params(Path("params.yaml"))
    made = Path("artifacts")
    base(params.base, pretrained=made / "pretrain", out=made / "base")
    prepare(params.prepare, base=made / "base", world=made / "world", rows=Path("data"), out=made / "prepare")
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
    return {stage: json.loads((made / stage / "metrics.json").read_text()) for stage in ("prepare", "evaluate")}


def unlearned(params: Ppo, instruct: Path, out: Path) -> Path:
    """A folder like that of stage `ppo`, of a policy that is still the model it started from."""
    out.mkdir()
    Policy(load_model(instruct / "model"), params).save(instruct / "model", out)
    write_json(out / "metrics.json", {"prompts": {"train": 0}})
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
