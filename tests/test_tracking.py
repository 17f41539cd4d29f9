"""What MLflow holds after a stage, read back through MLflow."""

import json
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from pydantic import BaseModel

from plumbline.store import digest, unfinished
from plumbline.tracking import end_pipeline, pipeline, track


class Knobs(BaseModel):
    seed: int = 3
    tasks: list[str] = ["summarise"]
    tokens: dict[str, int] = {"causal": 7}


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A store of its own for these tests, made once: making it takes a second."""
    return f"sqlite:///{tmp_path_factory.mktemp('record')}/mlflow.db"


@pytest.fixture
def client(record, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", record)
    monkeypatch.delenv("PLUMBLINE_PIPELINE", raising=False)
    return MlflowClient(record)


def sidecar(out: Path) -> dict:
    return json.loads(out.with_name(f"{out.name}.run.json").read_text())


def run_of(client, out):
    return client.get_run(sidecar(out)["run_id"])


def test_a_stage_is_a_run_with_its_knobs_metrics_and_state(client):
    out = Path("artifacts/instruct")
    with track("instruct", Knobs()) as run, unfinished(out) as folder:
        run.finish(folder, scores={"summarise": {"rougeL": 0.5}}, note="words are no metric")
    recorded = run_of(client, out)
    assert recorded.info.status == "FINISHED"
    assert recorded.info.run_name == "instruct"
    assert recorded.data.params == {
        "instruct.seed": "3",
        "instruct.tasks": '["summarise"]',
        "instruct.tokens.causal": "7",
    }
    assert recorded.data.metrics["scores.summarise.rougeL"] == 0.5
    assert recorded.data.metrics["seconds"] > 0 and recorded.data.metrics["peak_memory_bytes"] > 1e6
    assert json.loads((out / "metrics.json").read_text())["scores"] == {"summarise": {"rougeL": 0.5}}


def test_the_stages_of_one_pipeline_run_share_one_parent(client, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_PIPELINE", "flow-1")
    monkeypatch.setenv("PLUMBLINE_PIPELINE_NAME", "a name")
    for stage in ("prepare", "instruct"):
        with track(stage, Knobs()) as run, unfinished(Path(stage)) as folder:
            run.finish(folder, rows=len(stage))
    parents = {run_of(client, Path(stage)).data.tags["mlflow.parentRunId"] for stage in ("prepare", "instruct")}
    assert len(parents) == 1
    parent = client.get_run(parents.pop())
    assert (parent.info.run_name, parent.info.status) == ("a name", "FINISHED")
    assert parent.data.metrics["prepare.rows"] == 7 and parent.data.metrics["instruct.rows"] == 8
    assert parent.data.params["instruct.seed"] == "3"
    assert sidecar(Path("instruct"))["parent_run_id"] == parent.info.run_id


def test_the_pipeline_run_ends_as_it_did_as_a_whole_whichever_stage_was_last(client, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_PIPELINE", "flow-3")
    with track("prepare", Knobs()) as run, unfinished(Path("prepare")) as folder:
        run.finish(folder)
    parent = run_of(client, Path("prepare")).data.tags["mlflow.parentRunId"]
    assert client.get_run(parent).info.status == "FINISHED"
    end_pipeline("flow-3", "FAILED")
    assert client.get_run(parent).info.status == "FAILED"
    end_pipeline("a flow that no stage ran in", "FAILED")
    end_pipeline("flow-3", "FINISHED")
    assert client.get_run(parent).info.status == "FINISHED"


def test_a_knob_that_is_changed_while_a_pipeline_runs_is_each_stages_own(client, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_PIPELINE", "flow-4")
    for name, seed in (("one", 3), ("two", 4)):
        with track("adapt", Knobs(seed=seed)) as run, unfinished(Path(name)) as folder:
            run.finish(folder)
        assert run_of(client, Path(name)).data.params["adapt.seed"] == str(seed)
    parent = run_of(client, Path("two")).data.tags["mlflow.parentRunId"]
    assert client.get_run(parent).data.params["adapt.seed"] == "3"


def test_runs_are_compared_by_values_under_the_name_of_stage_and_variant(client, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_PIPELINE", "flow-2")
    for name in ("summarise", "sentiment"):
        monkeypatch.setenv("DVC_STAGE", f"adapt@{name}")
        with track("adapt", Knobs()) as run, unfinished(Path(f"adapt/{name}")) as folder:
            run.finish(folder, loss={"value": len(name), "low": 0.0, "high": 99.0})
    child = client.get_run(sidecar(Path("adapt.summarise"))["run_id"])
    assert child.data.metrics["loss.low"] == 0.0 and child.data.metrics["loss.high"] == 99.0
    numbers = client.get_run(child.data.tags["mlflow.parentRunId"]).data.metrics
    compared = {name: value for name, value in numbers.items() if "loss" in name}
    assert compared == {"adapt.summarise.loss.value": 9.0, "adapt.sentiment.loss.value": 9.0}


def test_how_busy_the_machine_is_stands_where_mlflow_looks_for_it_while_the_stage_runs(client, monkeypatch):
    monkeypatch.setattr("plumbline.tracking.WATCHED_EVERY", 0.05)
    with track("instruct", Knobs()) as run, unfinished(Path("out")) as folder:
        time.sleep(0.3)
        run.finish(folder)
    run_id = sidecar(Path("out"))["run_id"]
    for name in ("cpu_utilization_percentage", "system_memory_usage_megabytes", "disk_usage_percentage"):
        history = client.get_metric_history(run_id, f"system/{name}")
        assert [point.step for point in history] == list(range(len(history))) and len(history) >= 3
        assert all(point.value >= 0 for point in history)


def test_an_input_names_the_run_that_made_it_wherever_in_the_folder_of_that_stage_it_lies(client):
    with track("instruct", Knobs()) as run, unfinished(Path("artifacts/instruct")) as folder:
        (folder / "model").mkdir()
        run.finish(folder)
    with track("adapt", Knobs()) as run, unfinished(Path("artifacts/adapt/terse")) as folder:
        run.input("start", Path("artifacts/instruct/model"))
        run.finish(folder)
    with track("evaluate", Knobs()) as run, unfinished(Path("artifacts/evaluate")) as folder:
        run.input("adapt", Path("artifacts/adapt/terse"))
        run.finish(folder)
    makers = {
        each.dataset.name: json.loads(each.dataset.source)["run"]
        for folder in ("adapt.terse", "evaluate")
        for each in run_of(client, Path(f"artifacts/{folder}")).inputs.dataset_inputs
    }
    assert makers == {
        "artifacts/instruct/model": sidecar(Path("artifacts/instruct"))["run_id"],
        "artifacts/adapt/terse": sidecar(Path("artifacts/adapt.terse"))["run_id"],
    }


def test_a_curve_has_each_point_once_and_at_its_step_and_the_loop_does_not_wait(client):
    out = Path("out")
    with track("instruct", Knobs()) as run, unfinished(out) as folder:
        started = time.thread_time()
        for step in range(1, 2501):  # more than MLflow takes at once
            run.step(step, loss=1 / step, learning_rate=0.1)
        assert (time.thread_time() - started) / 2500 < 1e-3
        run.finish(folder)
    history = client.get_metric_history(sidecar(out)["run_id"], "loss")
    assert [(point.step, point.value) for point in history] == [(step, 1 / step) for step in range(1, 2501)]


def test_inputs_lead_back_to_the_rows_by_digest(client, tmp_path):
    rows = tmp_path / "artifacts/prepare"
    rows.mkdir(parents=True)
    (rows / "train.jsonl").write_text("{}\n")
    Path("dvc.lock").write_text("stages: {prepare: {outs: [{path: artifacts/prepare, md5: abc.dir}]}}")
    with track("instruct", Knobs()) as run, unfinished(Path("out")) as folder:
        run.input("data", Path("artifacts/prepare"))
        run.finish(folder)
    recorded = run_of(client, Path("out"))
    dataset = recorded.inputs.dataset_inputs[0]
    assert dataset.dataset.name == "artifacts/prepare"
    assert json.loads(dataset.dataset.source) == {"uri": "artifacts/prepare", "sha256": digest(rows), "md5": "abc.dir"}
    assert dataset.tags[0].value == "data"
    assert recorded.data.tags["dvc.md5.data"] == "abc.dir"


def test_files_and_the_model_are_kept_although_their_folder_is_renamed_at_the_end(client, tmp_path):
    with track("evaluate", Knobs()) as run, unfinished(Path("out")) as folder:
        (folder / "report.html").write_text("a report")
        (folder / "model").mkdir()
        (folder / "model/config.json").write_text("{}")
        run.artifact(folder / "report.html")
        run.model(folder / "model")
        run.finish(folder)
    recorded = run_of(client, Path("out"))
    kept = client.download_artifacts(recorded.info.run_id, "report.html", str(tmp_path))
    assert Path(kept).read_text() == "a report"
    (model,) = client.search_logged_models([recorded.info.experiment_id])
    assert (model.name, model.source_run_id, model.status) == ("evaluate", recorded.info.run_id, "READY")
    assert (Path(model.artifact_location.removeprefix("file://")) / "config.json").exists()


def test_weights_that_are_there_already_are_not_copied_again(client):
    for name in ("one", "two"):
        with track("instruct", Knobs()) as run, unfinished(Path(name)) as folder:
            (folder / "model").mkdir()
            (folder / "model/weights.safetensors").write_text("equal")
            run.model(folder / "model")
            run.finish(folder)
    one, two = (run_of(client, Path(name)).outputs.model_outputs for name in ("one", "two"))
    assert [each.model_id for each in one] == [each.model_id for each in two] and len(one) == 1


@pytest.mark.parametrize(("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_stage_that_ends_early_says_so_and_leaves_no_sidecar(client, monkeypatch, error, status):
    monkeypatch.setenv("PLUMBLINE_PIPELINE", f"ends-{status}")
    with pytest.raises(error), track("instruct", Knobs()), unfinished(Path("out")):
        raise error
    (experiment,) = client.search_experiments(filter_string="name = 'plumbline'")
    found = client.search_runs([experiment.experiment_id], f"attributes.status = '{status}'")
    assert {run.info.run_name for run in found} == {"instruct", f"ends-{status}"}
    assert list(Path().iterdir()) == []


def test_a_store_that_cannot_be_reached_costs_one_line_and_not_the_results(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with track("instruct", Knobs()) as run, unfinished(Path("out")) as folder:
        run.step(1, loss=1.0)
        run.finish(folder, rows=3)
    assert json.loads(Path("out/metrics.json").read_text()) == {"rows": 3}
    assert sidecar(Path("out"))["run_id"] is None
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("instruct:")]
    assert len(lines) == 1 and "MLflow does not record this" in lines[0]


def test_metrics_that_the_stage_has_written_itself_stay(client):
    with track("evaluate", Knobs()) as run, unfinished(Path("out")) as folder:
        (folder / "metrics.json").write_text("mine")
        run.finish(folder, rows=3)
    assert Path("out/metrics.json").read_text() == "mine"


def test_finishing_is_not_optional(client):
    with pytest.raises(ValueError, match="never called"), track("world", Knobs()):
        pass


def test_outside_of_a_flow_and_of_dvc_a_stage_has_no_parent(client):
    assert pipeline()[0] is None
