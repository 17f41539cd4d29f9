"""One word per stage, everywhere; and dvc.yaml lists what the code really uses."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from flows.pipeline import PHASES
from plumbline.params import Params
from plumbline.stage import options

PROJECT = Path(__file__).parents[1]
DVC = yaml.safe_load((PROJECT / "dvc.yaml").read_text(encoding="utf-8"))
STAGES = {stage: spec.get("do", spec) for stage, spec in DVC["stages"].items()}

# Read through rules that would be circular or ruinous as dependencies; dvc.yaml says why at the stage.
ORDER_FREE = {"pretrain"}


RESULTS = ("plumbline/rows.py", "plumbline/curves.py")  # which rows are read and written, which numbers are told


def function_of(stage):
    return getattr(importlib.import_module(f"tasks.{stage}"), stage)


def command_of(stage):
    """The options of the stage's command with their values, matrix items as they stand."""
    words = shlex.split(STAGES[stage]["cmd"])
    assert words[:3] == ["python", "-m", f"tasks.{stage}"]
    return {name.removeprefix("--"): value for name, value in zip(words[3::2], words[4::2], strict=True)}


def outs_of(stage):
    return [next(iter(out)) if isinstance(out, dict) else out for out in STAGES[stage]["outs"]]


def code_of(stage):
    """Every module file in a package of plumbline that the stage imports, at any depth and at any place in the code.

    The top level of plumbline is plumbing (parameters, folders, tracking), on which results do not depend, but for RESULTS.
    """
    seen: set[Path] = set()
    waiting = [PROJECT / f"tasks/{stage}.py"]
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                module = PROJECT / f"{name.replace('.', '/')}.py"
                if name.startswith("plumbline.") and module.is_file():
                    waiting.append(module)
    files = {file.relative_to(PROJECT).as_posix() for file in seen}
    return {file for file in files if file.count("/") > 1 or file.startswith("tasks/") or file in RESULTS}


def covers(dependency, file):
    return file == dependency or file.startswith(f"{dependency}/")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_one_name_in_params_tasks_and_docs(stage):
    assert stage in Params.model_fields
    assert Params.model_fields[stage].annotation.__name__ == stage.capitalize()
    assert function_of(stage).__name__ == stage
    assert {knob.partition(".")[0] for knob in STAGES[stage]["params"]} == {stage}
    headings = (PROJECT / "docs/stages.md").read_text(encoding="utf-8")
    assert re.search(rf"^#+ .*\b{stage}\b", headings, re.MULTILINE), f"docs/stages.md has no heading for {stage}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_every_knob_of_its_section_and_a_variant_on_its_own_alone(stage):
    each = [knob.removeprefix(f"{stage}.").partition(".")[0] for knob in STAGES[stage]["params"]]
    assert each == [stage] or sorted(each) == sorted(Params.model_fields[stage].annotation.model_fields)


def test_every_section_and_every_file_of_tasks_is_a_stage():
    assert list(Params.model_fields) == list(STAGES)
    assert {file.stem for file in (PROJECT / "tasks").glob("*.py")} - {"__init__"} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_the_signature_is_the_command_line(stage):
    assert list(command_of(stage)) == list(options(function_of(stage)))


@pytest.mark.parametrize("stage", STAGES)
def test_folders_on_the_command_line_are_dependencies_and_out_is_an_output(stage):
    command = command_of(stage)
    read = {value for name, value in command.items() if name != "out" and not value.startswith("${")}
    folders = {dependency for dependency in STAGES[stage].get("deps", []) if covers_no_code(dependency)}
    assert read == folders or (stage in ORDER_FREE and not folders)
    assert outs_of(stage)[0] == command["out"]


def covers_no_code(dependency):
    return not dependency.startswith(("plumbline/", "tasks/"))


@pytest.mark.parametrize("stage", STAGES)
def test_every_output_has_its_sidecar_and_nothing_reads_it(stage):
    sidecar = f"{command_of(stage)['out'].replace(f'/{stage}/', f'/{stage}.')}.run.json"
    assert sidecar in outs_of(stage) or stage in ORDER_FREE
    assert all(sidecar not in spec.get("deps", []) for spec in STAGES.values())


@pytest.mark.parametrize("stage", sorted(set(STAGES) - ORDER_FREE))
def test_the_code_that_a_stage_imports_is_among_its_dependencies(stage):
    listed = [dependency for dependency in STAGES[stage]["deps"] if not covers_no_code(dependency)]
    used = code_of(stage)
    missing = sorted(file for file in used if not any(covers(dependency, file) for dependency in listed))
    assert missing == [], f"add them to the deps of {stage} in dvc.yaml"
    idle = [dependency for dependency in listed if not any(covers(dependency, file) for file in used)]
    assert [each for each in idle if each.endswith(".py")] == [], f"{stage} does not import them"


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_listed_in_dvc_yaml_exists(stage):
    listed = [dependency for dependency in STAGES[stage].get("deps", []) if not covers_no_code(dependency)]
    assert [dependency for dependency in listed if not (PROJECT / dependency).exists()] == []


def test_the_phases_of_the_flow_cover_exactly_the_stages():
    assert [stage for stages in PHASES.values() for stage in stages] == list(STAGES)


def test_metrics_and_plots_point_into_outputs():
    outs = [out for stage in STAGES for out in outs_of(stage)]
    drawn = [(name, spec["y"]) for plot in DVC["plots"] for name, spec in plot.items()]
    plotted = [file for name, y in drawn for file in (y if isinstance(y, dict) else [name])]
    for file in [*DVC["metrics"], *plotted]:
        assert any(covers(out, file) for out in outs), file
