"""Prefect's API for the length of one flow, where no server is running."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def api() -> Iterator[None]:
    """Use the server that PREFECT_API_URL names, or one in a thread of this process, with its database in .prefect/.

    Prefect would start one itself, in a process of its own: that takes 2 seconds more, and survives a killed flow.
    """
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if PREFECT_API_URL.value():
        yield
        return
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(ephemeral=True), log_level="critical", lifespan="on"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="prefect-api")
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("Prefect's API did not start; its log says more with PREFECT_LOGGING_SERVER_LEVEL=DEBUG")
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
