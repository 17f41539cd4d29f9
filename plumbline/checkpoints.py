"""Where a training loop keeps its state, so that a killed stage goes on from there and not from the start.

A checkpoint is written under a temporary name, synced to the disk, described by a manifest of digests, and only then
renamed; the newest that is whole is loaded. The place lies outside a stage's own folder, which DVC empties before every
run, and is named by all that the stage depends on: no run goes on from the state of another one.

.checkpoints/<stage>/<key>/step-00000123/   one checkpoint: safetensors, JSON and MANIFEST.json
                           damaged-...      one that was found damaged, kept for a person to look at
                           lock             held by the one process that may write here
                           journal-....jsonl what MLflow is to know of the run (plumbline.tracking)
"""

import errno
import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import BaseModel

from plumbline.errors import PlumblineError
from plumbline.store import digest, write_json

PLACE = "PLUMBLINE_CHECKPOINTS"  # set by a flow: runs in a worktree keep their checkpoints in the workspace
MANIFEST = "MANIFEST.json"
SCHEMA = 1
KEPT = 2  # checkpoints: the newest, and the one to fall back on
PATIENCE = 5.0  # seconds that the last owner, killed a moment ago, has to let go
CODE = (
    "plumbline/models/**/*.py", "plumbline/algorithms/**/*.py", "plumbline/world/**/*.py", "plumbline/rows.py",
    "plumbline/curves.py",
)  # fmt: skip
LIBRARIES = ("torch", "transformers", "peft")


def place() -> Path:
    """The folder below which everything lies that is to outlive a killed process."""
    return Path(os.environ.get(PLACE, ".checkpoints"))


@contextmanager
def resumable(name: str, params: BaseModel, every: int, **inputs: Path) -> Iterator["Checkpoints"]:
    """The checkpoints of the stage or variant `name` with these knobs and inputs, for this process alone.

    They are removed when the block ends without an error, which must be after the stage's folder has got its name.
    """
    folder = place() / name / key(name, params, inputs)
    with held(folder):
        checkpoints = Checkpoints(folder, every)
        for left in folder.glob(".partial-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield checkpoints
        checkpoints.remove()


def key(name: str, params: BaseModel, inputs: dict[str, Path]) -> str:
    """A name for all that the result of a stage depends on: knobs, inputs, code, libraries."""
    root = Path(__file__).parents[1]
    stage = root / "tasks" / f"{name.partition('@')[0]}.py"
    code = [stage, *(file for pattern in CODE for file in sorted(root.glob(pattern)))]
    depends = {
        "name": name,
        "params": params.model_dump(mode="json"),
        "inputs": {each: digest(path) for each, path in inputs.items()},
        "code": {file.relative_to(root).as_posix(): digest(file) for file in code if file.exists()},
        "libraries": {library: importlib.metadata.version(library) for library in LIBRARIES},
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints in `folder`, one every `every` steps (0: none). One process at a time may use them."""

    folder: Path
    every: int

    def due(self, step: int) -> bool:
        """Whether the state after `step` steps is to be kept."""
        return self.every > 0 and step % self.every == 0

    def newest(self) -> Path | None:
        """The newest checkpoint that is whole, by step number. Damaged ones before it are set aside, with a line."""
        for found in reversed(self._all()):
            reason = damage(found)
            if reason is None:
                return found
            aside = self.folder / f"damaged-{found.name}-{uuid.uuid4().hex[:8]}"
            found.rename(aside)
            print(f"{found}: {reason}; set aside as {aside.name}", file=sys.stderr)
        return None

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Have `write` fill a folder, and make it the checkpoint of `step`: whole, or not at all.

        An OSError names the checkpoint, leaves the one before as it was, and nothing half-written.
        """
        target = self.folder / f"step-{step:08d}"
        partial = self.folder / f".partial-{target.name}-{uuid.uuid4().hex[:8]}"
        try:
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            partial.mkdir()
            write(partial)
            commit(partial, target, step)
            for old in self._all()[:-KEPT]:
                discard(old)
        except OSError as error:
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(target)) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return target

    def remove(self) -> None:
        """Forget the state of a run that has its result. Damaged checkpoints stay."""
        for each in self._all():
            discard(each)
        (self.folder / "lock").unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _all(self) -> list[Path]:
        """Every checkpoint by step number, whatever the clock said when it was written."""
        found = [
            (int(name[1]), each) for each in self.folder.iterdir() if (name := re.fullmatch(r"step-(\d+)", each.name))
        ]
        return [each for _, each in sorted(found)]


def commit(partial: Path, target: Path, step: int) -> None:
    """Sync the files of `partial`, write down what they are, and give the folder its name."""
    files = {}
    for file in sorted(partial.iterdir()):
        sync(file)
        files[file.name] = {"bytes": file.stat().st_size, "sha256": digest(file)}
    write_json(partial / MANIFEST, {"schema": SCHEMA, "step": step, "files": files})
    sync(partial / MANIFEST)
    sync(partial)
    partial.rename(target)
    sync(target.parent)


def discard(checkpoint: Path) -> None:
    """Remove a checkpoint, under another name: none that is half removed is ever taken for one."""
    partial = checkpoint.parent / f".partial-{checkpoint.name}-{uuid.uuid4().hex[:8]}"
    checkpoint.rename(partial)
    shutil.rmtree(partial, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Never twice: the second try may claim success."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, or None."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        if set(manifest) != {"schema", "step", "files"} or manifest["schema"] != SCHEMA:
            return f"damaged ({MANIFEST} is not of schema {SCHEMA})"
        if checkpoint.name != f"step-{manifest['step']:08d}":
            return f"damaged ({MANIFEST} is that of step {manifest['step']})"
        if set(manifest["files"]) != {file.name for file in checkpoint.iterdir()} - {MANIFEST}:
            return "damaged (its files are not those of its manifest)"
        for name, known in manifest["files"].items():
            if known != {"bytes": (checkpoint / name).stat().st_size, "sha256": digest(checkpoint / name)}:
                return f"damaged ({name} has changed since it was written)"
    except FileNotFoundError:
        return f"damaged (no {MANIFEST})"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return f"damaged ({MANIFEST}: {' '.join(str(error).split())[:120]})"
    return None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make `folder`, and keep every other process from using it. PlumblineError when one does and goes on doing so."""
    deadline = time.monotonic() + PATIENCE
    while (lock := try_lock(folder)) is None:
        if time.monotonic() > deadline:
            owner = (folder / "lock").read_text(encoding="utf-8") if (folder / "lock").exists() else "another process"
            raise PlumblineError(
                f"{folder}: {owner.strip() or 'another process'} is training this very run; wait for it"
            )
        time.sleep(0.1)
    with lock:
        yield


def try_lock(folder: Path) -> IO[str] | None:
    """The held lock of `folder`, or None. The system lets go of it when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = (folder / "lock").stat().st_ino == os.fstat(lock.fileno()).st_ino  # or its owner has just removed it
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')},")
    lock.flush()
    return lock
