"""Every mistake in params.yaml is one clear line with its place; all of them come at once."""

from pathlib import Path

import pytest
import yaml

from plumbline.errors import ParamsError
from plumbline.params import load_params

GOOD = Path("params.yaml").read_text(encoding="utf-8")


def test_the_project_s_own_params_are_well_formed():
    assert load_params(Path("params.yaml")).world.seed == yaml.safe_load(GOOD)["world"]["seed"]


CASES = {
    "misspelt knob": (
        "  epochs: 1.7",
        "  epoch: 1.4",
        ["instruct.epoch: unknown knob; did you mean epochs?", "instruct.epochs: is missing"],
    ),
    "unknown section": ("world:  ", "worlds:  ", ["worlds: unknown knob; did you mean world?", "world: is missing"]),
    "text for a number": ("  rows_per_task: 60", "  rows_per_task: many", ["evaluate.rows_per_task"]),
    "number for text": ("  source: causal", "  source: 3", ["base.source"]),
    "exponent that YAML takes for text": (
        "  learning_rate: 1.0e-3",
        "  learning_rate: 1e-3",
        ["write 1.0e-03 for 1e-3"],
    ),
    "negative count": ("  dialogues: 1600", "  dialogues: -1", ["world.dialogues", "greater than or equal to 1"]),
    "share above one": ("  test: 0.15", "  test: 1.5", ["prepare.test", "less than or equal to 1"]),
    "whole number expected": ("  resamples: 1000", "  resamples: 10.5", ["reward.resamples"]),
    "too few resamples": ("  resamples: 1000", "  resamples: 10", ["reward.resamples"]),
    "yes or no expected": ("  stemmer: false", "  stemmer: maybe", ["evaluate.stemmer"]),
    "unknown choice": ("  overlong: reject ", "  overlong: drop ", ["prepare.overlong", "'reject' or 'cut_prompt'"]),
    "unknown architecture": ("[causal, seq2seq]", "[causal, diffusion]", ["pretrain.architectures.1"]),
    "empty list": ("[causal, seq2seq]", "[]", ["pretrain.architectures"]),
    "architecture without tokens": (
        "{causal: 10000000, seq2seq: 5000000, masked: 3000000}",
        "{masked: 7000000}",
        ["tokens has no number for architecture causal"],
    ),
    "architecture without a learning rate": (
        "{causal: 5.0e-3, seq2seq: 3.0e-3, masked: 2.5e-3}",
        "{causal: 5.0e-3}",
        ["learning_rate has no number for architecture seq2seq"],
    ),
    "batch that does not divide": (
        "  micro_batch: 4",
        "  micro_batch: 5",
        ["batch (4) must be a multiple of micro_batch (5)"],
    ),
    "heads that do not divide": ("  heads: 3", "  heads: 5", ["must be a multiple of twice heads (5)"]),
    "nothing for a knob": ("  revision: main", "  revision:", ["base.revision"]),
    "unknown format": ("format: dialogue_summary", "format: dialog", ["prepare.sources.0.format"]),
    "a knob twice": ("  resamples: 1000", "  resamples: 1000\n  resamples: 2000", ["resamples: stands twice"]),
    "a section twice": ("\nevaluate:\n", "\nworld: {}\nevaluate:\n", ["world: stands twice"]),
    "a list for a mapping": ("columns: {summary: summaries}", "columns: [summaries]", ["prepare.sources.0.columns"]),
    "raters who are wrong more often than right": ("  rater_noise: 0.1", "  rater_noise: 0.6", ["world.rater_noise"]),
    "no word on a LoRA": (
        "  lora: {rank: 8, alpha: 16, dropout: 0.0, targets: attention+mlp}   # or null: all weights learn\n",
        "",
        ["reward.lora: is missing; add it"],
    ),
    "zero learning rate": ("  learning_rate: 1.0e-3", "  learning_rate: 0.0", ["instruct.learning_rate"]),
    "unknown knob of an adapter": (
        "      tokens: 32",
        "      token: 32",
        ["adapt.adapters.rewrite.token: unknown knob; did you mean tokens?", "rewrite.tokens: is missing"],
    ),
    "knob of another kind": (
        "      tokens: 32",
        "      tokens: 32\n      rank: 8",
        ["adapt.adapters.rewrite.rank: unknown knob; remove it"],
    ),
    "unknown kind": (
        "      kind: prompt",
        "      kind: prefix",
        ["adapt.adapters.rewrite: kind 'prefix' is unknown"],
    ),
    "no kind": ("      kind: prompt\n", "", ["adapt.adapters.rewrite: kind is missing; write lora, prompt or full"]),
    "adapter for no task": ("      tasks: [rewrite]", "      tasks: []", ["adapt.adapters.rewrite.tasks"]),
    "unknown start": ("      start: base  ", "      start: bass  ", ["adapt.adapters.summarise.start", "'instruct'"]),
    "unknown targets": (
        "targets: attention ",
        "targets: mlp ",
        ["adapt.adapters.summarise.targets", "'attention+mlp'"],
    ),
    "rank of nothing": ("      rank: 8", "      rank: 0", ["adapt.adapters.summarise.rank"]),
    "dropout of all": ("      dropout: 0.0", "      dropout: 1.0", ["adapt.adapters.summarise.dropout"]),
    "adapter with the name of a model": ("    rewrite:\n", "    base:\n", ["an adapter cannot be called base"]),
    "name that is none": ("    rewrite:\n", "    re-write:\n", ["'re-write' is no name; use small letters"]),
    "soft prompt begun with nothing": (
        'init: "Say the same to the customer politely and in a friendly way:"',
        'init: ""',
        ["init"],
    ),
    "own learning rate as text": ("learning_rate: 5.0e-2", "learning_rate: 5e-2", ["write 5.0e-02 for 5e-2"]),
    "not a number": ("  gradient_clip: 1.0", "  gradient_clip: .nan", ["instruct.gradient_clip"]),
    "infinity": ("  epochs: 1.7", "  epochs: .inf", ["instruct.epochs"]),
    "bad indentation": ("  epochs: 1.7", "     epochs: 1.7", [":"]),
    "unclosed bracket": ("[causal, seq2seq]", "[causal", [":"]),
    "a tab": ("  epochs: 1.7", "\tepochs: 1.7", [":"]),
    "code in YAML": ("  revision: main", "  revision: !!python/object/apply:os.getcwd []", [":"]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_named_with_its_line(tmp_path, case):
    before, after, says = CASES[case]
    assert before in GOOD
    path = tmp_path / "params.yaml"
    path.write_text(GOOD.replace(before, after, 1), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    message = str(caught.value)
    for expected in says:
        assert expected in message
    first = message.splitlines()[0]
    assert first.startswith(f"{path}:")
    assert first.removeprefix(f"{path}:").split(":")[0].isdigit(), first


def test_the_line_is_that_of_the_knob(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(GOOD.replace("  stemmer: false", "  stemmer: maybe"), encoding="utf-8")
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "stemmer" in text)
    with pytest.raises(ParamsError, match=rf"params.yaml:{line}: evaluate.stemmer"):
        load_params(path)


def test_all_problems_come_at_once(tmp_path):
    path = tmp_path / "params.yaml"
    text = GOOD.replace("  stemmer: false", "  stemmer: maybe").replace("  epochs: 1.7", "  epochs: none", 1)
    path.write_text(text.replace("  dialogues: 1600", "  dialogues: 0"), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_params(path)
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "must hold the sections"),
        (b"just text", "must hold the sections"),
        (b"- a\n- b\n", "must hold the sections"),
        (b"a: \xff\xfe", "not UTF-8"),
        (b"{" * 5000, "params.yaml"),
    ],
)
def test_a_file_that_is_no_params_file_is_one_line(tmp_path, content, says):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=says) as caught:
        load_params(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_says_where_to_run_from(tmp_path):
    with pytest.raises(ParamsError, match="run from the project's root"):
        load_params(tmp_path / "params.yaml")
