"""Beyond one machine: two workers of one work pool, each in a clone of its own, and a DVC remote between them."""

import re
import shutil
import sqlite3
import subprocess
import sys

import pytest

from tests import servers
from tests.flows import toy

STAGES = ["base", "prepare"]  # of dvc.yaml: enough for a chain, and short


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder with two clones of a project, and the environment in which a work pool and its deployment exist."""
    folder = tmp_path_factory.mktemp("pool")
    origin = toy.make(folder / "origin")
    shutil.copy(toy.PROJECT / "prefect.yaml", origin)
    toy.shorten(origin, STAGES)
    for clone in ("one", "two"):
        toy.git(folder, "clone", "--quiet", "origin", clone)
    environment = servers.environment(
        folder,
        PLUMBLINE_POOL="machines",
        PLUMBLINE_DVC_REMOTE=f"{folder}/remote",
        MLFLOW_TRACKING_URI=f"sqlite:///{folder}/mlflow.db",
    )
    with servers.running(folder, environment, "prefect", "prefect", "server", "start") as server:
        servers.wait_for(environment["PREFECT_API_URL"] + "/health", server, folder / "prefect.log")
        prefect(origin, environment, "work-pool", "create", "machines", "--type", "process")
        prefect(origin, environment, "deploy", "--name", "pipeline/pool")
        yield folder, environment


def prefect(folder, environment, *arguments):
    """What the command line of Prefect prints; a failure is an error."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_on(clone, pool):
    """Ask for a run, have a worker in this clone take it up, and read its state and its stages' states."""
    folder, environment = pool
    asked = prefect(folder, environment, "deployment", "run", "pipeline/pool")
    (run,) = re.findall(r"UUID: (\S+)", asked)
    place = {**environment, "PLUMBLINE_ROOT": f"{folder}/{clone}"}
    printed = prefect(folder / clone, place, "worker", "start", "--pool", "machines", "--name", clone, "--run-once")
    with sqlite3.connect(folder / ".prefect/prefect.db") as database:
        of_run = "from task_run where flow_run_id = ?"
        (state,) = database.execute("select state_name from flow_run where id = ?", [run]).fetchone()
        stages = database.execute(f"select name, state_name {of_run}", [run]).fetchall()
    return state, dict(stages), printed


def test_what_one_worker_has_made_another_takes_from_the_remote_and_does_not_make_again(pool):
    folder, _ = pool
    first, ran, printed = run_on("one", pool)
    assert (first, ran) == ("Completed", dict.fromkeys(STAGES, "Completed")), printed
    second, found, printed = run_on("two", pool)
    assert (second, found) == ("Completed", dict.fromkeys(STAGES, "Cached")), printed
    results = [(folder / clone / "artifacts/prepare/result.txt").read_text() for clone in ("one", "two")]
    assert results[0] == results[1]
