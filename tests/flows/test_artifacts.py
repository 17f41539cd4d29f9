"""What a run's page leads to."""

import json

import pytest

from flows.artifacts import mlflow_page, scores


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


def test_links_lead_to_the_server_that_tracks_and_never_carry_its_password(monkeypatch):
    assert mlflow_page("https://me:secret@host:8080/") == "https://host:8080"
    monkeypatch.setenv("PLUMBLINE_MLFLOW_PORT", "5999")
    assert mlflow_page("sqlite:////somewhere/mlflow.db") == "http://127.0.0.1:5999"
