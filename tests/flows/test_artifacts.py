"""What a run's page leads to."""

import json
import re

import pytest

from flows.artifacts import links, mlflow_page, scores, tell_of_alarm
from plumbline.store import write_json


def test_scores_are_those_of_the_headline_metric_of_each_task(tmp_path):
    (tmp_path / "artifacts/evaluate").mkdir(parents=True)
    table = {
        "forgetting": {"instruct": {"summarise": {"metric": "rougeL"}}},
        "scores": {
            "summarise": {"base": {"rougeL": {"value": 0.1}, "loss": {"value": 3}}, "lora": {"rougeL": {"value": 0.7}}}
        },
    }
    (tmp_path / "artifacts/evaluate/metrics.json").write_text(json.dumps(table))
    assert scores(tmp_path) == {("summarise", "base", "rougeL"): 0.1, ("summarise", "lora", "rougeL"): 0.7}


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_without_an_evaluation_there_are_no_scores(tmp_path, content):
    (tmp_path / "artifacts/evaluate").mkdir(parents=True)
    if content is not None:
        (tmp_path / "artifacts/evaluate/metrics.json").write_text(content)
    assert scores(tmp_path) == {}


def test_an_alarm_of_a_stage_becomes_an_event_and_other_lines_do_not(monkeypatch):
    told = []
    monkeypatch.setattr("flows.artifacts.emit_event", lambda event, **said: told.append((event, said)))
    assert not tell_of_alarm("ppo", "12/30 cycles, score 0.1")
    assert tell_of_alarm("ppo", "ALARM kl: 12.1 nats, limit 10, since cycle 7")
    ((event, said),) = told
    assert event == "plumbline.alarm"
    assert said["resource"]["prefect.resource.id"] == "plumbline.stage.ppo"
    assert said["payload"]["alarm"] == "kl"


def test_links_lead_to_the_server_that_tracks_or_to_the_one_that_is_started_here():
    assert mlflow_page("https://host:8080/") == "https://host:8080"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", mlflow_page("sqlite:////somewhere/mlflow.db"))


def test_a_stage_that_mlflow_did_not_record_has_no_link(tmp_path, record, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", record)
    (tmp_path / "artifacts").mkdir()
    write_json(tmp_path / "artifacts/prepare.run.json", {"stage": "prepare", "run_id": None})
    write_json(tmp_path / "artifacts/instruct.run.json", {"stage": "instruct", "run_id": "0123456789"})
    page = links(tmp_path, "a name", "no such run", ["prepare", "instruct"], False)
    assert "| instruct | [01234567](" in page and "| prepare |" not in page
