"""Knobs from a recipe and from the command line, put into params.yaml."""

import shutil

import pytest
import yaml

from flows.experiment import Experiment, changed_params, parse_overrides
from plumbline.errors import ParamsError, PlumblineError
from plumbline.params import load_params
from tests.flows.toy import PROJECT


@pytest.fixture
def root(tmp_path):
    shutil.copyfile(PROJECT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/half.yaml").write_text("instruct: {epochs: 0.5}\nprepare: {max_tokens: 300}\n")
    return tmp_path


def test_a_recipe_changes_its_knobs_and_no_other(root):
    before = yaml.safe_load((root / "params.yaml").read_text())
    after = yaml.safe_load(changed_params(root, "half", {}))
    before["instruct"]["epochs"], before["prepare"]["max_tokens"] = 0.5, 300
    assert after == before


def test_an_override_is_stronger_than_a_recipe(root):
    text = changed_params(root, "half", parse_overrides(["instruct.epochs=1.5"]))
    assert yaml.safe_load(text)["instruct"]["epochs"] == 1.5


def test_a_list_takes_the_place_of_the_one_before(root):
    source = "{path: data/a.jsonl, format: alpaca, task: answer, columns: {}, limit: 0}"
    knobs = yaml.safe_load(
        changed_params(root, None, parse_overrides([f"prepare.sources=[{source}]", "instruct.tasks=[answer]"]))
    )
    assert [each["path"] for each in knobs["prepare"]["sources"]] == ["data/a.jsonl"]
    assert knobs["instruct"]["tasks"] == ["answer"]


def test_null_takes_a_knob_out(root):
    (root / "recipes/other.yaml").write_text("adapt: {adapters: {rewrite: null, sentiment: null}}\n")
    knobs = yaml.safe_load(changed_params(root, "other", {}))
    assert list(knobs["adapt"]["adapters"]) == ["summarise"]


def test_what_null_stands_for_may_be_told_by_null_in_the_file_and_on_the_command_line(root):
    said = parse_overrides(["reward.lora=null", "ppo.lora=null", "ppo.rewards={reward: null, 'one.two:three': 1.0}"])
    text = changed_params(root, None, said)
    (root / "params.yaml").write_text(text)
    assert load_params(root / "params.yaml").ppo.rewards == {"one.two:three": 1.0}
    (root / "params.yaml").write_text(changed_params(root, None, {}))
    params = load_params(root / "params.yaml")
    assert params.reward.lora is None and params.ppo.lora is None


def test_the_comments_of_params_stay_and_the_file_itself_is_not_touched(root):
    before = (root / "params.yaml").read_text()
    text = changed_params(root, None, parse_overrides(["instruct.learning_rate=1.0e-5"]))
    assert text.count("#") == before.count("#")
    assert yaml.safe_load(text)["instruct"]["learning_rate"] == 1e-5
    assert (root / "params.yaml").read_text() == before


@pytest.mark.parametrize("number", [1e-05, 2e-20, 0.25, 3.0, 1e16, 1.5e-7])
def test_a_number_from_a_form_is_a_number_to_every_reader(root, number):
    text = changed_params(root, None, {"instruct": {"learning_rate": number}})
    assert yaml.safe_load(text)["instruct"]["learning_rate"] == number


def test_a_later_override_is_stronger_and_leaves_the_others():
    said = ["adapt.adapters.rewrite=null", "instruct.epochs=1", "instruct.batch=8", "instruct.epochs=2"]
    assert parse_overrides(said) == {"adapt": {"adapters": {"rewrite": None}}, "instruct": {"epochs": 2, "batch": 8}}


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        (None, ["instruct.epoch=1"], r"^instruct\.epoch: unknown knob; did you mean epochs\?$"),
        (None, ["instruct.learning_rate=3e-4"], r"^instruct\.learning_rate: is text to YAML; write 3.0e-04"),
        (None, ["instruct.epochs=-1", "evaluate.batch=0"], r"(?s)instruct\.epochs: .*\n.*evaluate\.batch: "),
        (None, ["epochs=1"], r"^epochs=1: write section\.knob=value"),
        (None, ["instruct.epochs"], r"write section\.knob=value"),
        (None, ["instruct.tasks=[a"], r"the value is not YAML"),
        (None, ["instruct.epochs.x=1"], r"^instruct\.epochs: "),
        (None, ["instruct="], r"write section\.knob=value"),
        ("hlaf", [], r"^recipes/hlaf\.yaml: no such recipe; there are: half$"),
    ],
)
def test_what_cannot_be_is_refused_by_name(root, recipe, overrides, message):
    with pytest.raises(ParamsError, match=message):
        changed_params(root, recipe, parse_overrides(overrides))


@pytest.mark.parametrize("content", ["- a list", "{", "text", ""])
def test_a_recipe_that_holds_no_sections_is_refused(root, content):
    (root / "recipes/odd.yaml").write_text(content)
    with pytest.raises(ParamsError, match=r"recipes/odd\.yaml"):
        changed_params(root, "odd", {})


@pytest.mark.parametrize("name", ["a b", "../x", "", "-x", "a.b"])
def test_a_name_that_git_would_not_take_is_refused(root, name):
    with pytest.raises(PlumblineError, match="run name"):
        Experiment(root, name)


def test_without_git_it_says_what_to_do(root):
    with pytest.raises(PlumblineError, match=r"edit params\.yaml instead"), Experiment(root, "x").worktree(""):
        pass
