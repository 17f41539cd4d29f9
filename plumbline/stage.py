"""Run one stage from the command line: its keyword-only arguments are its options, its section is its knobs."""

import argparse
import ctypes
import inspect
import os
import select
import signal
import sys
import threading
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from plumbline.errors import PlumblineError
from plumbline.params import load_params

if TYPE_CHECKING:
    import psutil

WARM = "PLUMBLINE_WARM"  # set by a flow: the socket of the process that has the imports behind it


def options(stage: Callable[..., Path]) -> dict[str, inspect.Parameter]:
    """The keyword-only arguments of a stage, which are its command line."""
    parameters = inspect.signature(stage).parameters
    return {name: each for name, each in parameters.items() if each.kind is inspect.Parameter.KEYWORD_ONLY}


def run_stage(stage: Callable[..., Path], arguments: list[str] | None = None) -> None:
    """Run `stage` with the options in `arguments` (default: the command line) and its section of ./params.yaml.

    A PlumblineError, or a full or unwritable disk, ends the process with its lines on stderr and exit code 1.
    """
    if arguments is None:
        die_with_parent()
        die_with_dvc()
        if WARM in os.environ:
            from plumbline.warm import elsewhere

            code = elsewhere(f"tasks.{stage.__name__}")
            if code is not None:
                sys.exit(code)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # removes a half-written folder
    parser = argparse.ArgumentParser(
        prog=f"python -m tasks.{stage.__name__}",
        description=(inspect.getmodule(stage).__doc__ or "").strip(),  # type: ignore[union-attr]
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = typing.get_type_hints(stage)
    for name in options(stage):
        kind = hints[name]
        choices = typing.get_args(kind) or None
        parser.add_argument(f"--{name}", type=str if choices else kind, choices=choices, required=True)
    chosen = vars(parser.parse_args(arguments))
    try:
        params = load_params(Path("params.yaml"))
        stage(getattr(params, stage.__name__), **chosen)
    except PlumblineError as error:
        fail(stage.__name__, str(error))
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError):
            raise
        fail(stage.__name__, f"{error.filename or 'disk'}: {os.strerror(error.errno)}; nothing was half-written")


def fail(stage: str, message: str) -> typing.NoReturn:
    """End the process with exit code 1 and one line on stderr per problem."""
    for line in message.splitlines():
        print(f"{stage}: {line}", file=sys.stderr)
    sys.exit(1)


def die_with_parent() -> None:
    """Have Linux send this process SIGTERM when its parent ends, even if that was killed and could not."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def die_with_dvc() -> None:
    """Send this process SIGTERM when the DVC process that runs it ends, even if that was killed and could not.

    DVC hands a stage's command to a shell. Some shells replace themselves by the command; others stay in between,
    outlive DVC, and keep `die_with_parent` from noticing.
    """
    if "DVC_STAGE" not in os.environ or not hasattr(os, "pidfd_open"):
        return
    for process in dvc_above()[:1]:
        try:
            ended = os.pidfd_open(process.pid)
        except ProcessLookupError:
            os.kill(os.getpid(), signal.SIGTERM)
            return

        def watch(ended: int = ended) -> None:
            select.select([ended], [], [])
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=watch, daemon=True, name="die-with-dvc").start()


def dvc_above() -> "list[psutil.Process]":
    """The DVC processes that this one descends from, nearest first."""
    import psutil

    found = []
    for process in psutil.Process().parents():
        try:
            if any(Path(word).name == "dvc" for word in process.cmdline()[:4]):
                found.append(process)
        except psutil.Error:  # a process of another user, or one that has just ended
            continue
    return found
