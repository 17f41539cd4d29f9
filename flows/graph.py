"""The graph as DVC knows it, and stages run by DVC: one definition, one cache, whichever door asks."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from dvc.lock import LockError
from dvc.repo import Repo
from dvc.rwlock import RWLockFileCorruptedError, RWLockFileFormatError
from networkx import lexicographical_topological_sort

from plumbline.errors import PlumblineError
from plumbline.stage import die_with_parent

# A stage that has printed its own error needs none of what DVC says around it.
CHATTER = re.compile(
    r"\s*$|Running stage '|> |Generating lock file|Updating lock file|Use `dvc push`|To track the changes|\tgit add"
    r"|To enable auto staging|\tdvc config core.autostage|ERROR: failed to reproduce .* exited with"
    r"|WARNING: Process .* had been killed"
)
BUSY = re.compile(r"Unable to acquire lock|is busy, it is being blocked by|database is locked")
PATIENCE = 10.0  # seconds that a stopped stage has to clean up

REPOSITORY = threading.Lock()  # a DVC Repo may be used by one thread at a time
logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of locks of killed runs, which it removes by itself


class StageFailed(Exception):
    """A stage ended with an error, which it has printed."""


class StageBusy(Exception):
    """Another process holds a lock that the stage needs. This passes."""


class Stages:
    """The stages of the repository at `root`, and the processes that run them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._running: set[subprocess.Popen[str]] = set()
        self.turn = threading.Lock()  # stages run one after another: each takes all cores, or the whole GPU
        self.stopped = False

    def graph(self) -> dict[str, list[str]]:
        """Every stage, variants spelled out, with those to wait for; these come first, and else as in dvc.yaml.

        A stage waits for what it depends on, and for any folder that its command names: `pretrain` reads one whose
        changes are not to bring it to run.
        """
        with REPOSITORY, Repo(str(self.root)) as repository:
            graph = repository.index.graph.copy()
            written = {stage: place for place, stage in enumerate(repository.index.stages)}
            makers = {out.def_path: stage for stage in written for out in stage.outs}
            for stage in written:
                named = {makers[word] for word in stage.cmd.split() if word in makers}
                graph.add_edges_from((stage, maker) for maker in named - {stage})
            order = lexicographical_topological_sort(graph.reverse(), key=written.__getitem__)
            return {stage.name: sorted(other.name for other in graph.successors(stage)) for stage in order}

    def stale(self, *stages: str) -> set[str]:
        """Those of `stages` (default: all) whose knobs, code, inputs or results differ from dvc.lock.

        Raises StageBusy while another run writes what has to be looked at.
        """
        targets = [f"{self.root}/dvc.yaml:{stage}" for stage in stages] or None
        with REPOSITORY, Repo(str(self.root), _wait_for_lock=True) as repository:
            try:
                return {name.rpartition(":")[2] for name in repository.status(targets=targets)}
            except LockError as error:
                holder = re.search(r" \(PID \d+\): .*", str(error))
                raise StageBusy(
                    f"another run is at work in this folder{holder[0] if holder else ''}; wait for it, or stop it"
                ) from None
            except (RWLockFileCorruptedError, RWLockFileFormatError) as error:  # of a run that was killed as it wrote
                reason = str(error).rstrip(".")
                raise PlumblineError(f"{reason}; unless a run is at work, remove {self.root}/.dvc/tmp/rwlock") from None

    def run(self, stage: str, on_line: Callable[[str], None], environment: Mapping[str, str]) -> bool:
        """Have DVC run one stage; True if it ran, False if DVC restored its results from an earlier run.

        `on_line` gets each line that the stage or DVC prints. Raises StageFailed, or StageBusy when it is worth
        another try.
        """
        if self.stopped:
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
        self.stopped = True
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while self._running and time.monotonic() < deadline:
            time.sleep(0.05)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """To the stages, and to DVC above each."""
        for process in list(self._running):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                continue
