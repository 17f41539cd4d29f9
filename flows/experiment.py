"""A run with other knobs: in a git worktree of its own, so that the workspace stays as it is, saved as a DVC experiment.

The worktree lies under .runs/, takes the uncommitted edits and the rows under data/ along, and shares the DVC cache:
a stage that the other knobs do not reach is found there, and what the run makes can be taken over later with
`dvc exp apply NAME`.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dvc.repo import Repo
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from plumbline.errors import ParamsError, PlumblineError
from plumbline.params import load_params, takes_null

FLOAT = "tag:yaml.org,2002:float"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
KEPT = ("report.html", "metrics.json")  # of artifacts/evaluate, for a person to open after the run


def changed_params(root: Path, recipe: str | None, changes: Mapping[str, Any]) -> str:
    """params.yaml with a recipe's knobs and then `changes`, by section, put in, and checked; comments stay.

    Raises ParamsError with the same lines as any stage would, but for the place in a file that nobody wrote.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        shutil.copy(root / "params.yaml", path)
        load_params(path)
        knobs = layout().load(path)
        if recipe:
            merge(knobs, read_recipe(root, recipe))
        merge(knobs, changes)
        drop_nulls(knobs)
        layout().dump(knobs, path)
        try:
            load_params(path)
        except ParamsError as error:
            raise ParamsError(re.sub(rf"{re.escape(str(path))}:\d+: ", "", str(error))) from None
        return path.read_text(encoding="utf-8")


