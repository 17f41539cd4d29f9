"""Models in MLflow's registry: what is registered, and what becomes a champion."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from plumbline import registry as module
from plumbline.card import OWN, UNKNOWN, licence_of_rows
from plumbline.errors import ArtifactError, PlumblineError
from plumbline.registry import CANDIDATE, CHAMPION, Registry, candidates, registration
from plumbline.store import unfinished, write_json
from plumbline.tracking import model_digest, track
from tests import scored

GOOD, WORSE, BETTER = ([base + 0.01 * (n % 5) for n in range(12)] for base in (0.5, 0.3, 0.7))


class Knobs(BaseModel):
    seed: int = 3


@pytest.fixture
def registry(record, tmp_path, monkeypatch, request):
    """The registry, in which this test's models have names of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", record)
    prefix = f"{abs(hash(request.node.name))}."
    own = module.Candidate.name.fget
    monkeypatch.setattr(module.Candidate, "model", property(lambda self: own(self).removeprefix("adapt.")))
    monkeypatch.setattr(module.Candidate, "name", property(lambda self: prefix + own(self)))
    return Registry(record)


def train(root: Path, licence: str = "mit", **scores) -> list:
    """Every model of a workspace in which each has these scores."""
    settings = scores.pop("settings", {})
    return candidates(scored.make(root, scores, licence, **settings))


def aliases(registry: Registry, name: str) -> dict[str, str]:
    return {alias: str(number) for alias, number in registry.client.get_registered_model(name).aliases.items()}


def test_the_first_model_becomes_champion_and_the_same_weights_stay_one_version(registry, tmp_path):
    (model,) = train(tmp_path, instruct=GOOD)
    assert registry.promote(model).outcome == "promoted"
    assert registry.promote(model).outcome == "unchanged"
    assert aliases(registry, model.name) == {CANDIDATE: "1", CHAMPION: "1"}


def test_a_worse_model_is_refused_and_the_champion_stays(registry, tmp_path):
    (first,) = train(tmp_path, instruct=GOOD)
    registry.promote(first)
    (second,) = train(tmp_path, instruct=WORSE)
    outcome, line = registry.promote(second)
    assert outcome == "refused" and "version 2 is worse than the champion: −0.200" in line and "\n" not in line
    assert aliases(registry, first.name) == {CANDIDATE: "2", CHAMPION: "1"}


def test_a_clearly_better_model_takes_the_place(registry, tmp_path):
    (first,) = train(tmp_path, instruct=GOOD)
    registry.promote(first)
    (second,) = train(tmp_path, instruct=BETTER)
    assert registry.promote(second).outcome == "promoted"
    assert aliases(registry, first.name) == {CANDIDATE: "2", CHAMPION: "2"}


def test_an_undecided_model_is_refused(registry, tmp_path):
    (first,) = train(tmp_path, instruct=GOOD)
    registry.promote(first)
    (second,) = train(tmp_path, instruct=[*GOOD[:-1], 1.0])
    assert "not clearly better" in registry.promote(second).line
    assert aliases(registry, first.name)[CHAMPION] == "1"


def test_a_model_scored_on_other_rows_or_with_other_knobs_is_refused_however_good_it_is(registry, tmp_path):
    (first,) = train(tmp_path, instruct=GOOD)
    registry.promote(first)
    (fewer,) = train(tmp_path, instruct=BETTER[:-1])
    with pytest.raises(ArtifactError, match=r"champion, version 1, was scored on other rows"):
        registry.promote(fewer)
    (longer,) = train(tmp_path, instruct=BETTER, settings={"max_new_tokens": 9})
    with pytest.raises(ArtifactError, match="with other knobs of evaluate"):
        registry.promote(longer)
    assert aliases(registry, first.name) == {CANDIDATE: "3", CHAMPION: "1"}


def test_a_champion_that_is_scored_again_on_other_rows_can_be_compared_on_both(registry, tmp_path):
    for rows in (12, 8):
        (first,) = train(tmp_path, instruct=GOOD)  # the same weights
        answers = tmp_path / "artifacts/evaluate/answers.jsonl"
        answers.write_text("\n".join(answers.read_text().splitlines()[:rows]) + "\n")
        registry.promote(first)
    for rows in (12, 8):
        (other,) = train(tmp_path, instruct=BETTER)
        answers.write_text("\n".join(answers.read_text().splitlines()[:rows]) + "\n")
        registry.register(other)
        assert registry.verdict(other, registry.champion(other.name)).better


