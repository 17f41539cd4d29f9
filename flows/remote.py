"""Beyond one machine: what one worker has made, another finds in a DVC remote that both reach, and does not make again.

PLUMBLINE_DVC_REMOTE    the remote's address, as DVC takes it: an absolute folder, s3://bucket/path, ssh://host/path
PLUMBLINE_GIT_REMOTE    where experiments go: the name or the address of a git remote

Where the first is not set, the functions below do nothing. Neither is ever written into a file.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.scm import SCMError
from dvc.stage.cache import RunCacheNotFoundError, RunCacheNotSupported
from dvc_data.hashfile.hash_info import HashInfo

from flows.graph import REPOSITORY
from plumbline.errors import PlumblineError

DVC_REMOTE = "PLUMBLINE_DVC_REMOTE"
GIT_REMOTE = "PLUMBLINE_GIT_REMOTE"


def fetch(root: Path) -> None:
    """Learn from the remote which stages have run before, on whatever machine; their results stay there until wanted."""
    with shared(root) as repository, suppress(RunCacheNotSupported):
        if repository:
            repository.stage_cache.pull(None)


def restore(root: Path, stage: str) -> bool:
    """Whether the results of `stage` are here now, as a run with the same code, knobs and inputs has left them there.

    First those that dvc.lock names. If nobody has shared these, those of any other such run: DVC by itself would run
    the stage again.
    """
    with shared(root) as repository:
        if not repository:
            return False
        (one,) = repository.stage.collect(f"{root}/dvc.yaml:{stage}")
        with lock_repo(repository):
            for any_such in (False, True):
                for out in one.outs if any_such else ():
                    out.hash_info = HashInfo()
                with suppress(RunCacheNotFoundError, FileNotFoundError):  # without its inputs, DVC says what it wants
                    repository.stage_cache.restore(one, pull=True)
                    one.save()
                    one.dump(update_pipeline=False)
                    return True
    return False


def share(root: Path) -> None:
    """Give the remote the results that dvc.lock names, and the knowledge of every run that left some here."""
    with shared(root) as repository:
        if repository:
            repository.push(run_cache=True)


def share_experiment(root: Path, name: str) -> None:
    """Give the git remote the experiment of this name, for others to take over with `dvc exp pull`."""
    address = os.environ.get(GIT_REMOTE)
    with shared(root) as repository:
        if repository and address:
            repository.experiments.push(address, name, force=True)


@contextmanager
def shared(root: Path) -> Iterator[Repo | None]:
    """The repository with the shared remote for its default one; None where the environment names none."""
    address = os.environ.get(DVC_REMOTE)
    if not address:
        yield None
        return
    config = {"core": {"remote": "shared"}, "remote": {"shared": {"url": address}}}
    try:
        with REPOSITORY, Repo(str(root), config=config, _wait_for_lock=True) as repository:
            yield repository
    except (DvcException, SCMError, OSError) as error:
        reason = " ".join(str(error).split())
        for secret in filter(None, (address, os.environ.get(GIT_REMOTE))):  # an address may hold a password
            reason = reason.replace(secret, "the remote")
        raise PlumblineError(f"the remote of {DVC_REMOTE}: {reason or type(error).__name__}") from None
