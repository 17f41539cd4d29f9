"""Prefect's and MLflow's real servers, started with this project's settings for as long as a test needs them."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.settings import DEFAULTS
from tests.flows import toy

PATIENCE = 180.0  # seconds until a server must answer: the machine may be busy


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """What `make up` would give to servers that keep their files in `folder` and listen on free ports."""
    prefect_port, mlflow_port = free_ports(2)
    settings = {
        **DEFAULTS,
        "PREFECT_HOME": f"{folder}/.prefect",
        "PREFECT_SERVER_API_PORT": prefect_port,
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_port}/api",
        "MLFLOW_PORT": mlflow_port,
    }
    return toy.environment(**settings, **variables)


def free_ports(count: int) -> list[str]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [str(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def running(folder: Path, environment: dict[str, str], name: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of this Python in `folder`, its output in `folder/<name>.log`; ended with all that it started."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until `address` answers; its log is in the error if it does not."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{address} does not answer:\n{log.read_text()}")
