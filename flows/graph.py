"""The graph as DVC knows it, and stages run by DVC: one definition, one cache, whichever door asks."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

# A stage that has printed its own error needs none of what DVC says around it.
CHATTER = re.compile(
    r"\s*$|Running stage '|> |Generating lock file|Updating lock file|Use `dvc push`|To track the changes|\tgit add"
    r"|To enable auto staging|\tdvc config core.autostage|ERROR: failed to reproduce .* exited with"
)
BUSY = re.compile(r"Unable to acquire lock|is busy, it is being blocked by|database is locked")

_REPOSITORY = threading.Lock()  # a DVC Repo may be used by one thread at a time
_LIBC = ctypes.CDLL(None)
_SET_PARENT_DEATH_SIGNAL = 1


class StageFailed(Exception):
    """A stage ended with an error, which it has printed."""


class StageBusy(Exception):
    """Another process holds a lock that the stage needs. This passes."""


class Stages:
    """The stages of the repository at `root`, and the processes that run them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False

    def graph(self) -> dict[str, list[str]]:
        """Every stage, variants spelled out, with the stages that it depends on; dependencies come first."""
        from dvc.repo import Repo
        from networkx import topological_sort

        with _REPOSITORY, Repo(str(self.root)) as repository:
            graph = repository.index.graph
            order = reversed(list(topological_sort(graph)))
            return {stage.name: sorted(other.name for other in graph.successors(stage)) for stage in order}

    def stale(self, *stages: str) -> set[str]:
        """Those of `stages` (default: all) whose knobs, code, inputs or results differ from dvc.lock."""
        from dvc.repo import Repo

        targets = [f"{self.root}/dvc.yaml:{stage}" for stage in stages] or None
        with _REPOSITORY, Repo(str(self.root), _wait_for_lock=True) as repository:
            return {name.rpartition(":")[2] for name in repository.status(targets=targets)}

    def run(self, stage: str, on_line: Callable[[str], None], environment: Mapping[str, str]) -> bool:
        """Have DVC run one stage; True if it ran, False if DVC restored its results from an earlier run.

        `on_line` gets each line that the stage or DVC prints. Raises StageFailed, or StageBusy when it is worth
        another try.
        """
        if self._stopped:
            raise StageFailed(f"{stage}: not started, the run is stopping")
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage],
            cwd=self.root,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so that stop() reaches the stage below DVC
            preexec_fn=die_with_parent,
        )
        self._running.add(process)
        restored = busy = False
        try:
            assert process.stdout is not None
            with process.stdout:
                for line in process.stdout:
                    restored = restored or "is cached - skipping run" in line
                    busy = busy or bool(BUSY.search(line))
                    on_line(line.rstrip())
        finally:
            process.wait()
            self._running.discard(process)
        if process.returncode and busy:
            raise StageBusy(f"{stage}: waits for a lock")
        if process.returncode:
            raise StageFailed(f"{stage}: failed")
        return not restored

    def stop(self) -> None:
        """End every stage that is running, and start no other."""
        self._stopped = True
        for process in list(self._running):
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except ProcessLookupError:
                continue


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent does, even if that was killed without a chance to clean up."""
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
