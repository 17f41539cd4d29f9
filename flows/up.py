"""Prefect's server with its UI, the deployments served to it, and MLflow's UI: started together, and stopped.

python -m flows.up         start what is not running, wait until each answers, and say where to click (`make up`)
python -m flows.up down    stop what the line above started, and nothing else (`make down`)

Each runs in the background, with its log in .prefect/up/. PLUMBLINE_HOST (default: this machine alone),
PLUMBLINE_PREFECT_PORT (4200) and PLUMBLINE_MLFLOW_PORT (5000) say where.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from flows.settings import HOST, MLFLOW_PORT, PREFECT_PORT
from plumbline.errors import PlumblineError
from plumbline.tracking import store_address

PREFECT = f"http://{HOST}:{PREFECT_PORT}"
MLFLOW = f"http://{HOST}:{MLFLOW_PORT}"
FOLDER = Path(".prefect/up")
PATIENCE = 120.0  # seconds until a part must answer
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PREFECT_PASSWORD, MLFLOW_PASSWORD = "PREFECT_SERVER_API_AUTH_STRING", "MLFLOW_AUTH_ADMIN_PASSWORD"
GRACE = 15.0  # seconds that a part has to end by itself


@dataclass(frozen=True)
class Part:
    """One of the programs: how to start it, where it listens, and how to see that it answers."""

    name: str
    command: list[str]
    port: int | None
    answers: Callable[[float], bool]  # of the moment at which it was started


def parts() -> list[Part]:
    """In the order in which they need each other; without MLflow where the environment names a tracking server."""
    store = store_address()
    python = [sys.executable, "-m"]
    prefect = [*python, "prefect", "server", "start", "--host", HOST, "--port", str(PREFECT_PORT)]
    mlflow = [*python, "mlflow", "server", "--host", HOST, "--port", str(MLFLOW_PORT), "--workers", "1"]
    mlflow += ["--backend-store-uri", store, "--artifacts-destination", str(Path("mlruns/artifacts").resolve())]
    if os.environ.get(MLFLOW_PASSWORD):
        mlflow += ["--app-name", "basic-auth"]
    found = [
        Part("prefect", prefect, PREFECT_PORT, lambda _: answers(f"{PREFECT}/api/health")),
        Part("serve", [*python, "flows.serve"], None, is_polled),
    ]
    if not store.startswith("http"):
        found.append(Part("mlflow", mlflow, MLFLOW_PORT, lambda _: answers(f"{MLFLOW}/health")))
    return found


def up() -> None:
    """Start the parts that are not running. PlumblineError names the one that does not start, and why."""
    without = [name for name in (PREFECT_PASSWORD, MLFLOW_PASSWORD) if not os.environ.get(name)]
    if HOST not in LOOPBACK and without:
        raise PlumblineError(f"PLUMBLINE_HOST is {HOST}: others can reach it, so set {without[0]} (docs/deployment.md)")
    if HOST in LOOPBACK or "PREFECT_API_URL" not in os.environ:
        os.environ["PREFECT_API_URL"] = f"{PREFECT}/api"  # before the start: the UI calls this address
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second `make up` waits for the first, and finds all running
        for part in parts():
            found = running(part.name)
            wait_for(part, found or start(part))
            print(f"  {part.name:<8} {'was running' if found else 'started'}")


def start(part: Part) -> psutil.Process:
    if part.port and is_taken(part.port):
        variable = f"PLUMBLINE_{part.name.upper()}_PORT"
        raise PlumblineError(
            f"{part.name}: port {part.port} of {HOST} is in use{by_whom(part.port)}; "
            f"stop that program, or choose another port with {variable}"
        )
    with (FOLDER / f"{part.name}.log").open("wb") as log:
        process = subprocess.Popen(
            part.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # outlives the shell, and is a group to stop as one
        )
    started = psutil.Process(process.pid)
    note = {"pid": process.pid, "created": started.create_time(), "port": part.port}  # ids come again
    (FOLDER / f"{part.name}.json").write_text(json.dumps(note), encoding="utf-8")
    return started


def running(part: str) -> psutil.Process | None:
    """The process that an earlier call started, if it is still the same."""
    try:
        note = read_note(part)
        process = psutil.Process(note["pid"])
        same = process.create_time() == note["created"] and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, KeyError, psutil.Error):
        return None
    return process if same else None


def read_note(part: str) -> dict[str, Any]:
    note: dict[str, Any] = json.loads((FOLDER / f"{part}.json").read_text(encoding="utf-8"))
    return note


def running_api() -> str | None:
    """Where the API of the server answers that was started from this folder, if it runs."""
    if running("prefect") is None:
        return None
    api = f"http://{HOST}:{read_note('prefect')['port']}/api"
    return api if answers(f"{api}/health") else None


def wait_for(part: Part, process: psutil.Process) -> None:
    deadline = time.monotonic() + PATIENCE
    while not part.answers(process.create_time()):
        gone = running(part.name) is None
        if gone or time.monotonic() > deadline:
            log = FOLDER / f"{part.name}.log"
            said = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
            reason = "ended" if gone else f"does not answer after {PATIENCE:.0f} seconds"
            raise PlumblineError(f"{part.name}: {reason}; the last line of {log}: {said[-1] if said else 'nothing'}")
        time.sleep(0.2)


def down() -> None:
    """Stop what up() started, last started first; a part that does not end by itself is killed."""
    for part in reversed(parts()):
        process = running(part.name)
        if process is not None:
            stop(process)
            print(f"  {part.name:<8} stopped")
        (FOLDER / f"{part.name}.json").unlink(missing_ok=True)


def stop(process: psutil.Process) -> None:
    """End a process and all below it, runs of the pipeline among them: these end their stages first."""
    family = [process, *process.children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=GRACE)
    for each in alive:
        each.send_signal(signal.SIGKILL)
    psutil.wait_procs(alive, timeout=GRACE)


def is_taken(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError:
            return True
    return False


def by_whom(port: int) -> str:
    """`, by NAME (process ID)`, where this user may know."""
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            return f", by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def is_polled(since: float) -> bool:
    """Whether the served deployments have asked Prefect for work since then: all do at once, when all are registered.

    By a GET: anything else takes a token, which the server writes to its database, and SQLite refuses a transaction
    that read before such a write and writes after it. So looking often kept deployments from being registered at all.
    """
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    with get_client(sync_client=True) as client:
        try:
            polled = client.read_deployment_by_name("pipeline/pipeline").last_polled
        except ObjectNotFound:
            return False
    return polled is not None and polled > datetime.fromtimestamp(since, UTC)


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["down"]:
            down()
            return 0
        up()
    except PlumblineError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"""
  Prefect       {PREFECT}/deployments    choose one, then Run > Custom run: a form with every knob
  MLflow        {MLFLOW}    Model training > plumbline: tick two runs, then Compare
  to stop       make down""")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
