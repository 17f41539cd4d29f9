"""Promotion through its door: real DVC, Prefect and MLflow, and models whose scores are known."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from mlflow import MlflowClient

from plumbline.registry import Registry, candidates
from tests import scored
from tests.flows import toy

GOOD, WORSE = [0.5, 0.6] * 6, [0.3, 0.4] * 6
GRAPH = """
stages:
  evaluate:
    cmd: "true"
    deps: [artifacts/instruct, artifacts/adapt]
    outs: [artifacts/evaluate]
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    root = tmp_path_factory.mktemp("workspace")
    (root / "dvc.yaml").write_text(GRAPH)
    Repo.init(str(root), no_scm=True).close()
    return root


def train(root: Path, instruct: list[float], terse: list[float]) -> None:
    """As a run of the pipeline leaves it."""
    scored.make(root, {"instruct": instruct, "terse": terse})
    toy.dvc(root, "commit", "--force")


def promote(root: Path, *names: str) -> subprocess.CompletedProcess[str]:
    variables = toy.environment(PYTHONPATH=str(toy.PROJECT), PREFECT_HOME=str(root / ".prefect"))
    command = [sys.executable, "-m", "flows.promote", *names]
    return subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True)


def champions(root: Path) -> dict[str, str]:
    models = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db").search_registered_models()
    return {each.name: str(each.aliases.get("champion")) for each in models}


def test_a_worse_model_is_refused_with_one_line_and_a_first_one_is_promoted(workspace, monkeypatch):
    (workspace / "mlruns").mkdir()
    address = f"sqlite:///{workspace}/mlruns/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    train(workspace, GOOD, GOOD)
    assert Registry(address).promote(candidates(workspace / "artifacts")[0]).outcome == "promoted"
    train(workspace, WORSE, GOOD)
    done = promote(workspace)
    assert done.returncode == 1, done.stdout + done.stderr
    refused, promoted = done.stdout.splitlines()
    assert refused.startswith("refused    instruct: version 2 is worse than the champion: −0.200 a row")
    assert promoted == "promoted   adapt.terse: version 1 is the first champion"
    assert champions(workspace) == {"instruct": "1", "adapt.terse": "1"}
    with sqlite3.connect(workspace / ".prefect/prefect.db") as database:
        states = dict(database.execute("select name, state_name from task_run").fetchall())
    assert states == {"instruct": "Refused", "adapt.terse": "Promoted"}


def test_scores_of_earlier_weights_and_unknown_names_are_refused_before_anything_starts(workspace):
    train(workspace, GOOD, GOOD)
    done = promote(workspace, "adapt.polite")
    assert done.stderr == "adapt.polite: no such model; evaluate has scored instruct, adapt.terse\n"
    (workspace / "artifacts/instruct/model/weights.safetensors").write_text("trained again")
    done = promote(workspace)
    assert done.returncode == 1
    assert done.stderr == "evaluate: its scores are not those of the present models and knobs; run `make run` first\n"
