"""What every stage promises: it returns its folder, the same seed gives the same bytes, a failure leaves nothing."""

import csv
import shutil
import sqlite3
from pathlib import Path

import pytest

from flows.artifacts import tell_of_alarm
from plumbline.errors import ArtifactError
from plumbline.models import adapters
from plumbline.models.load import load_model
from plumbline.params import Full, load_params
from plumbline.store import digest, read_json
from tasks.adapt import adapt
from tasks.base import base
from tasks.evaluate import evaluate
from tasks.instruct import instruct
from tasks.ppo import ppo
from tasks.prepare import prepare
from tasks.pretrain import pretrain
from tasks.reward import reward
from tasks.world import world

PARAMS = load_params(Path("params.yaml"))
SMALL = {
    "world": {
        name: 12
        for name in type(PARAMS.world).model_fields
        if name not in ("seed", "rater_noise", "dialogues", "rewrites", "questions", "raters")
    }
    | {"dialogues": 60, "rewrites": 30, "questions": 60, "orders": 40, "replies": 60},
    "pretrain": {"hidden": 32, "heads": 2, "feed_forward": 48, "layers": 3, "vocabulary": 700, "context": 128, "batch": 2,
                 "drill_tokens": 512,
                 "tokens": {"causal": 2048, "seq2seq": 2048, "masked": 2048}},
    "prepare": {"max_tokens": 512, "test": 0.3, "validation": 0.1},
    "instruct": {"epochs": 0.2},
    "adapt": {
        "epochs": 0.1,
        "adapters": {name: each.model_copy(update={"epochs": None}) for name, each in PARAMS.adapt.adapters.items()}
        | {"whole": Full(kind="full", tasks=["rewrite"], start="instruct")},
    },
    "reward": {"epochs": 0.5, "resamples": 100},
    "ppo": {"cycles": 2, "batch": 4, "minibatch": 4, "micro_batch": 2, "sampling_batch": 4, "max_new_tokens": 6,
            "measured_prompts": 3, "resamples": 100, "samples": 2,
            "alarms": PARAMS.ppo.alarms.model_copy(update={"window": 1, "kl_budget": 1e-9, "kl_noise": 1e-9})},  # all ring
    "evaluate": {"rows_per_task": 2, "max_new_tokens": 4, "resamples": 100, "samples": 2, "forgetting_rows": 1},
}  # fmt: skip


