"""From rows to models and back, by what DVC and MLflow have recorded of a small workspace, and no further."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from dvc.repo import Repo
from pydantic import BaseModel

from plumbline.lineage import Lineage, Record, Row, answer, main
from plumbline.registry import Registry, candidates
from plumbline.rows import write_rows
from plumbline.store import write_json
from plumbline.tracking import track
from tests import scored
from tests.flows import toy

GOOD, BETTER = [0.5, 0.6] * 6, [0.8, 0.9] * 6
GRAPH = """
stages:
  base: {cmd: "true", deps: [artifacts/pretrain], outs: [artifacts/base]}
  prepare: {cmd: "true", deps: [artifacts/base, data, plumbline/data], outs: [artifacts/prepare]}
  instruct: {cmd: "true", deps: [artifacts/base, artifacts/prepare], outs: [artifacts/instruct, artifacts/instruct.run.json]}
  adapt:
    foreach: [terse]
    do: {cmd: "true", deps: [artifacts/base, artifacts/prepare], outs: ["artifacts/adapt/${item}"]}
  evaluate:
    cmd: "true"
    deps: [artifacts/base, artifacts/prepare, artifacts/instruct, artifacts/adapt]
    outs: [artifacts/evaluate]
"""
READS = {
    "base": ["pretrain/causal"],
    "prepare": ["base"],
    "instruct": ["base", "prepare"],
    "adapt@terse": ["base", "prepare"],
    "evaluate": ["base", "prepare", "instruct", "adapt/terse"],
}


class Knobs(BaseModel):
    seed: int = 3


def run_stages(root: Path) -> None:
    """Have every stage tell MLflow what it reads, and DVC write down what it made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for stage, reads in READS.items():
            patch.setenv("DVC_STAGE", stage)
            with track(stage.partition("@")[0], Knobs()) as run:
                for path in reads:
                    run.input(path, Path("artifacts") / path)
                run.finish(Path("artifacts") / stage.replace("@", "/"))
        toy.dvc(root, "commit", "--force")


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """A workspace that was trained twice; the better model of the second time became champion."""
    root = tmp_path_factory.mktemp("lived") / "workspace"
    root.mkdir()
    (root / "dvc.yaml").write_text(GRAPH)
    Repo.init(str(root), no_scm=True).close()
    for folder in ("data", "plumbline/data", "mlruns"):
        (root / folder).mkdir(parents=True)
        (root / folder / "file").write_text(folder)
    address = f"sqlite:///{root}/mlruns/mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", address)
        patch.delenv("PLUMBLINE_PIPELINE", raising=False)
        patch.chdir(root)
        for instruct in (GOOD, BETTER):
            scored.make(Path(), {"instruct": instruct, "terse": GOOD})
            asked = [
                {"id": f"row-{n}", "task": scored.TASK, "source_file": "world/dialogues.jsonl", "source_line": n + 1}
                for n in range(12)
            ]
            write_rows(Path("artifacts/prepare/test.jsonl"), asked)
            write_rows(Path("artifacts/prepare/train.jsonl"), [each | {"id": f"learnt-{each['id']}"} for each in asked])
            run_stages(root)
            for candidate in candidates(Path("artifacts")):
                Registry(address).promote(candidate)
        yield root


@pytest.fixture
def workspace(lived, monkeypatch):
    monkeypatch.chdir(lived)
    return lived


@pytest.fixture
def copy(lived, tmp_path, monkeypatch):
    """A copy of it to change; MLflow's files stay where they are."""
    root = shutil.copytree(lived, tmp_path / "workspace")
    monkeypatch.chdir(root)
    return root


def told(what: str) -> list[str]:
    tree, broken = answer(Record(), what)
    assert broken == 0, "\n".join(tree.lines())
    return list(tree.lines())


def run_id(stage: str) -> str:
    return json.loads(Path(f"artifacts/{stage}.run.json").read_text())["run_id"][:8]