def layout() -> YAML:
    """A reader and writer that keeps comments, and numbers as they were written."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.representer.add_representer(float, lambda to, number: to.represent_scalar(FLOAT, with_point(number)))
    return yaml


def with_point(number: float) -> str:
    """A number as every reader of YAML takes it for one: `1e-05` would be text to some."""
    text = repr(number)
    return text if "." in text else text.replace("e", ".0e")


def read_recipe(root: Path, recipe: str) -> dict[str, Any]:
    """The knobs of recipes/<recipe>.yaml."""
    path = root / "recipes" / f"{recipe}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise ParamsError(f"{path.relative_to(root)}: no such recipe; there are: {known}")
    try:
        content = layout().load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path.relative_to(root)}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path.relative_to(root)}: must hold sections of params.yaml")
    return content


def parse_overrides(overrides: list[str]) -> dict[str, Any]:
    """What all of them say, by section; a later one is stronger."""
    changes: dict[str, Any] = {}
    for override in overrides:
        merge(changes, parse_override(override))
    return changes


def parse_override(override: str) -> dict[str, Any]:
    """`section.knob=value`, the value being YAML, as a nested mapping."""
    name, equals, value = override.partition("=")
    parts = name.split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise ParamsError(f"{override}: write section.knob=value, such as instruct.epochs=1")
    try:
        content = layout().load(value)
    except YAMLError:
        raise ParamsError(f"{override}: the value is not YAML") from None
    for part in reversed(parts):
        content = {part: content}
    return content


def merge(knobs: Any, changes: Mapping[str, Any]) -> None:
    """Put `changes` into `knobs`, section by section; a list takes the place of the one before."""
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(knobs.get(name), dict):
            merge(knobs[name], value)
        else:
            knobs[name] = value


def drop_nulls(knobs: Any, *above: str) -> None:
    """Null takes a knob out, also one of the file's, unless it is the knob's value."""
    for name in list(knobs):
        if knobs[name] is None and not takes_null([*above, name]):
            del knobs[name]
        elif isinstance(knobs[name], dict):
            drop_nulls(knobs[name], *above, name)


class Experiment:
    """The worktree of one run and what becomes of it."""

    def __init__(self, root: Path, name: str) -> None:
        if not NAME.fullmatch(name):
            raise PlumblineError(f"run name {name!r}: use letters, digits, _ and - only; it names the experiment too")
        self.root = root
        self.name = name
        self.folder = root / ".runs" / name

    @contextmanager
    def worktree(self, params: str) -> Iterator[Path]:
        """A checkout of the workspace as it is, but with `params` for params.yaml; removed at the end."""
        if not git(self.root, "rev-parse", "--verify", "--quiet", "HEAD", check=False):
            raise PlumblineError(
                "a run with other knobs needs a git repository with a commit; edit params.yaml instead"
            )
        self.folder.parent.mkdir(exist_ok=True)
        with held(self.folder.with_suffix(".lock")) as free:
            if not free:
                raise PlumblineError(f"a run named {self.name} is under way; choose another --name")
            remove_abandoned(self.root)
            try:
                self._make(params)
                yield self.folder
            finally:
                drop(self.root, self.folder)

    def refuse_if_there_is_one(self) -> None:
        """An experiment of this name would be lost."""
        names = git(self.root, "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps").splitlines()
        if self.name in names:
            raise PlumblineError(f"{self.name}: there is an experiment of that name; choose another name for this run")

    def save(self, message: str) -> None:
        """Keep the worktree's knobs and results as a DVC experiment, and its report where a person finds it."""
        command = [sys.executable, "-m", "dvc", "--quiet", "exp", "save", "--force", "--name", self.name]
        command += ["--message", message]
        saved = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if saved.returncode:
            raise PlumblineError(f"the experiment could not be saved: {saved.stderr.strip()}")
        kept = self.root / ".runs" / f"{self.name}-report"
        kept.mkdir(exist_ok=True)
        for file in KEPT:
            if (self.folder / "artifacts/evaluate" / file).exists():
                shutil.copyfile(self.folder / "artifacts/evaluate" / file, kept / file)

    @property
    def report(self) -> Path:
        return self.root / ".runs" / f"{self.name}-report" / "report.html"

    def _make(self, params: str) -> None:
        drop(self.root, self.folder)
        git(self.root, "worktree", "add", "--quiet", "--detach", str(self.folder), "HEAD")
        edits = git(self.root, "diff", "--binary", "HEAD")
        if edits:
            git(self.folder, "apply", "--whitespace=nowarn", "-", text=edits + "\n")
        for name in git(self.root, "ls-files", "--others", "--exclude-standard", "-z").split("\0"):
            if (
                self.root / name
            ).is_file():  # a copy: the run may write to it, as DVC does to a dvc.lock that git does not know yet
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.root / name, self.folder / name)
        link(self.root / "data", self.folder / "data")  # a person's own rows, which git ignores
        local = self.root / ".dvc/config.local"
        if local.exists():
            shutil.copyfile(local, self.folder / ".dvc/config.local")
        with Repo(str(self.root)) as repository:
            cache = repository.cache.local_cache_dir
        with Repo(str(self.folder)) as repository, repository.config.edit("local") as config:
            config["cache"]["dir"] = cache
        # Before the results are brought: DVC would bring those of adapters that these knobs take off as well.
        (self.folder / "params.yaml").write_text(params, encoding="utf-8")
        with Repo(str(self.folder)) as repository:
            repository.checkout(allow_missing=True, force=True)


def link(source: Path, target: Path) -> None:
    """The same file, or the same files in a folder, at another place; without copies where the file system can."""
    if source.is_dir():
        for each in source.iterdir():
            link(each, target / each.name)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:
            shutil.copy2(source, target)


def git(folder: Path, *arguments: str, check: bool = True, text: str | None = None) -> str:
    """What git prints, decoded so that any bytes come back unchanged."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, input=text, capture_output=True, encoding="utf-8", errors="surrogateescape"
    )
    if check and done.returncode:
        raise PlumblineError(f"git {' '.join(arguments[:2])}: {' '.join(done.stderr.split())}")
    return done.stdout.strip("\n") if not done.returncode else ""


@contextmanager
def held(lock: Path) -> Iterator[bool]:
    """Hold a lock file while the block runs; False when another process holds it. A dead process holds none."""
    file: IO[str]
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def remove_abandoned(root: Path) -> None:
    """Remove the worktrees of runs that were killed."""
    for lock in (root / ".runs").glob("*.lock"):
        folder = lock.with_suffix("")
        with held(lock) as free:
            if free and folder.exists():
                drop(root, folder)


def drop(root: Path, folder: Path) -> None:
    """Remove a worktree and git's note of it."""
    shutil.rmtree(folder, ignore_errors=True)
    git(root, "worktree", "prune")
