"""What serves for the length of one flow: Prefect's API, where no server is running, and imports done in advance."""

import fcntl
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flows.up import running_api
from plumbline.stage import WARM


@contextmanager
def api() -> Iterator[None]:
    """Use the server that PREFECT_API_URL names, or that `make up` has started, or one in a thread of this process.

    All but the first keep their database in .prefect/, so that the UI shows every run.

    Prefect would start one itself, in a process of its own: that takes 2 seconds more, and survives a killed flow.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    if address := running_api():
        with temporary_settings({PREFECT_API_URL: address}):
            yield
        return
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(ephemeral=True), log_level="critical", lifespan="on"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="prefect-api")
    home = PREFECT_HOME.value()
    home.mkdir(parents=True, exist_ok=True)
    with (home / "starting").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # each server brings the database up to date: two at once fail
        thread.start()
        while not server.started:
            if not thread.is_alive():
                more = "its log says more with PREFECT_LOGGING_SERVER_LEVEL=DEBUG"
                raise RuntimeError(f"Prefect's API did not start; {more}")
            time.sleep(0.02)
    try:
        with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{listening.getsockname()[1]}/api"}):
            try:
                yield
            finally:
                APILogHandler().flush()  # while there is someone to take the last lines
                EventsWorker.drain_all(timeout=5)
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def warm() -> Iterator[None]:
    """Start the process of plumbline.warm, and tell the stages of its socket through the environment.

    Who serves flows has one for all of them.
    """
    if WARM in os.environ or not hasattr(os, "pidfd_open"):  # which is Linux's; elsewhere every stage starts by itself
        yield
        return
    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        address = f"{folder}/socket"
        process = subprocess.Popen([sys.executable, "-m", "plumbline.warm", address], start_new_session=True)
        os.environ[WARM] = address
        try:
            yield
        finally:
            del os.environ[WARM]
            process.terminate()
            process.wait()