def place(lines: list[str], word: str) -> int:
    """The depth at which a word stands first."""
    return next(line.index(word) for line in lines if word in line)


def test_a_champion_leads_to_its_rows_and_its_base_and_to_where_it_was_scored(workspace):
    lines = told("instruct@champion")
    assert lines[0].startswith("instruct/2 (candidate, champion)  weights ")
    chain = ["instruct  artifacts/instruct", "prepare  artifacts/prepare", "base  artifacts/base", "artifacts/pretrain"]
    back = lines[: next(n for n, line in enumerate(lines) if "led to" in line)]
    assert [any(word in line for line in back) for word in chain] == [True] * 4
    assert place(back, chain[0]) < place(back, chain[1]) and f"run {run_id('instruct')}  commit" in "\n".join(back)
    assert any("evaluate  artifacts/evaluate" in line for line in lines[len(back) :])
    assert not any("plumbline/data" in line for line in lines)


def test_a_row_leads_to_its_source_and_to_every_model_that_learnt_from_it(workspace):
    lines = told("learnt-row-3")
    assert "artifacts/prepare/train.jsonl:4  from world/dialogues.jsonl:4" in lines[0]
    forward = lines[next(n for n, line in enumerate(lines) if "led to" in line) :]
    assert sum("trained on it" in line for line in forward) == 2
    for registered in ("instruct/2 (candidate, champion)", "adapt.terse/1 (candidate, champion)"):
        assert any(registered in line for line in forward)


def test_a_held_out_row_leads_to_its_scores_and_to_no_model(workspace):
    lines = told("row-3")
    forward = lines[next(n for n, line in enumerate(lines) if "led to" in line) :]
    assert [line.strip("└─ ").split()[0] for line in forward[1:]] == ["evaluate"]
    assert "scored on it" in forward[1]


def test_an_old_version_leads_back_through_the_runs_that_mlflow_remembers(workspace):
    lines = told("instruct/1")
    assert lines[0].startswith("instruct/1  weights ")
    assert "instruct  run " in lines[2] and run_id("instruct") not in lines[2]
    assert any("artifacts/prepare  sha256" in line for line in lines)
    assert any("artifacts/pretrain/causal  sha256" in line for line in lines)


@pytest.mark.parametrize(
    "alias",
    ["artifacts/adapt/terse", "adapt@terse", "artifacts/adapt/terse/adapter.json"],
)
def test_a_folder_a_file_in_it_and_a_stage_are_the_same_question(workspace, alias):
    assert told(alias) == told(os.path.abspath("artifacts/adapt/terse"))


def test_a_digest_is_enough_be_it_dvc_s_that_of_weights_or_that_of_a_row(workspace):
    record = Record()
    assert told(record.made["prepare"]["md5"][:6])[0] == told("prepare")[0]
    weights = record.weights("instruct")
    assert told(weights) == told("instruct/2") == told(weights[:8])
    assert told("instruct") != told("instruct/2")  # the stage's word means the stage
    row = Path("artifacts/prepare/train.jsonl").read_bytes().splitlines()[3]

    assert told(hashlib.sha256(row).hexdigest()) == told("learnt-row-3")


TAMPERED = {
    "a folder that was changed": (
        lambda root: (root / "artifacts/instruct/model/more.txt").write_text("x"),
        "artifacts/instruct",
        "changed since dvc.lock",
    ),
    "a row that was changed": (
        lambda root: (root / "artifacts/prepare/train.jsonl").write_text("{}\n"),
        "artifacts/instruct",
        "changed since dvc.lock",
    ),
    "a base that was changed": (
        lambda root: (root / "artifacts/pretrain/causal/model.safetensors").write_text("x"),
        "artifacts/instruct",
        "base read another artifacts/pretrain",
    ),
    "a folder that is gone": (
        lambda root: shutil.rmtree(root / "artifacts/prepare"),
        "artifacts/instruct",
        "is gone",
    ),
    "rows of one's own that were changed": (
        lambda root: (root / "data/file").write_text("x"),
        "artifacts/prepare",
        "prepare read another data",
    ),
    "a lock that was edited": (
        lambda root: edit(root / "dvc.lock", "instruct", "artifacts/prepare"),
        "artifacts/instruct",
        "instruct read another artifacts/prepare",
    ),
}


