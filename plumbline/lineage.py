"""Where a model, an adapter, a folder or a row comes from, and what was made from it.

python -m plumbline.lineage instruct@champion      a registered model: name@alias, name/version, or its name alone
python -m plumbline.lineage artifacts/instruct     a folder or file of a stage
python -m plumbline.lineage adapt@summarise        a stage
python -m plumbline.lineage dialogue-20-20-00851   a row of prepare: its id, or the SHA-256 of its line
python -m plumbline.lineage 28a3f7                 a digest, SHA-256 or DVC's, or its first six letters

Only what DVC and MLflow have recorded is read: dvc.lock, the sidecars beside the folders, the runs and the registry. Every
link of the present workspace is checked, and one that does not hold is marked; then the exit code is 1.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from plumbline.errors import ArtifactError, PlumblineError
from plumbline.registry import Registry
from plumbline.store import digest, read_json
from plumbline.tracking import DIGEST, digest_of, model_digest, sidecar_of, store_address

if TYPE_CHECKING:
    from plumbline.registry import ModelVersion

CODE = ("plumbline/", "tasks/")  # deps that are no data; the commit stands for them
SHORT = 12  # letters of a digest that are shown
LEAST = 6  # letters of a digest that are asked for
BROKEN = "✗"
SCORED = ("answers.jsonl", "scores.jsonl")  # where stages leave what they scored
RANKED = {  # what stages did with a ranking of a split
    ("reward", "train"): "trained on it",
    ("reward", "validation"): "validated on it",
    ("ppo", "train"): "trained on its prompt",
}


@dataclass
class Tree:
    """A line, and what hangs on it."""

    line: str
    below: list["Tree"] = field(default_factory=list)

    def lines(self, before: str = "", own: str = "") -> Iterator[str]:
        yield own + self.line
        for number, each in enumerate(self.below):
            last = number == len(self.below) - 1
            yield from each.lines(before + ("   " if last else "│  "), before + ("└─ " if last else "├─ "))


class Row(NamedTuple):
    """A row of stage prepare, and where it stands."""

    content: dict[str, Any]
    file: Path
    line: int
    sha256: str

    @property
    def split(self) -> str:
        return self.file.stem.rpartition("_")[2]


class Record:
    """What DVC and MLflow have recorded in the workspace at the present folder."""

    def __init__(self) -> None:
        try:
            self.stages: dict[str, Any] = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
        except (OSError, yaml.YAMLError, KeyError, TypeError):
            raise ArtifactError("dvc.lock: not there, or damaged; run the pipeline first (`make run`)") from None

    @cached_property
    def made(self) -> dict[str, dict[str, Any]]:
        """Stage -> path and md5 of the folder that it makes."""
        return {
            stage: next(out for out in spec["outs"] if not out["path"].endswith(".run.json"))
            for stage, spec in self.stages.items()
        }

    @cached_property
    def outs(self) -> dict[str, str]:
        """Stage -> the folder that it makes."""
        return {stage: str(out["path"]) for stage, out in self.made.items()}

    @cached_property
    def registry(self) -> "Registry | None":
        """MLflow's store; None where there is none, or where it cannot be reached, which a line says."""
        address = store_address()
        if address.startswith("sqlite:///") and not Path(address.removeprefix("sqlite:///")).exists():
            return None
        try:
            return Registry(address)
        except PlumblineError as error:
            print(f"{error}; what follows is from DVC alone", file=sys.stderr)
            return None

    @cached_property
    def runs(self) -> dict[str, Any]:
        """Every run of a stage in MLflow, by its id."""
        found: dict[str, Any] = {}
        page = ""
        while self.registry and page is not None:
            kept = self.registry
            some = kept.client.search_runs([kept.experiment], max_results=1000, page_token=page or None)
            found |= {run.info.run_id: run for run in some if "plumbline.stage" in run.data.tags}
            page = some.token
        return found

    @cached_property
    def versions(self) -> list["ModelVersion"]:
        """Every registered version, with its aliases."""
        if not self.registry:
            return []
        client = self.registry.client
        found = list(client.search_model_versions())
        for model in client.search_registered_models():
            for each in found:
                if each.name == model.name:
                    each.aliases.extend(a for a, v in model.aliases.items() if str(v) == str(each.version))
        return sorted(found, key=lambda each: (each.name, int(each.version)))

    def run_of(self, stage: str) -> str | None:
        """The id of the run that made a stage's folder, from its sidecar."""
        try:
            found = read_json(sidecar_of(Path(self.outs[stage]), stage.partition("@")[0]))["run_id"]
        except PlumblineError:
            return None
        return str(found) if found else None

    @cached_property
    def stage_of_run(self) -> dict[str, str]:
        return {run: stage for stage in self.stages if (run := self.run_of(stage))}

    def reads(self, stage: str) -> list[tuple[str, str, list[str]]]:
        """Path, DVC's digest, and the stages that made it, of all that a stage reads but its code."""
        deps = [dep for dep in self.stages[stage].get("deps", []) if not dep["path"].startswith(CODE)]
        return [(dep["path"], dep["md5"], self.narrowed(stage, self.makers(dep["path"]))) for dep in deps]

    def narrowed(self, stage: str, makers: list[str]) -> list[str]:
        """Of several folders that DVC takes as one, those that the stage has read by what it told MLflow."""
        told = [Path(source["uri"]) for source in self.inputs(self.run_of(stage))]
        named = [each for each in makers if any(Path(self.outs[each]) in (place, *place.parents) for place in told)]
        return named or makers

    def inputs(self, run: str | None) -> list[dict[str, str]]:
        """What a run has read, as MLflow knows it."""
        known = self.runs.get(run or "")
        return [json.loads(each.dataset.source) for each in known.inputs.dataset_inputs] if known else []

    def makers(self, path: str) -> list[str]:
        """The stages whose folders are this path, lie below it, or hold it."""
        place = Path(path)
        return [
            stage for stage, out in self.outs.items() if place in (Path(out), *Path(out).parents) or Path(out) in place.parents
        ]  # fmt: skip

    def weights(self, stage: str) -> str | None:
        """The digest under which a stage's model is registered."""
        folder = Path(self.outs[stage])
        return model_digest(folder) if stage.partition("@")[0] in ("instruct", "adapt") and folder.is_dir() else None


