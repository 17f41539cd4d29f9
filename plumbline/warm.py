"""A process that has the slow imports behind it, and becomes each stage of a run by forking.

Importing PyTorch, transformers, TRL, Great Expectations and MLflow takes seconds, in every stage anew. A flow starts
`python -m plumbline.warm SOCKET` beside its first stages; the process of a stage (see plumbline.stage) then hands its
command line, folder, environment and standard streams over, waits, and ends with the exit code of its double. Every
stage still has a process of its own, with the project's code imported afresh. Where there is no such server, or it
is gone, the stage runs itself: the results are the same.

    stage's process ── connects ──> server ── forks ──> keeper ── forks ──> the stage
"""

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from typing import Any

from plumbline.stage import WARM, die_with_parent

# In the order in which a run needs them. All come from installed packages: the project's own code must be able to
# change between the start of the server and that of a stage. DeepSpeed, which TRL's trainer brings, stays out: it asks
# CUDA for its devices when it is imported, and a process that has done so must not fork.
MODULES = (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "torch",
    "transformers.models.auto.tokenization_auto",
    "great_expectations.expectations",
    "transformers.models.llama.modeling_llama",
    "transformers.trainer",
    "trl.trainer.sft_trainer",
    "evaluate",
    "sacrebleu",
    "rouge_score.rouge_scorer",
)
PATIENCE = 10.0  # seconds that a stage has to clean up once its client is gone


def serve(address: str) -> dict[str, Any]:
    """Import, and fork for every connection. Returns only in a fork, with the request of the stage that it is to be."""
    waiting = list(MODULES)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            ready, _, _ = select.select([listening], [], [], 0 if waiting else None)
            if ready:
                connection, _ = listening.accept()
                request = fork(connection)
                if request is not None:
                    return request
            elif waiting:
                importlib.import_module(waiting.pop(0))
                gc.freeze()  # a fork's garbage collection then leaves the shared memory alone


def fork(connection: socket.socket) -> dict[str, Any] | None:
    """Fork a keeper, which forks the stage. None in the server; the request in the stage; the keeper does not return."""
    reap()
    with connection:
        if os.fork():
            return None
        size, streams, _, _ = socket.recv_fds(connection, 8, 3)
        request: dict[str, Any] = json.loads(receive(connection, int.from_bytes(size, "big")))
        stage = os.fork()
        if not stage:
            for target, stream in enumerate(streams):
                os.dup2(stream, target)
                os.close(stream)
            return request
        keep(connection, stage, streams)
    os._exit(0)


def keep(connection: socket.socket, stage: int, streams: list[int]) -> None:
    """Tell the client how the stage ended; end the stage when the client is gone."""
    for stream in [*streams, 0, 1, 2]:
        os.close(stream)
    ended = os.pidfd_open(stage)
    watched: list[Any] = [ended, connection]
    ready = select.select(watched, [], [])[0]
    if ended not in ready:
        os.kill(stage, signal.SIGTERM)
        if not select.select([ended], [], [], PATIENCE)[0]:
            os.kill(stage, signal.SIGKILL)
    _, status = os.waitpid(stage, 0)
    if ended in ready:
        connection.sendall((os.waitstatus_to_exitcode(status) % 256).to_bytes(1, "big"))


def become(request: dict[str, Any]) -> None:
    """Run the requested module as `python -m` would in the client's folder and environment."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    sys.path[0] = request["folder"]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("plumbline", "tasks")]:
        del sys.modules[name]
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def elsewhere(module: str) -> int | None:
    """Have the server run `module` with this process's command line; its exit code, or None where there is no server."""
    environment = dict(os.environ)
    address = environment.pop(WARM)
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:
            return None
        request = {"module": module, "arguments": sys.argv, "folder": os.getcwd(), "environment": environment}
        content = json.dumps(request).encode()
        socket.send_fds(connection, [len(content).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(content)
        code = receive(connection, 1)
    return code[0] if code else 1


def receive(connection: socket.socket, size: int) -> bytes:
    """`size` bytes, or fewer when the other side hangs up."""
    content = b""
    while len(content) < size and (part := connection.recv(size - len(content))):
        content += part
    return content


def reap() -> None:
    """Take note of the keepers that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    die_with_parent()
    become(serve(sys.argv[1]))