def edit(lock: Path, stage: str, path: str) -> None:
    """Let the lock say that a stage has read something else."""

    content = yaml.safe_load(lock.read_text())
    for dep in content["stages"][stage]["deps"]:
        if dep["path"] == path:
            dep["md5"] = "0" * 32
    lock.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("case", TAMPERED)
def test_a_link_that_does_not_hold_is_marked(copy, case, capsys):
    tamper, what, mark = TAMPERED[case]
    assert main([what]) == 0
    assert "✗" not in capsys.readouterr().out
    tamper(copy)
    assert main([what]) == 1
    assert f"✗ {mark}" in capsys.readouterr().out


def test_registered_weights_that_were_changed_are_marked(workspace, capsys):
    version = Registry(os.environ["MLFLOW_TRACKING_URI"]).champion("adapt.terse")
    weights = Path(version.source) / "weights.safetensors"
    before = weights.read_text()
    weights.write_text("x")
    try:
        assert main(["adapt.terse@champion"]) == 1
        assert "✗ weights.safetensors changed since it was registered" in capsys.readouterr().out
    finally:
        weights.write_text(before)


def test_what_nothing_is_called_and_a_missing_lock_get_one_line(workspace, tmp_path, monkeypatch, capsys):
    assert main(["polite"]) == 1
    assert capsys.readouterr().err.startswith("polite: no stage, folder, registered model, row or digest")
    monkeypatch.chdir(tmp_path)
    assert main(["instruct"]) == 1
    assert capsys.readouterr().err == "dvc.lock: not there, or damaged; run the pipeline first (`make run`)\n"


def test_without_a_store_dvc_s_part_is_told_and_none_is_made(copy, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    shutil.rmtree(copy / "mlruns")
    lines = told("artifacts/instruct")
    assert "(not in this MLflow)" in lines[0]
    assert not (copy / "mlruns").exists()


@pytest.mark.parametrize(
    ("kind", "split", "used"),
    [
        ("ranking", "train", {"reward": "trained on it", "ppo": "trained on its prompt"}),
        ("ranking", "validation", {"reward": "validated on it"}),
        ("ranking", "test", {"reward": "scored on it"}),
        ("example", "train", {"instruct": "trained on it"}),
        ("example", "validation", {"instruct": "validated on it"}),
        ("example", "test", {}),
    ],
)
def test_a_ranking_is_used_by_those_who_read_rankings_whatever_its_task(tmp_path, kind, split, used):
    stages = ("instruct", "reward", "ppo", "evaluate")
    for stage in stages:
        (tmp_path / stage).mkdir()
        write_json(tmp_path / stage / "metrics.json", {"tasks": {"reply": 3}} if stage in ("instruct", "ppo") else {})
    write_rows(tmp_path / "reward" / "scores.jsonl", [{"id": "r1"}])
    write_rows(tmp_path / "evaluate" / "answers.jsonl", [{"id": "r2"}])
    content = {"id": f"{kind[0]}1", "task": "reply"} | ({"pairs": []} if kind == "ranking" else {})
    file = tmp_path / f"{'rankings_' if kind == 'ranking' else ''}{split}.jsonl"
    lineage = Lineage(SimpleNamespace(outs={stage: str(tmp_path / stage) for stage in stages}))
    found = {stage: lineage.how_used(Row(content, file, 1, ""), stage) for stage in stages}
    assert {stage: how for stage, how in found.items() if how} == used
