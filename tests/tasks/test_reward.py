"""What the stage says of rankings that it cannot learn from, and what it leaves behind."""

import csv
import json
from pathlib import Path

import pytest
import torch
import transformers

from plumbline.errors import ArtifactError, DataError
from plumbline.models.scorer import load_scorer, scores
from plumbline.models.tokenizer import train_tokenizer
from plumbline.params import LoraSize, load_params
from plumbline.rows import Preference, Ranking, write_rows
from plumbline.store import read_json
from tasks.reward import reward

PARAMS = load_params(Path("params.yaml")).reward.model_copy(
    update={"epochs": 1.0, "resamples": 100, "shown_pairs": 2, "precision": "float32"}
)
LORA = LoraSize(rank=2, alpha=4, dropout=0.0, targets="attention")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A folder like that of stage instruct, with a tiny model."""
    folder = tmp_path_factory.mktemp("instruct")
    tokenizer = train_tokenizer([f"order {number} arrives on {number % 28 + 1} May" for number in range(300)], 500)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=128, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder


def ranked(number, source="world/replies.jsonl"):
    """Three completions, of which two people like the first best and differ on the others."""
    votes = {(0, 1): 2.0, (0, 2): 2.0, (1, 2): 1.0, (2, 1): 1.0}
    return Ranking(
        id=str(number), task="reply", group=f"g{number}", prompt=f"order {number}", ranks=[1, 2, 2], raters=["a", "b"],
        pairs=[Preference(better=one, worse=other, votes=each) for (one, other), each in votes.items()],
        completions=[f"arrives on {number % 28 + 1} May", f"order {number}", "on May May"],
        source_file=source, source_line=1,
    )  # fmt: skip


def even(row):
    return row.model_copy(update={"pairs": row.pairs[2:]})


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("PLUMBLINE_CHECKPOINTS", str(tmp_path / "checkpoints"))
    folder = tmp_path / "prepare"
    folder.mkdir()
    for split, numbers in (("train", range(16)), ("validation", range(20, 24)), ("test", range(30, 42))):
        write_rows(folder / f"rankings_{split}.jsonl", [ranked(n) for n in numbers])
    return folder


@pytest.fixture
def world(tmp_path):
    folder = tmp_path / "world"
    folder.mkdir()
    write_rows(folder / "gold.jsonl", [{"id": str(n), "gold": [1.0, 0.5, 0.1 * (n % 3)]} for n in range(30, 42)])
    return folder


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_the_folder_holds_a_scorer_that_gives_the_scores_that_were_measured(start, data, world, tmp_path, lora):
    out = reward(PARAMS.model_copy(update={"lora": lora}), start=start, data=data, world=world, out=tmp_path / "out")
    numbers = read_json(out / "metrics.json")
    assert numbers["prompts"] == {"train": 16, "validation": 4, "test": 12}
    assert numbers["votes"] == {"train": 96, "validation": 24, "test": 72}
    assert (numbers["pairs"], numbers["counted_votes"]) == (24, 48)
    assert numbers["accuracy"]["gold"]["value"] == numbers["majority_accuracy"]["gold"]["value"] == 1
    assert numbers["accuracy"]["longer"]["value"] + numbers["accuracy"]["shorter"]["value"] == pytest.approx(1)
    rows = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert [(row["rank"], row["votes_for"], row["votes_against"]) for row in rows[:3]] == [
        (1, 4, 0),
        (2, 1, 3),
        (2, 1, 3),
    ]
    prompts = {str(number): f"order {number}" for number in range(30, 42)}
    found = scores(
        load_scorer(out / "model"), [prompts[row["id"]] for row in rows], [row["completion"] for row in rows], 4
    )
    assert found == pytest.approx([row["score"] for row in rows], abs=1e-4)
    with (out / "curves.csv").open() as file:
        points = list(csv.DictReader(file))
    assert points[0]["validation_loss"] and points[-1]["validation_accuracy"] and "accuracy" in points[0]
    assert "<svg" in (out / "report.html").read_text() and (out / "calibration.csv").exists()
    assert (numbers["parameters"]["trained"] < 0.2 * numbers["parameters"]["all"]) == (lora is not None)


def test_rankings_that_are_not_the_worlds_need_no_world_and_are_measured_without_gold(start, data, tmp_path):
    write_rows(data / "rankings_test.jsonl", [ranked(n, "data/own.jsonl") for n in range(30, 42)])
    out = reward(PARAMS, start=start, data=data, world=tmp_path / "nowhere", out=tmp_path / "out")
    numbers = read_json(out / "metrics.json")
    assert set(numbers["correlation"]) == {"length"} and "gold" not in numbers["accuracy"]


def test_rankings_of_the_world_are_not_measured_without_its_gold_scores(start, data, world, tmp_path):
    (world / "gold.jsonl").unlink()
    with pytest.raises(ArtifactError, match=r"gold\.jsonl is missing, .* run `dvc repro -f world`"):
        reward(PARAMS, start=start, data=data, world=world, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("split", "rows", "error", "says"),
    [
        ("validation", [], DataError, "rankings_validation.jsonl: no rows; raise its share"),
        ("train", [even(ranked(1))], DataError, "rankings_train.jsonl: people are divided evenly on every pair"),
        (
            "test",
            None,
            ArtifactError,
            "rankings_test.jsonl: no such file; give prepare.sources one of a format of pref",
        ),
    ],
)
def test_rankings_that_teach_or_show_nothing_are_refused_in_one_line(
    start, data, world, tmp_path, split, rows, error, says
):
    file = data / f"rankings_{split}.jsonl"
    file.unlink()
    if rows is not None:
        write_rows(file, rows)
    with pytest.raises(error) as caught:
        reward(PARAMS, start=start, data=data, world=world, out=tmp_path / "out")
    assert says in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
