"""Stage `evaluate`, with models whose answers are known; one test runs it on a real, untrained model."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from plumbline.errors import ArtifactError
from plumbline.models.load import load_tokenizer
from plumbline.params import Evaluate
from plumbline.rows import Example, write_rows
from plumbline.store import digest, read_json, write_json
from tasks.evaluate import answer_rows, evaluate, held_out, newest_sweep, spread, that_fit

PARAMS = Evaluate(
    seed=5, rows_per_task=6, batch=4, max_new_tokens=8, stemmer=False, resamples=200, samples=5, forgetting_rows=2
)


PRETRAINED = Path(__file__).parents[2] / "artifacts/pretrain/causal"


def row(task, number, references, group=None):
    return Example(
        id=f"{task}-{number}", task=task, group=group or f"dialogue-{number}", prompt=f"{task} {number}?",
        answer=references[0], references=references, template="plain", source_file="rows.jsonl", source_line=number + 1,
    )  # fmt: skip


def rows():
    told = [row("summarise", n, [f"customer {n} wants a new kettle today", "a new kettle"]) for n in range(9)]
    return [*told, *(row("find/label", n, ["refund" if n % 2 else "return"]) for n in range(4))]


def stage_folders(root, examples):
    """The folders that earlier stages leave, as far as this stage reads them."""
    for name in (
        "base",
        "data",
        "instruct/model",
        "ppo",
        "adapt/terse",
        "adapt/whole/model",
        "adapt/.terse.unfinished-1",
    ):
        (root / name).mkdir(parents=True)
    write_json(
        root / "base/base.json", {"folder": "artifacts/pretrain/causal", "class": "Llama", "weights": {"w": "ab"}}
    )
    write_json(root / "instruct/metrics.json", {"tasks": {"summarise": 40}})
    write_json(root / "ppo/metrics.json", {"prompts": {"train": 30}, "tasks": {"reply": 30}})
    about = {
        "rows": 40, "parameters": {"trained": 5, "all": 100}, "bytes": {"saved": 10, "base": 200},
        "validation_loss_before": 2.0, "validation_loss": 1.0, "start": "base",
    }  # fmt: skip
    write_json(root / "adapt/terse/metrics.json", about | {"kind": "lora", "tasks": {"summarise": 40}})
    write_json(root / "adapt/whole/metrics.json", about | {"kind": "full", "tasks": {"find/label": 40}})
    curves = "step,loss,learning_rate,validation_loss\n0,,,2.5\n1,2.0,0.001,\n2,1.0,0.0005,1.5\n"
    (root / "instruct/curves.csv").write_text(curves, encoding="utf-8")
    write_rows(root / "data/test.jsonl", examples)
    (root / "empty").mkdir()
    (root / "ranks").mkdir()
    for date, weights in (("2026-01-01", "ab"), ("2026-01-02", "ab"), ("2026-01-03", "cd")):
        write_json(root / "ranks" / f"{date}.json", {"date": date, "base": {"weights": {"w": weights}}})
    return {
        "base": root / "base",
        "data": root / "data",
        "instruct": root / "instruct",
        "adapt": root / "adapt",
        "ppo": root / "ppo",
        "ranks": root / "empty",
    }


@pytest.fixture
def known_models(monkeypatch):
    """`base` repeats the prompt, whole models know the answer; loss 3 and 1 nats a token.

    The adapter `terse` on the base knows the answers of its task, and has no word for any other; the policy `ppo` on
    the whole model `instruct` has forgotten the labels.
    """
    answers = {each.prompt: each.answer for each in rows()}

    def generate(model, tokenizer, prompts, *, batch, max_new_tokens, on_progress, adapters):
        on_progress(len(prompts), len(prompts))
        if adapters:
            assert (model, adapters) in [("base", ("base", "terse")), ("model", ("model", "ppo"))]
            return [answers[prompt] if prompt.startswith("summarise") else "" for prompt in prompts]
        return [answers[prompt] if model == "model" else prompt for prompt in prompts]

    def answer_losses(model, tokenizer, examples, *, batch, adapters):
        tokens = [len(each.answer.split()) for each in examples]
        return [((1.0 if model == "model" else 3.0) * count, count) for count in tokens]

    monkeypatch.setattr("plumbline.models.generate.generate", generate)
    monkeypatch.setattr("plumbline.models.encode.answer_losses", answer_losses)
    monkeypatch.setattr("plumbline.models.load.load_model", lambda folder: folder.name)
    monkeypatch.setattr("plumbline.models.load.load_tokenizer", lambda folder: None)
    monkeypatch.setattr("tasks.evaluate.that_fit", lambda given, *_: given)
    monkeypatch.setattr("plumbline.models.adapters.load", lambda model, base, folder: folder.name)
    monkeypatch.setattr("plumbline.models.adapters.Choice", lambda model, adapter: (model, adapter))


@pytest.fixture(autouse=True)
def away(tmp_path, monkeypatch, no_store):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path, known_models):
    folders = stage_folders(tmp_path, rows())
    return lambda name="evaluate": evaluate(PARAMS, **folders, out=tmp_path / name)


def test_the_stage_scores_every_task_and_model_and_writes_all_it_promises(run):
    out = run()
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["rows"] == {"summarise": 6, "find/label": 4}
    summaries, labels = metrics["scores"]["summarise"], metrics["scores"]["find/label"]
    assert summaries["instruct"]["rougeL"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert summaries["base"]["rougeL"]["value"] < 0.3 and summaries["base"]["loss"]["value"] == 3.0
    assert metrics["differences"]["summarise"]["instruct - base"]["loss"]["value"] == -2.0
    assert metrics["differences"]["find/label"]["instruct - base"]["exact_match"]["value"] == 1.0
    assert labels["instruct"]["bleu"] == {"value": None, "low": None, "high": None}  # never 0
    assert metrics["settings"]["bleu_signature"]["summarise"].startswith("nrefs:2|")
    assert {file.name for file in out.iterdir()} == {"metrics.json", "answers.jsonl", "plots", "report.html"}

    answers = [json.loads(line) for line in (out / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(answers) == 2 * 10 + (6 + 2) + (4 + 2) + (6 + 2)
    assert {line["model"] for line in answers} == {"base", "instruct", "terse", "whole", "ppo"}
    assert all(line["rougeL_recall"] == 1.0 for line in answers if line["model"] == "instruct")

    with (out / "plots" / "find_label.csv").open(encoding="utf-8") as file:
        plotted = {line["score"]: line["value"] for line in csv.DictReader(file)}
    assert plotted["exact_match instruct"] == "1.0" and plotted["exact_match base"] == "0.0"
    assert not [score for score in plotted if score.startswith(("bleu", "loss", "rouge2"))]

    report = (out / "report.html").read_text(encoding="utf-8")
    assert "instruct is better than base on all 2 tasks" in report and "trained on 40 rows" in report
    assert "<polyline" in report


def test_forgetting_is_measured_on_every_task_of_every_model_against_what_it_started_from(run):
    metrics = json.loads((run() / "metrics.json").read_text(encoding="utf-8"))
    forgetting = metrics["forgetting"]
    assert list(forgetting) == ["instruct", "ppo", "terse", "whole"]
    assert all(list(tasks) == ["find/label", "summarise"] for tasks in forgetting.values())
    own, other = forgetting["terse"]["summarise"], forgetting["terse"]["find/label"]
    assert (own["metric"], own["rows"], own["trained"], own["after"]["value"]) == ("rougeL", 6, 40, 1.0)
    assert (other["metric"], other["rows"], other["trained"], other["after"]["value"]) == ("exact_match", 2, 0, 0.0)
    for cell in (own, other):
        assert cell["difference"]["value"] == pytest.approx(cell["after"]["value"] - cell["before"]["value"])
    assert own["before"] == metrics["scores"]["summarise"]["base"]["rougeL"]
    assert list(metrics["scores"]["summarise"]) == ["base", "instruct", "terse"]
    assert list(metrics["scores"]["find/label"]) == ["base", "instruct", "whole"]


def test_a_policy_is_compared_with_the_model_that_it_lies_on_and_stands_beside_no_scores(run):
    out = run()
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    kept, lost = (metrics["forgetting"]["ppo"][task] for task in ("summarise", "find/label"))
    assert (kept["rows"], kept["before"]["value"], kept["difference"]["value"]) == (6, 1.0, 0.0)
    assert (lost["rows"], lost["before"]["value"], lost["difference"]["value"]) == (2, 1.0, -1.0)
    assert "ppo" not in metrics["models"] and not [task for task in metrics["scores"].values() if "ppo" in task]
    assert "policy on instruct" in (out / "report.html").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_bytes(run):
    assert digest(run("one")) == digest(run("two"))


def test_a_missing_folder_or_file_is_refused_by_name_and_leaves_nothing(run, tmp_path):
    (tmp_path / "instruct/curves.csv").unlink()
    with pytest.raises(ArtifactError, match=r"curves\.csv is missing"):
        run()
    (tmp_path / "data/test.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "instruct/curves.csv").write_text("step\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="no rows"):
        run()
    assert not [file for file in tmp_path.iterdir() if "evaluate" in file.name]


def test_a_failure_while_answering_leaves_no_folder(run, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("plumbline.models.generate.generate", broken)
    with pytest.raises(RuntimeError):
        run()
    assert not [file for file in tmp_path.iterdir() if "evaluate" in file.name]


def test_the_chosen_rows_do_not_depend_on_the_order_of_the_file():
    chosen = {each.id for each in held_out(rows(), PARAMS)}
    assert chosen == {each.id for each in held_out(rows()[::-1], PARAMS)}


def test_asking_for_more_rows_keeps_those_already_chosen():
    few, more = (
        {each.id for each in held_out(rows(), PARAMS.model_copy(update={"rows_per_task": count}))} for count in (3, 6)
    )
    assert few < more


def test_the_sweep_over_ranks_is_the_newest_of_the_same_base(tmp_path):
    stage_folders(tmp_path, rows())
    assert newest_sweep(tmp_path / "ranks", {"w": "ab"})["date"] == "2026-01-02"
    assert newest_sweep(tmp_path / "ranks", {"w": "ef"}) is None


def test_samples_are_dealt_from_every_task_in_turn():
    assert spread([[0, 1, 2, 3], [4], [5, 6]]) == [0, 4, 5, 1, 6, 2, 3]


def test_answers_stand_beside_what_they_answer():
    (line,) = answer_rows([row("intent", 1, ["refund"])], {"base": {0: "no"}}, {"base": {"exact_match": {0: 0.0}}})
    assert (line["id"], line["model"], line["answer"], line["exact_match"]) == ("intent-1", "base", "no", 0.0)


def test_the_stage_runs_on_a_real_model(tmp_path):
    from plumbline.models.adapters import attach, save
    from plumbline.models.load import load_model
    from plumbline.models.policy import Policy
    from plumbline.models.tokenizer import train_tokenizer
    from plumbline.models.untrained import untrained_model
    from plumbline.params import Lora, Prompt, load_params

    tokenizer = train_tokenizer([f"{each.prompt} {each.answer}" for each in rows()] * 4, 512)
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    small = params.pretrain.model_copy(
        update={"vocabulary": 512, "hidden": 32, "layers": 1, "heads": 2, "feed_forward": 32}
    )
    folders = stage_folders(tmp_path, rows())
    model = untrained_model("causal", small, tokenizer)
    for folder in (tmp_path / "weights", tmp_path / "instruct/model"):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    weights = {"model.safetensors": digest(tmp_path / "weights/model.safetensors")}
    write_json(tmp_path / "base/base.json", {"folder": "weights", "class": "LlamaForCausalLM", "weights": weights})

    about = json.loads((tmp_path / "adapt/terse/metrics.json").read_text())
    shutil.rmtree(tmp_path / "adapt")
    fresh = {
        "terse": Lora(
            kind="lora", tasks=["summarise"], start="base", rank=2, alpha=2, dropout=0.0, targets="attention"
        ),
        "soft": Prompt(kind="prompt", tasks=["summarise"], start="base", tokens=3, init="random"),
    }
    for name, settings in fresh.items():
        (tmp_path / "adapt" / name).mkdir(parents=True)
        beneath = load_model(tmp_path / "base")
        save(beneath, attach(beneath, tokenizer, name, settings, 0), tmp_path / "base", tmp_path / "adapt" / name)
        write_json(tmp_path / "adapt" / name / "metrics.json", about | {"kind": settings.kind})

    Policy(load_model(tmp_path / "instruct/model"), params.ppo).save(tmp_path / "instruct/model", tmp_path / "ppo", [])

    out = evaluate(PARAMS, **folders, out=tmp_path / "evaluate")
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    same = metrics["differences"]["summarise"]["instruct - base"]
    assert all(numbers["value"] == numbers["low"] == numbers["high"] == 0.0 for numbers in same.values())
    untrained = metrics["differences"]["summarise"]["terse - base"]
    assert all(numbers["value"] == 0.0 for numbers in untrained.values())
    assert metrics["differences"]["summarise"]["soft - base"]["loss"]["value"] != 0.0
    assert metrics["forgetting"]["soft"]["find/label"]["rows"] == 2
    assert all(cell["difference"]["value"] == 0.0 for cell in metrics["forgetting"]["ppo"].values())
    assert 5 < metrics["scores"]["summarise"]["base"]["loss"]["value"] < 8  # about log 512, knowing nothing


def test_a_row_that_leaves_no_room_for_an_answer_is_left_out_with_a_line(tmp_path, capsys):
    tokenizer = load_tokenizer(PRETRAINED)
    config = read_json(PRETRAINED / "config.json")
    (tmp_path / "base").mkdir()
    write_json(tmp_path / "base" / "config.json", config | {"max_position_embeddings": 40})
    tokenizer.save_pretrained(tmp_path / "base")
    given = [row.model_copy(update={"prompt": "order " * (3 + 10 * number)}) for number, row in enumerate(rows()[:3])]
    lengths = [len(tokenizer(row.prompt, add_special_tokens=False).input_ids) for row in given]
    params = PARAMS.model_copy(update={"max_new_tokens": 40 - lengths[1]})
    assert that_fit(given, tmp_path / "base", 0, params) == given[:2]
    told = f"1 of 3 held-out rows leave no room for an answer of {40 - lengths[1]} tokens in 40, and are left out"
    assert capsys.readouterr().out == f"evaluate: {told}\n"
    assert that_fit(given, tmp_path / "base", 1, params) == given[:1]
    write_json(tmp_path / "base" / "config.json", {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"})
    assert that_fit(given, tmp_path / "base", 0, params) == given
