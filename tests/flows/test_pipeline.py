"""Two doors, one truth: the flow and `dvc repro` on the real graph with toy stages, with real DVC, Prefect and MLflow."""

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from mlflow import MlflowClient

from flows import pipeline, promote
from flows.experiment import Experiment, changed_params, parse_overrides
from tests.flows import toy

ADAPTERS = ["adapt@summarise", "adapt@sentiment", "adapt@rewrite"]
AFTER = ["reward", "ppo", "evaluate"]  # what instruct's results reach
STAGES = ["world", "pretrain@causal", "pretrain@seq2seq", "base", "prepare", "instruct", *ADAPTERS, *AFTER]
UP_TO_DATE = "Data and pipelines are up to date."


@pytest.fixture
def project(finished, tmp_path):
    """A copy of it to change."""
    return shutil.copytree(finished[0], tmp_path / "project", symlinks=True)


def task_runs(root: Path, flow_run: str = "") -> dict[str, str]:
    """Name and state of the task runs that Prefect recorded for its latest flow run."""
    with sqlite3.connect(root / ".prefect/prefect.db") as database:
        query = "select task_run.name, task_run.state_name from task_run where flow_run_id = ({})"
        latest = "select id from flow_run order by created desc limit 1"
        return dict(database.execute(query.format(latest)).fetchall())


def outcomes(printed: str) -> dict[str, str]:
    """What the table at the end says became of each stage."""
    rows = [line.split() for line in printed.splitlines() if line.startswith("  ")]
    return {row[0]: " ".join(row[1:3]) if row[1] == "not" else row[1] for row in rows if row[0] in STAGES}


def test_the_first_run_runs_every_stage_and_then_dvc_finds_nothing_to_do(finished):
    root, printed, status = finished
    assert outcomes(printed) == dict.fromkeys(STAGES, "ran")
    assert "artifacts/evaluate/report.html" in printed
    assert status == UP_TO_DATE
    assert task_runs(root) == dict.fromkeys(STAGES, "Completed")


def test_the_lines_that_a_stage_prints_are_in_the_log_of_its_task_run(finished):
    with sqlite3.connect(finished[0] / ".prefect/prefect.db") as database:
        query = "select task_run.name from log join task_run on log.task_run_id = task_run.id where message = ?"
        assert database.execute(query, ["reading base data instruct adapt ppo ranks"]).fetchall() == [("evaluate",)]


def test_a_second_run_runs_nothing_and_shows_every_stage_as_cached(project):
    done = toy.flow(project)
    assert done.returncode == 0
    assert outcomes(done.stdout) == dict.fromkeys(STAGES, "cached")
    assert "Running" not in toy.dvc(project, "repro")


def test_after_dvc_the_flow_finds_nothing_to_do_and_one_knob_reruns_just_what_depends_on_it(project):
    toy.set_knob(project, "epochs: 1.7", "epochs: 11.4")
    printed = toy.dvc(project, "repro")
    ran = {line for line in printed.splitlines() if line.startswith("Running stage")}
    assert ran == {f"Running stage '{stage}':" for stage in ["instruct", *AFTER]}
    assert outcomes(toy.flow(project).stdout) == dict.fromkeys(STAGES, "cached")


def test_a_knob_of_one_adapter_reruns_that_adapter_alone(project):
    toy.set_knob(project, "epochs: 2.1", "epochs: 3.1")
    printed = toy.dvc(project, "repro")
    assert [line for line in printed.splitlines() if line.startswith("Running stage")] == [
        "Running stage 'adapt@rewrite':",
        "Running stage 'evaluate':",
    ]


