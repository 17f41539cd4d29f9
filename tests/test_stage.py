import errno
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from plumbline.errors import DataError
from plumbline.params import World
from plumbline.stage import run_stage


@pytest.fixture
def here(tmp_path, monkeypatch):
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stage_that(action):
    def world(params: World, *, kind: Literal["a", "b"], out: Path) -> Path:
        return action(params, kind, out)

    return world


def test_options_are_the_keyword_arguments_and_knobs_the_section(here):
    seen = []
    run_stage(stage_that(lambda *given: seen.append(given)), ["--kind", "a", "--out", "x"])
    ((params, kind, out),) = seen
    assert (params.products, kind, out) == (60, "a", Path("x"))


@pytest.mark.parametrize("arguments", [[], ["--kind", "c", "--out", "x"], ["--kind", "a", "--out", "x", "--more", "y"]])
def test_a_wrong_command_line_is_refused(here, arguments):
    with pytest.raises(SystemExit) as caught:
        run_stage(stage_that(lambda *_: None), arguments)
    assert caught.value.code == 2


def raiser(error):
    def fail(*_):
        raise error

    return fail


def test_a_person_s_mistake_ends_with_its_lines_and_exit_code_1(here, capsys):
    with pytest.raises(SystemExit) as caught:
        run_stage(stage_that(raiser(DataError("rows.jsonl:3: bad\nrows.jsonl:4: bad"))), ["--kind", "a", "--out", "x"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == "world: rows.jsonl:3: bad\nworld: rows.jsonl:4: bad\n"


def test_a_full_disk_is_one_line(here, capsys):
    error = OSError(errno.ENOSPC, "No space left on device", "artifacts/x")
    with pytest.raises(SystemExit) as caught:
        run_stage(stage_that(raiser(error)), ["--kind", "a", "--out", "x"])
    assert caught.value.code == 1
    assert capsys.readouterr().err == "world: artifacts/x: No space left on device; nothing was half-written\n"


def test_our_own_mistake_keeps_its_traceback(here):
    with pytest.raises(ValueError, match="ours"):
        run_stage(stage_that(raiser(ValueError("ours"))), ["--kind", "a", "--out", "x"])


def test_help_and_wrong_params_do_not_load_the_heavy_libraries(here):
    code = (
        "import runpy, sys\n"
        "sys.argv = ['instruct', *sys.argv[1:]]\n"
        "try: runpy.run_module('tasks.instruct', run_name='__main__')\n"
        "finally: print('LOADED', *({'torch', 'transformers', 'mlflow', 'trl', 'pandas'} & set(sys.modules)))\n"
    )
    (here / "params.yaml").write_text("world: 3\n")
    for arguments in (["--help"], ["--base", "a", "--data", "b", "--out", "c"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=here,
            env={"PYTHONPATH": str(Path(__file__).parent.parent), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.splitlines()[-1].split() == ["LOADED"], done.stdout + done.stderr