def test_scores_of_other_weights_are_refused(registry, tmp_path):
    (model,) = train(tmp_path, instruct=GOOD)
    (tmp_path / "artifacts/instruct/model/weights.safetensors").write_text("trained again")
    with pytest.raises(ArtifactError, match="not the weights that evaluate has scored"):
        registry.promote(model)


def test_a_model_of_unknown_licence_is_a_candidate_and_no_champion(registry, tmp_path):
    (model,) = train(tmp_path, licence=UNKNOWN, instruct=GOOD)
    with pytest.raises(ArtifactError, match=r"licence of base .* is unknown; write it to base\.licence"):
        registry.promote(model)
    assert aliases(registry, model.name) == {CANDIDATE: "1"}


def test_the_licence_of_rows_is_that_of_their_source_or_unknown_and_the_world_s_is_the_project_s(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert licence_of_rows("world/dialogues.jsonl")[0] == OWN
    assert licence_of_rows("data/mine.jsonl")[0] == UNKNOWN
    sources = [{"path": "data/mine.jsonl", "licence": "cc-by-4.0"}, {"path": "data/yours.jsonl"}]
    lock = {"stages": {"prepare": {"params": {"params.yaml": {"prepare": {"sources": sources}}}}}}
    Path("dvc.lock").write_text(yaml.safe_dump(lock))
    assert licence_of_rows("data/mine.jsonl")[0] == "cc-by-4.0"
    assert licence_of_rows("data/yours.jsonl") == (UNKNOWN, "prepare.sources.1.licence")


def test_the_card_tells_base_rows_licences_and_scores_with_intervals(registry, tmp_path):
    (model,) = train(tmp_path, instruct=GOOD)
    version = registry.register(model)
    text = Path(version.source, "README.md").read_text()
    assert text == registry.client.get_model_version(model.name, version.version).description
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head)["license"] == sorted(["mit", OWN])
    assert "3 rows of world/dialogues.jsonl" in body and model.scores.rows in body and model.digest in body
    assert "| summarise | 12 | rougeL | 0.5 | 0.4 to 0.6 |" in body and "bleu" not in body
    signature = yaml.safe_load(Path(version.source, "MLmodel").read_text())["signature"]
    assert json.loads(signature["inputs"])[0]["name"] == "prompt"
    assert json.loads(Path(version.source, "serving_input_example.json").read_text())


def test_weights_that_a_stage_gave_to_mlflow_are_not_copied_again_and_the_base_of_all_adapters_once(registry, tmp_path):
    models = train(tmp_path, instruct=GOOD[::-1], terse=GOOD, polite=BETTER)
    folder = tmp_path / "artifacts/instruct/model"
    with track("instruct", Knobs()) as run, unfinished(Path("made")) as made:
        run.model(folder)
        run.finish(made)
    run_id = json.loads(Path("made.run.json").read_text())["run_id"]
    for model in models:
        registry.register(model)
    digests = [model_digest(path) for path in (folder, tmp_path / "artifacts/pretrain/causal")]
    kept = [
        registry.client.search_logged_models([registry.experiment], f"tags.`plumbline.digest` = '{each}'")
        for each in digests
    ]
    assert [len(each) for each in kept] == [1, 1]
    assert registry.of_digest(models[0].name, digests[0]).run_id == run_id
    terse = registry.of_digest(models[1].name, models[1].digest)
    registered = json.loads(Path(terse.source, "registered.json").read_text())
    assert registered["beneath"] == kept[1][0].model_id


def test_a_stage_that_scores_models_leaves_candidates(registry, tmp_path):
    models = train(tmp_path, instruct=GOOD, terse=GOOD)
    with track("evaluate", Knobs()) as run, unfinished(Path("out")) as folder:
        for model in models:
            run.then(registration(model))
        run.finish(folder)
    assert [aliases(registry, model.name) for model in models] == [{CANDIDATE: "1"}] * 2


def test_a_store_that_is_away_costs_the_stage_no_more_than_its_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    models = train(tmp_path, instruct=GOOD)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with track("evaluate", Knobs()) as run, unfinished(Path("out")) as folder:
        run.then(registration(models[0]))
        run.finish(folder)
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("evaluate:")]) == 1
    with pytest.raises(PlumblineError, match="MLflow cannot be reached"):
        Registry("http://127.0.0.1:9")


def test_an_adapter_on_instruct_answers_for_the_rows_of_both(tmp_path):
    instruct, terse = train(tmp_path, instruct=GOOD, terse=GOOD)
    write_json(terse.folder / "metrics.json", {"start": "instruct", "tasks": {}})
    fresh = module.Candidate(terse.folder, terse.base, terse.data, terse.evaluation, terse.instruct)
    assert fresh.made_from() == instruct.made_from()
