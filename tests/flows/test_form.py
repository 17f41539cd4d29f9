"""The form that starts a run: what it takes, what it says of each knob, and what becomes of what was filled in."""

import pytest
import yaml
from pydantic import ValidationError

from flows.form import changes, form, meanings
from flows.pipeline import FLOWS, PHASES, needed
from plumbline.params import Params
from tests.flows.toy import PROJECT

TEXT = (PROJECT / "params.yaml").read_text()


def test_every_knob_has_a_field_and_no_field_is_asked_for():
    model = form()
    knobs = yaml.safe_load(TEXT)
    assert {name: set(field.annotation.model_fields) for name, field in model.model_fields.items()} == {
        section: set(Params.model_fields[section].annotation.model_fields) for section in knobs
    }
    assert changes(model.model_validate({})) == {}


def test_every_knob_says_what_it_is_and_what_params_has():
    schema = form().model_json_schema()["$defs"]
    epochs = schema["InstructKnobs"]["properties"]["epochs"]
    assert epochs["type"] == "number" and epochs["exclusiveMinimum"] == 0
    assert "default" not in epochs
    assert schema["InstructKnobs"]["properties"]["batch"]["description"] == "rows per optimiser step; params.yaml has 4"
    without = [
        f"{name}.{knob}"
        for name, section in schema.items()
        for knob, field in section["properties"].items()
        if not field.get("description") and knob not in ("adapters", "sources")
    ]
    assert without == []


def test_meanings_are_read_from_any_text():
    assert meanings("a:   # one\n  b: 2   # two\n  c: x\n    d: deep\nnonsense {") == {
        "a": "one",
        "a.b": "two; params.yaml has 2",
        "a.c": "params.yaml has x",
    }


def test_what_is_filled_in_and_only_that_changes():
    filled = {"instruct": {"epochs": 2}, "adapt": {"adapters": {"rewrite": None}}, "world": {}}
    assert changes(form().model_validate(filled)) == {
        "instruct": {"epochs": 2.0},
        "adapt": {"adapters": {"rewrite": None}},
    }


@pytest.mark.parametrize(
    "filled",
    [
        {"instruct": {"epoch": 2}},
        {"instruct": {"epochs": -1}},
        {"instruct": {"epochs": "many"}},
        {"instruct": {"precision": "float8"}},
        {"nothing": {}},
    ],
)
def test_what_cannot_be_is_refused_by_the_form_itself(filled):
    with pytest.raises(ValidationError):
        form().model_validate(filled)


def test_a_phase_asks_for_the_knobs_of_its_stages_alone():
    for phase, stages in PHASES.items():
        schema = FLOWS[phase].parameters.model_dump()["definitions"]["Knobs"]
        assert list(schema["properties"]) == stages
    assert set(FLOWS) == {"pipeline", *PHASES}


def test_a_phase_takes_along_what_it_waits_for_and_nothing_else():
    graph = {
        "world": [],
        "prepare": ["world"],
        "adapt@a": ["prepare"],
        "instruct": ["prepare"],
        "evaluate": ["adapt@a"],
    }
    assert list(needed(graph, "data")) == ["world", "prepare"]
    assert list(needed(graph, "tuning")) == ["world", "prepare", "adapt@a", "instruct"]
    assert list(needed(graph, "evaluation")) == ["world", "prepare", "adapt@a", "evaluate"]
    assert list(needed(graph, None)) == list(graph)