def small(stage):
    return getattr(PARAMS, stage).model_copy(update=SMALL.get(stage, {}))


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The folders that a stage reads, each made once by the stages before it, from the committed base."""
    root = tmp_path_factory.mktemp("artifacts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        (root / "data").mkdir()
        made = {"pretrained": Path("artifacts/pretrain"), "rows": root / "data", "ranks": Path("docs/ranks")}
        made["world"] = world(small("world"), out=root / "world")
        made["base"] = base(small("base"), pretrained=made["pretrained"], out=root / "base")
        made["data"] = prepare(
            small("prepare"), base=made["base"], world=made["world"], rows=made["rows"], out=root / "prepare"
        )
        made["instruct"] = instruct(small("instruct"), base=made["base"], data=made["data"], out=root / "instruct")
        made["policy"] = made["instruct"]
        made["reward"] = reward(
            small("reward"), start=made[start_of("reward")], data=made["data"], world=made["world"], out=root / "reward"
        )
        made["adapt"] = root / "adapt"
        for name in ("sentiment", "whole"):
            start = made[start_of(f"adapt-{name}")]
            adapt(small("adapt"), adapter=name, start=start, data=made["data"], out=made["adapt"] / name)
        made["ppo"] = ppo(
            small("ppo"), policy=made["policy"], reward=made["reward"], data=made["data"], world=made["world"],
            out=root / "ppo",
        )  # fmt: skip
        yield made


STAGES = {
    "world": (world, []),
    "pretrain-causal": (pretrain, ["world"]),
    "pretrain-seq2seq": (pretrain, ["world"]),
    "pretrain-masked": (pretrain, ["world"]),
    "base": (base, ["pretrained"]),
    "prepare": (prepare, ["base", "world", "rows"]),
    "instruct": (instruct, ["base", "data"]),
    "adapt-summarise": (adapt, ["start", "data"]),
    "adapt-sentiment": (adapt, ["start", "data"]),
    "adapt-whole": (adapt, ["start", "data"]),
    "reward": (reward, ["start", "data", "world"]),
    "ppo": (ppo, ["policy", "reward", "data", "world"]),
    "evaluate": (evaluate, ["base", "data", "instruct", "adapt", "ppo", "ranks"]),
}


def start_of(stage: str) -> str:
    name, _, adapter = stage.partition("-")
    return SMALL["adapt"]["adapters"][adapter].start if adapter else getattr(PARAMS, name).start


@pytest.fixture
def call(places, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")

    def run(stage: str, out: Path, **replaced: Path) -> Path:
        function, needs = STAGES[stage]
        name, _, variant = stage.partition("-")
        given = {need: places[start_of(stage) if need == "start" else need] for need in needs} | replaced
        if variant:
            given["architecture" if name == "pretrain" else "adapter"] = variant
        return function(small(name), out=out, **given)

    return run


def without_card(folder: Path) -> Path:
    """The model card of a base tells how long training took: the only thing that may differ."""
    (folder / "README.md").unlink(missing_ok=True)
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_the_same_seed_gives_the_same_bytes_and_the_folder_is_returned(call, tmp_path, stage):
    first = call(stage, tmp_path / "a" / "same")
    second = call(stage, tmp_path / "b" / "same")
    assert first == tmp_path / "a" / "same"
    assert digest(without_card(first)) == digest(without_card(second))


@pytest.mark.parametrize("stage", ["pretrain-causal", "instruct", "adapt-sentiment", "reward", "ppo"])
def test_a_processor_without_bfloat16_computes_in_float32_and_mlflow_says_so(
    call, tmp_path, monkeypatch, capsys, stage
):
    name = stage.partition("-")[0]
    monkeypatch.setitem(SMALL, name, SMALL[name] | {"precision": "bfloat16"})
    monkeypatch.setattr("torch.cpu.get_capabilities", dict)
    call(stage, tmp_path / "out")
    assert (
        f"{stage.replace('adapt-', 'adapt@').replace('pretrain-causal', 'pretrain')}: this processor has no bfloat16"
        in (capsys.readouterr().out)
    )
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        told = store.execute("SELECT value FROM params WHERE key LIKE '%precision'").fetchall()
    assert told == [("float32",)]


@pytest.mark.parametrize(
    ("stage", "need"), [(stage, need) for stage, (_, needs) in STAGES.items() for need in needs if need != "rows"]
)
def test_a_missing_folder_is_refused_in_one_line_and_nothing_is_left(call, tmp_path, stage, need):
    replaced = {need: tmp_path / "nowhere"}
    if stage == "base":  # it may also name a folder or a hub model
        with pytest.raises(ArtifactError, match="no such folder") as caught:
            call(stage, tmp_path / "out", **replaced)
    else:
        with pytest.raises(ArtifactError) as caught:
            call(stage, tmp_path / "out", **replaced)
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path / "nowhere") in str(caught.value) or stage == "base"
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name and path.is_dir()] == []


@pytest.mark.parametrize(
    ("stage", "need", "file"),
    [
        ("instruct", "data", "train.jsonl"),
        ("instruct", "data", "validation.jsonl"),
        ("adapt-summarise", "data", "train.jsonl"),
        ("adapt-summarise", "data", "validation.jsonl"),
        ("adapt-summarise", "start", "base.json"),
        ("adapt-whole", "start", "model"),
        ("reward", "data", "rankings_train.jsonl"),
        ("reward", "data", "rankings_test.jsonl"),
        ("reward", "start", "model"),
        ("ppo", "policy", "model"),
        ("ppo", "reward", "model"),
        ("ppo", "data", "rankings_train.jsonl"),
        ("ppo", "data", "rankings_test.jsonl"),
        ("evaluate", "data", "test.jsonl"),
        ("evaluate", "instruct", "curves.csv"),
        ("evaluate", "instruct", "model"),
        ("evaluate", "adapt", "sentiment/metrics.json"),
        ("evaluate", "adapt", "sentiment/adapter.json"),
        ("evaluate", "base", "base.json"),
        ("prepare", "base", "base.json"),
        ("prepare", "world", "dialogues.jsonl"),
        ("pretrain-causal", "world", "articles.jsonl"),
    ],
)
def test_a_file_that_is_gone_is_named(call, places, tmp_path, stage, need, file):
    source = start_of(stage) if need == "start" else need
    broken = shutil.copytree(places[source], tmp_path / need)
    target = broken / file
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(Exception, match=Path(file).stem) as caught:
        call(stage, tmp_path / "out", **{need: broken})
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_alarm_is_told_everywhere_and_the_newest_healthy_policy_is_kept(places, call, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(SMALL, "ppo", SMALL["ppo"] | {"stop_on_alarm": True})
    went_on, stopped = places["ppo"], call("ppo", tmp_path / "out")
    for folder, learned in ((went_on, True), (stopped, False)):
        assert [bool(row["policy_loss"]) for row in rows_of(folder / "curves.csv")] == [True, learned]
        numbers = read_json(folder / "metrics.json")
        assert numbers["alarms"] and numbers["healthy_cycle"] == 1
        adapters.load(load_model(places["policy"] / "model"), places["policy"] / "model", folder / "healthy")
        assert (folder / "healthy/values.safetensors").is_file()
        assert "healthy/" in (folder / "report.html").read_text(encoding="utf-8")
    # The answers of cycle 1 are those of the model it started from; the policy that goes on has learned from them.
    assert digest(stopped / "healthy") == digest(went_on / "healthy") != digest(last_of(went_on, tmp_path))
    printed = capsys.readouterr().out
    monkeypatch.setattr("flows.artifacts.emit_event", lambda *_, **__: None)
    assert [line for line in printed.splitlines() if tell_of_alarm("ppo", line)]
    assert f"the policy of cycle 1 is kept in {stopped / 'healthy'}" in printed
    with sqlite3.connect(tmp_path / "mlflow.db") as store:
        told = store.execute("SELECT DISTINCT key FROM metrics WHERE key LIKE 'alarm.%'").fetchall()
    assert {name.removeprefix("alarm.") for (name,) in told} == set(read_json(stopped / "metrics.json")["alarms"])


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def last_of(policy: Path, folder: Path) -> Path:
    """The last policy's files, as far as its healthy self has them."""
    last = folder / "last"
    last.mkdir()
    for file in (policy / "healthy").iterdir():
        shutil.copy(policy / file.name, last)
    return last