class Lineage:
    """The trees of one question."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.broken = 0
        self._shown: set[str] = set()
        self._now: dict[Path, str] = {}

    def origin(self, stage: str) -> Tree:
        """A stage of the workspace and all that it was made from."""
        tree = Tree(self.stage_line(stage))
        if self._first(f"from {stage}"):
            for path, md5, makers in self.record.reads(stage):
                recorded = self._check_read(stage, path, md5)
                if not makers:
                    tree.below.append(Tree(f"{path}  md5 {md5[:SHORT]}{recorded}"))
                for maker in makers:
                    tree.below.append(self.origin(maker))
                    tree.below[-1].line += recorded
        elif self.record.reads(stage):
            tree.line += "  (above)"
        return tree

    def uses(self, stage: str) -> list[Tree]:
        """What was made from a stage's folder: registered models, and further stages."""
        found = [Tree(self.version_line(each)) for each in self.versions_of(stage)]
        for user in self.record.stages:
            if any(stage in makers for _, _, makers in self.record.reads(user)):
                first = self._first(f"uses {user}")
                found.append(Tree(self.stage_line(user), self.uses(user) if first else []))
        return found

    def row_uses(self, row: Row) -> list[Tree]:
        """The stages that have read a row, by its split and task, and what was made from theirs."""
        found = []
        for user in self.record.stages:
            if any("prepare" in makers for _, _, makers in self.record.reads(user)) and (
                how := self.how_used(row, user)
            ):
                found.append(Tree(f"{self.stage_line(user)}  {how}", self.uses(user)))
        return found

    def how_used(self, row: Row, stage: str) -> str:
        """What a stage did with a row; empty if it did not use it."""
        folder = Path(self.record.outs[stage])
        if row.split == "test":
            for file in filter(Path.exists, (folder / name for name in SCORED)):
                with file.open(encoding="utf-8") as lines:
                    return "scored on it" if any(json.loads(line)["id"] == row.content["id"] for line in lines) else ""
            return ""
        if "pairs" in row.content:
            return RANKED.get((stage, row.split), "")
        if stage in ("reward", "ppo"):  # they read rankings alone
            return ""
        try:
            tasks = read_json(folder / "metrics.json").get("tasks", {})
        except PlumblineError:
            return ""
        learnt = "trained on it" if row.split == "train" else "validated on it"
        return learnt if row.content.get("task") in tasks else ""

    def run_origin(self, run: str, name: str) -> Tree:
        """A run that MLflow knows and all that it was made from; of runs of the workspace, what DVC knows as well."""
        if run in self.record.stage_of_run:
            return self.origin(self.record.stage_of_run[run])
        known = self.record.runs.get(run)
        if known is None:
            return Tree(f"{name}  run {run[:8]}, which this MLflow does not know")
        tree = Tree(run_line(known))
        if self._first(run):
            for source in self.record.inputs(run):
                line = f"{source['uri']}  sha256 {source['sha256'][:SHORT]}"
                made = [self.run_origin(source["run"], source["uri"])] if "run" in source else []
                tree.below.append(Tree(line, made))
        return tree

    def version(self, version: "ModelVersion") -> Tree:
        """A registered model and all that it was made from."""
        stage = next((each for each in self.record.stages if version in self.versions_of(each)), None)
        tree = Tree(self.version_line(version))
        if stage:
            tree.below.append(self.origin(stage))
        elif version.run_id:
            tree.below.append(self.run_origin(version.run_id, version.name))
        return tree

    def versions_of(self, stage: str) -> list["ModelVersion"]:
        """The versions that hold the weights of a stage's folder."""
        weights = self.record.weights(stage) if self.record.versions else None
        return [each for each in self.record.versions if weights and each.tags.get(DIGEST) == weights]

    def version_line(self, version: "ModelVersion") -> str:
        aliases = f" ({', '.join(sorted(version.aliases))})" if version.aliases else ""
        line = f"{version.name}/{version.version}{aliases}  weights {version.tags.get(DIGEST, '')[:SHORT]}"
        copy = Path(str(version.source).removeprefix("file://"))
        if not copy.is_absolute():  # a server keeps the files; they are checked where the model is loaded
            return line
        if not (copy / "registered.json").exists():
            return line + self._mark("its files are gone from MLflow")
        files = read_json(copy / "registered.json")["digests"]
        changed = [name for name, each in files.items() if not (copy / name).exists() or digest(copy / name) != each]
        if changed or digest_of(files) != version.tags.get(DIGEST):
            line += self._mark(f"{(changed or ['registered.json'])[0]} changed since it was registered")
        return line

    def stage_line(self, stage: str) -> str:
        """A stage, its folder, digest, run and commit; and whether the folder is still what DVC has recorded."""
        path, md5 = Path(self.record.outs[stage]), self.record.made[stage]["md5"]
        line = f"{stage}  {path}  md5 {md5[:SHORT]}"
        run = self.record.run_of(stage)
        known = self.record.runs.get(run or "")
        if run:
            line += f"  run {run[:8]}" + (f"  {commit_of(known)}" if known else " (not in this MLflow)")
        if not path.exists():
            return line + self._mark("is gone")
        if (now := self._digest(path)) != md5:
            line += self._mark(f"changed since dvc.lock, is now {now[:SHORT]}")
        return line

    def _check_read(self, stage: str, path: str, md5: str) -> str:
        """A mark where a stage was made from something else than what is there now, or than MLflow has recorded."""
        if Path(path).exists() and self._digest(Path(path)) != md5:
            return self._mark(f"{stage} read another {path}, {md5[:SHORT]}")
        for source in self.record.inputs(self.record.run_of(stage)):
            if source["uri"] == path and source.get("md5", md5) != md5:
                return self._mark(f"MLflow has recorded another {path}, {source['md5'][:SHORT]}")
        return ""

    def _digest(self, path: Path) -> str:
        """DVC's digest of what is there now, computed once."""
        if path not in self._now:
            self._now[path] = dvc_digest(path)
        return self._now[path]

    def _mark(self, text: str) -> str:
        self.broken += 1
        return f"  {BROKEN} {text}"

    def _first(self, what: str) -> bool:
        """Whether this is shown for the first time; then with all that hangs on it."""
        new = what not in self._shown
        self._shown.add(what)
        return new