def test_a_mistake_ends_the_run_with_its_line_and_the_next_run_goes_on_from_there(project):
    toy.set_knob(project, "max_tokens: ", "max_tokens: 1")
    done = toy.flow(project, TOY_FAIL="instruct")
    assert done.returncode == 1
    assert "instruct: rows.jsonl:3: answer: is empty" in done.stdout
    assert len(done.stderr.splitlines()) == 1 and "instruct" in done.stderr
    assert "Traceback" not in done.stdout
    expected = dict.fromkeys(STAGES[:4], "cached") | {"prepare": "ran", "instruct": "failed"}
    expected |= dict.fromkeys(AFTER, "not run")
    expected |= dict.fromkeys(ADAPTERS, "ran")  # they start from the base, and go on
    assert outcomes(done.stdout) == expected
    assert [path for path in (project / "artifacts").iterdir() if path.name.startswith(".")] == []
    assert not (project / "artifacts/instruct").exists()
    states = task_runs(project)
    assert (states["world"], states["prepare"], states["instruct"]) == ("Cached", "Completed", "Failed")
    again = toy.flow(project)
    assert outcomes(again.stdout) == dict.fromkeys(STAGES, "cached") | dict.fromkeys(["instruct", *AFTER], "ran")


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])  # one replaces itself by the stage, one stays above it
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl_c", "kill"])
def test_a_flow_that_is_stopped_takes_its_stages_along(project, number, shell):
    toy.set_knob(project, "epochs: 1.7", "epochs: 11.4")
    command = [sys.executable, "-m", "flows.pipeline"]
    with subprocess.Popen(
        command,
        cwd=project,
        env=toy.environment(TOY_SLEEP="instruct"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a test run in the background ignores Ctrl-C, and what it starts would too
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as running:
        for line in running.stdout:
            if "asleep" in line:
                break
        children = psutil.Process(running.pid).children(recursive=True)
        assert any("tasks.instruct" in " ".join(child.cmdline()) for child in children)
        running.send_signal(number)
        _, errors = running.communicate()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    if number == signal.SIGINT:
        assert running.returncode == 130
        assert errors.splitlines() == ["interrupted; finished stages are kept, and the next run goes on from them"]
    assert not (project / "artifacts/instruct").exists()
    toy.dvc(project, "repro")
    assert [path.name for path in (project / "artifacts").glob(".*")] == []
    assert toy.dvc(project, "status").strip() == UP_TO_DATE


def test_other_knobs_leave_the_workspace_alone_and_end_as_an_experiment(project):
    (project / "data/own.jsonl").write_text("{}\n")  # rows that git ignores come along
    toy.dvc(project, "repro")
    toy.commit(project)
    done = toy.flow(project, "--recipe", "short", "-S", "evaluate.seed=6", "--name", "six")
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(done.stdout) == dict.fromkeys(STAGES, "cached") | dict.fromkeys(["instruct", *AFTER], "ran")
    assert toy.git(project, "status", "--porcelain") == ""
    assert toy.dvc(project, "status").strip() == UP_TO_DATE
    assert toy.git(project, "worktree", "list").count("\n") == 1
    assert (project / ".runs/six-report/report.html").read_text() == "a report"
    (name,) = {run.info.run_name for run in parents(project) if not run.info.run_name.startswith(("run-", "dvc "))}
    assert name == "six"
    toy.dvc(project, "exp", "apply", "six")
    knobs = yaml.safe_load((project / "params.yaml").read_text())
    assert (knobs["instruct"]["epochs"], knobs["evaluate"]["seed"]) == (0.5, 6)
    assert "Running" not in toy.dvc(project, "repro")


def test_results_of_an_adapter_that_a_run_takes_off_do_not_come_along(project):
    params = changed_params(project, None, parse_overrides(["adapt.adapters.rewrite=null"]))
    with Experiment(project, "less").worktree(params) as folder:
        assert {each.name for each in (folder / "artifacts/adapt").iterdir()} == {"summarise", "sentiment"}


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of pygtrie, within DVC
def test_while_another_run_is_at_work_the_command_line_says_so(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    other = {"pid": psutil.Process().ppid(), "cmd": "dvc repro -s evaluate"}
    lock = project / ".dvc/tmp/rwlock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(json.dumps({"write": {str(project / "artifacts/evaluate"): other}}))
    told = f"another run is at work in this folder (PID {other['pid']}): {other['cmd']}; wait for it, or stop it"
    for main in (pipeline.main, promote.main):
        assert (main([]), capsys.readouterr().err.strip()) == (1, told)
    lock.write_text('{"write": ')
    assert pipeline.main([]) == 1
    assert re.search(r"JSON structure is corrupted; unless .* remove .*/rwlock$", capsys.readouterr().err.strip())


def test_a_bad_override_is_refused_at_once_and_in_the_words_of_the_command_line(project):
    started = time.monotonic()
    done = toy.flow(project, "-S", "instruct.epoch=1", "--name", "bad")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip() == "instruct.epoch: unknown knob; did you mean epochs?"
    assert time.monotonic() - started < 30  # no server was started for it
    assert not (project / ".runs").exists()


def parents(root: Path) -> list:
    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("plumbline")
    return [run for run in client.search_runs([experiment.experiment_id]) if "plumbline.pipeline" in run.data.tags]


def test_one_run_of_the_flow_is_one_parent_with_a_child_per_stage(finished):
    root = finished[0]
    client = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    (parent,) = parents(root)
    assert parent.info.status == "FINISHED"
    experiment = client.get_experiment_by_name("plumbline")
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    children = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id], query)}
    assert set(children) == set(STAGES)
    sidecar = json.loads((root / "artifacts/instruct.run.json").read_text())
    assert sidecar["run_id"] == children["instruct"].info.run_id
    assert [point.step for point in client.get_metric_history(sidecar["run_id"], "loss")] == [1, 2]
    md5 = {
        out["path"]: out["md5"] for out in yaml.safe_load((root / "dvc.lock").read_text())["stages"]["prepare"]["outs"]
    }
    assert children["instruct"].data.tags["dvc.md5.data"] == md5["artifacts/prepare"]
    assert children["pretrain@causal"].data.tags["dvc.stage"] == "pretrain@causal"
    assert len(children["instruct"].data.tags["mlflow.source.git.commit"]) == 40


def test_one_dvc_repro_is_one_parent_too(project):
    toy.set_knob(project, "epochs: 1.7", "epochs: 11.4")
    toy.dvc(project, "repro")
    (parent,) = [run for run in parents(project) if run.info.run_name.startswith("dvc ")]
    client = MlflowClient(f"sqlite:///{project}/mlruns/mlflow.db")
    query = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    assert {run.info.run_name for run in client.search_runs([parent.info.experiment_id], query)} == {
        "instruct",
        *AFTER,
    }
