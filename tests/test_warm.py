"""The warm process runs a stage as the stage's own process would: folder, environment, streams, exit code, code."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
STAGE = """
import os, sys, time
from pathlib import Path
from plumbline.errors import DataError
from plumbline.stage import run_stage

def world(params, *, out: Path) -> Path:
    print(os.getcwd(), os.environ["COLOUR"], params.seed, out, os.environ.get("PLUMBLINE_WARM"))
    print("to stderr", file=sys.stderr)
    if out.name == "bad":
        raise DataError("rows.jsonl:3: is empty")
    if out.name == "long":
        try:
            print("within")
            time.sleep(60)
        finally:
            Path("cleaned").touch()
    return out

if __name__ == "__main__":
    run_stage(world)
"""
SERVER = "import sys; from plumbline import warm; warm.MODULES = ('colorsys',); warm.become(warm.serve(sys.argv[1]))"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "plumbline").symlink_to(PROJECT / "plumbline")
    (tmp_path / "params.yaml").symlink_to(PROJECT / "params.yaml")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/world.py").write_text(STAGE)
    return tmp_path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    address = tmp_path_factory.mktemp("warm") / "socket"
    with subprocess.Popen([sys.executable, "-c", SERVER, str(address)], cwd=PROJECT) as process:
        while not address.exists():
            assert process.poll() is None
            time.sleep(0.02)
        yield str(address)
        process.terminate()


def start(project: Path, address: str, out: str) -> subprocess.Popen:
    environment = {**os.environ, "PLUMBLINE_WARM": address, "COLOUR": "blue"}
    command = [sys.executable, "-m", "tasks.world", "--out", out]
    return subprocess.Popen(
        command, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(project: Path, address: str, out: str) -> tuple[int, str, str]:
    with start(project, address, out) as process:
        printed, errors = process.communicate()
    return process.returncode, printed, errors


@pytest.mark.parametrize("out", ["good", "bad"])
def test_a_warm_stage_is_like_a_cold_one(project, server, out):
    code, printed, errors = run(project, server, out)
    cold_code, cold_printed, cold_errors = run(project, "/nowhere", out)
    assert (code, errors) == (cold_code, cold_errors)
    assert code == (1 if out == "bad" else 0)
    assert printed == f"{project} blue 20 {out} None\n"
    assert cold_printed == printed.replace("None", "/nowhere")


def test_code_that_changes_after_the_server_started_is_the_code_that_runs(project, server):
    run(project, server, "good")
    (project / "tasks/world.py").write_text(STAGE.replace("blue", "").replace("to stderr", "another line"))
    assert run(project, server, "good")[2] == "another line\n"


def test_wrong_options_are_refused_as_ever(project, server):
    code, _, errors = run(project, server, "--help")
    assert code == 2 and "expected one argument" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_ends_with_the_process_that_asked_for_it_and_cleans_up(project, server, number):
    with start(project, server, "long") as process:
        assert "within\n" in process.stdout  # read up to that line: there is something to clean up
        process.send_signal(number)
        process.wait()
        deadline = time.monotonic() + 20
        while not (project / "cleaned").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_two_stages_at_once_do_not_wait_for_each_other(project, server):
    with start(project, server, "long") as slow:
        slow.stdout.readline()
        assert run(project, server, "good")[0] == 0
        slow.terminate()


def test_the_modules_to_import_start_no_threads_and_ask_cuda_nothing_for_a_fork_would_lose_both():
    code = (
        "import importlib, threading, torch; from plumbline import warm\n"
        "asked = []\n"
        "torch.cuda.is_available = lambda: asked.append(1) or False\n"
        "torch.cuda.device_count = lambda: asked.append(1) or 0\n"
        "for name in warm.MODULES: importlib.import_module(name)\n"
        "print(threading.active_count(), len(asked))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1:] == ["1 0"], done.stderr