def commit_of(run: Any) -> str:
    tags = run.data.tags
    commit = tags.get("mlflow.source.git.commit", "")[:7] or "none"
    return f"commit {commit}" + (" and edits" if tags.get("git.dirty") == "true" else "")


def run_line(run: Any) -> str:
    return f"{run.info.run_name}  run {run.info.run_id[:8]}  {commit_of(run)}"


def dvc_digest(path: Path) -> str:
    """The digest that DVC gives a file or folder."""

    def md5(content: bytes) -> str:
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    if path.is_file():
        with path.open("rb") as content:
            return hashlib.file_digest(content, "md5").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    entries = [{"md5": dvc_digest(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    entries.sort(key=lambda entry: entry["relpath"])
    return md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def rows(folder: Path) -> Iterator[Row]:
    """Every row that stage prepare has let through."""
    for file in sorted(folder.glob("*.jsonl")):
        if file.stem.endswith(("train", "validation", "test")):
            with file.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    yield Row(json.loads(line), file, number, hashlib.sha256(line.rstrip(b"\n")).hexdigest())


def answer(record: Record, what: str) -> tuple[Tree, int]:
    """The tree that leads from `what` back and forward, and how many links do not hold.

    Raises ArtifactError when nothing is called so, or several things are.
    """
    lineage = Lineage(record)
    found = [*stages_called(record, what), *versions_called(record, what)]
    if not found and (row := row_called(record, what)):
        source = f"{row.content['source_file']}:{row.content['source_line']}"
        line = f"row {row.content['id']}  sha256 {row.sha256[:SHORT]}  {row.file}:{row.line}  from {source}"
        made_by = Tree("made by", [lineage.origin("prepare")])
        return Tree(line, [made_by, Tree("led to", lineage.row_uses(row))]), lineage.broken
    if not found:
        raise ArtifactError(
            f"{what}: no stage, folder, registered model, row or digest is called so here; stages: "
            f"{', '.join(record.stages)}"
        )
    if len(found) > 1:
        names = ", ".join(each if isinstance(each, str) else f"{each.name}/{each.version}" for each in found)
        raise ArtifactError(f"{what}: means several things: {names}; name one")
    stage: str | None
    if not isinstance(found[0], str):
        stage = next((each for each in record.stages if found[0] in lineage.versions_of(each)), None)
        tree = lineage.version(found[0])
        back = Tree("made by", tree.below)
    else:
        stage = found[0]
        tree = lineage.origin(stage)
        back = Tree("made from", tree.below)
    forward = Tree("led to", lineage.uses(stage) if stage else [])
    return Tree(tree.line, [each for each in (back, forward) if each.below]), lineage.broken


def stages_called(record: Record, what: str) -> list[str]:
    """The stage of this name, folder or digest."""
    place = Path(os.path.relpath(what)) if Path(what).is_absolute() else Path(what)
    named = [stage for stage, out in record.outs.items() if what == stage or Path(out) in (place, *place.parents)]
    if named or not is_digest(what):
        return named
    return [stage for stage, out in record.made.items() if out["md5"].startswith(what)]


def versions_called(record: Record, what: str) -> list["ModelVersion"]:
    """The registered version of this name and alias or number, or of this digest; of a name alone the newest."""
    if is_digest(what):
        return [each for each in record.versions if each.tags.get(DIGEST, "").startswith(what)]
    called = re.fullmatch(r"([\w.]+)(?:@(\w+)|/(\d+))?", what)
    if not called or what in record.stages:
        return []
    name, alias, number = called.groups()
    known = [each for each in record.versions if each.name == name]
    if alias or number:
        return [each for each in known if alias in each.aliases or str(each.version) == number]
    return known[-1:]


def row_called(record: Record, what: str) -> Row | None:
    """The row of this id, or of this digest."""
    if "prepare" not in record.outs:
        return None
    by_digest = is_digest(what)
    for row in rows(Path(record.outs["prepare"])):
        if row.content["id"] == what or (by_digest and row.sha256.startswith(what)):
            return row
    return None


def is_digest(text: str) -> bool:
    return re.fullmatch(rf"[0-9a-f]{{{LEAST},64}}", text) is not None


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code is 1 when a link does not hold, or nothing is found."""
    parser = argparse.ArgumentParser(
        prog="python -m plumbline.lineage", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what")
    try:
        tree, broken = answer(Record(), parser.parse_args(arguments).what)
    except PlumblineError as error:
        print(error, file=sys.stderr)
        return 1
    print(*tree.lines(), sep="\n")
    if broken:
        print(f"\n{broken} links do not hold ({BROKEN})", file=sys.stderr)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
