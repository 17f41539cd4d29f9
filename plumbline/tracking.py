"""What MLflow records: one run per stage, below one parent run per pipeline run.

What is to be recorded goes into a journal on the disk, and from there to MLflow in a thread of its own, which also pays
for the import of mlflow, so that a training loop never waits for the store. When the store cannot be reached, one line
says so, the stage goes on, and what has not arrived is tried again, by this stage, by the next, or by
`python -m plumbline.tracking`. A stage that goes on after it was killed goes on with its journal, hence with its run.
docs/stages.md explains every tag, parameter and metric.
"""

import errno
import fcntl
import getpass
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from plumbline.checkpoints import Checkpoints, place
from plumbline.errors import PlumblineError
from plumbline.stage import dvc_above
from plumbline.store import digest, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Metric

EXPERIMENT = "plumbline"
PIPELINE = "PLUMBLINE_PIPELINE"  # set by a flow: the id that the stages of one pipeline run share
PIPELINE_NAME = "PLUMBLINE_PIPELINE_NAME"  # set by a flow: what people call that run
BATCH = 1000  # metrics that MLflow takes in one request
PATIENCE = 3.0  # seconds that the end of a stage waits for a server that does not answer
PATIENCE_AT_HOME = 60.0  # for a store on this machine, which is at work: making a new one takes seconds
BUSY = "database is locked"  # by another process: so says SQLite when it has waited in vain, and it passes
PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between two sendings, doubled at every failure
NOT_THE_MODEL = ("curves.csv", "metrics.json", "README.md")  # of a folder of weights
DIGEST = "plumbline.digest"  # the tag of a copy of weights in MLflow
WATCHED_EVERY = 10.0  # seconds between two looks at the machine
SYSTEM = "system/"  # begins the names that MLflow's page of system metrics looks for
REFUSED = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")  # what no second try would change


@contextmanager
def track(stage: str, params: BaseModel, checkpoints: Checkpoints | None = None) -> "Iterator[Run]":
    """Record the block as the run of `stage` with its knobs; finished, failed or killed as the block ends.

    With the `checkpoints` of a stage that goes on where it was killed, its run in MLflow goes on too.
    """
    run = Run(stage, params, checkpoints)
    try:
        yield run
    except Exception:
        run.close("FAILED")
        raise
    except BaseException:
        run.close("KILLED")
        raise
    run.close("FINISHED")


class Run:
    """The record of one stage while it runs."""

    def __init__(self, stage: str, params: BaseModel, checkpoints: Checkpoints | None = None) -> None:
        self.stage = stage
        self.started = time.monotonic()
        self.sidecar: Path | None = None
        self._goes_on = checkpoints is not None
        address = store_address()
        store = hashlib.sha256(address.encode()).hexdigest()[:8]  # a run goes on where it began
        self._journal = Journal(checkpoints.folder / f"journal-{store}.jsonl" if checkpoints else left() / new_name())
        self._journal.add(
            do="open",
            id=uuid.uuid4().hex,
            stage=stage,
            name=stage_name(stage),
            began=now(),
            knobs={f"{stage}.{name}": value for name, value in flatten(params.model_dump()).items()},
            surroundings=surroundings(),
            pipeline=pipeline(),
            address=address,
        )
        self._sender = Sender(stage, self._journal)
        self._sender.start()
        self._watcher = Watcher(self._journal)
        self._watcher.start()

    def input(self, name: str, path: Path) -> None:
        """Name a file or folder that the stage reads.

        It is recorded with its digest and, where known, with DVC's and with the id of the run that made it.
        """
        source = {"uri": path.as_posix(), "sha256": digest(path), **dvc_hash(path), **maker(path)}
        self._journal.add_once(do="input", name=name, source=source, kind="file" if path.is_file() else "folder")

    def step(self, step: int, **metrics: float) -> None:
        """One point of each curve, for good: told again after a restart, it keeps its first time and value.

        Points are sent about once a second; a loop never waits for it.
        """
        when = now()
        self._journal.add_points([(allowed(name), float(value), when, step) for name, value in metrics.items()])

    def artifact(self, path: Path) -> None:
        """Keep a copy of a file, or of a folder's files, with the run."""
        self._sender.copy(lambda store: store.artifact(path))

    def model(self, folder: Path) -> None:
        """Keep a copy of a folder of weights and tokenizer as the model that this stage made."""
        self._sender.copy(lambda store: store.model(stage_name(self.stage), folder))

    def then(self, work: "Callable[[Store], object]") -> None:
        """Have `work` done with the store once all that came before has arrived; left out where the store is away."""
        self._sender.copy(lambda store: store.then(work))

    def finish(self, folder: Path, **metrics: Any) -> None:
        """Log the final metrics, write them to `folder/metrics.json` unless the stage has, and wait for the store.

        Metrics may be nested; MLflow gets them with the names joined by dots. Nothing here depends on the clock
        or on the run, so that equal results give equal bytes.
        """
        if not (folder / "metrics.json").exists():
            write_json(folder / "metrics.json", metrics)
        self.sidecar = sidecar_of(folder, self.stage)
        numbers = {name: float(value) for name, value in flatten(metrics).items() if isinstance(value, int | float)}
        self._journal.add_once(do="results", numbers=numbers, when=now())
        self._sender.drain()  # the files that artifact() and model() copy are still where they were
        self._sender.forget_copies()

    def close(self, status: str) -> None:
        """End the run; after success, write the sidecar, which leads from DVC's stage to MLflow's run."""
        self._watcher.end()
        facts = {"seconds": round(time.monotonic() - self.started, 3), **memory()}
        if status == "FINISHED" and self.sidecar is None:
            raise ValueError(f"{self.stage}: run.finish(folder, ...) was never called")
        with suppress(OSError):  # a full disk has ended the stage, or lets it keep what counts
            self._journal.add(do="end", status=status, facts=facts, when=now())
        arrived = self._sender.end()
        self._journal.close()
        if arrived and (status == "FINISHED" or not self._goes_on):
            self._journal.path.unlink()
        elif status == "FINISHED" and self._goes_on:
            left().mkdir(parents=True, exist_ok=True)
            self._journal.path.rename(left() / new_name())
        if status == "FINISHED" and self.sidecar:
            ids = {"experiment": EXPERIMENT, "run_id": self._journal.run, "parent_run_id": self._journal.parent}
            self.sidecar.unlink(missing_ok=True)  # it may be a hard link into DVC's cache, which must not change
            write_json(self.sidecar, {"stage": stage_name(self.stage), **ids, **facts})


class Journal:
    """What MLflow is to know of one run: a file of JSON lines, each there before it is sent.

    To MLflow a point is the same if name, step, time and value are; sent twice, it counts once. So a point that
    stands here is never written anew, and whoever sends these lines again does no harm.
    """

    def __init__(self, path: Path, wait: bool = True) -> None:
        """Open the journal at `path` for this process alone; without `wait`, BlockingIOError if another has it."""
        self.path = path
        self.entries: list[dict[str, Any]] = []  # in the order in which MLflow is to get them
        self.sent = 0  # of the entries
        self.run: str | None = None
        self.parent: str | None = None
        self._points: set[tuple[str, int]] = set()
        self._turn = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            self._file.close()
            raise
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))  # of a line that a killed process was writing, the beginning is left
        for line in whole.splitlines():
            with suppress(ValueError):  # a damaged line costs what it said
                self._take(json.loads(line))
        self.found = bool(self.entries)  # those of an earlier process

    def add(self, **entry: Any) -> None:
        self._write(entry)

    def add_once(self, **entry: Any) -> None:
        """Add, unless an earlier life of the stage has said the same."""
        same = [each for each in self.entries if (each["do"], each.get("name")) == (entry["do"], entry.get("name"))]
        if not same:
            self._write(entry)

    def add_points(self, points: list[tuple[str, float, int, int]]) -> None:
        new = [point for point in points if (point[0], point[3]) not in self._points]
        if new:
            self._write({"do": "points", "points": new})

    def last_step(self, prefix: str) -> int:
        """The last step of the points whose names begin so; -1 without any."""
        return max((step for name, step in self._points if name.startswith(prefix)), default=-1)

    def opening(self) -> dict[str, Any]:
        """The entry that opened the run for the one that is to be sent next."""
        return next(each for each in reversed(self.entries[: self.sent + 1]) if each["do"] == "open")

    def waiting(self) -> list[dict[str, Any]]:
        """The next entries to send: points that fit into one request, or one of another kind."""
        found: list[dict[str, Any]] = []
        points = 0
        for entry in self.entries[self.sent : self.sent + BATCH]:
            points += len(entry.get("points", ()))
            if found and (found[0]["do"] != "points" or entry["do"] != "points" or points > BATCH):
                break
            found.append(entry)
        return found

    def born(self, run: str, parent: str | None) -> None:
        """Note the ids that MLflow has given to the run and its parent."""
        self._write({"run": run, "parent": parent})

    def arrived(self, entries: int) -> None:
        self._write({"sent": self.sent + entries})

    def sync(self) -> None:
        """Wait until all that is written is on the disk: a point that MLflow has must not get another time."""
        with self._turn:
            if self.closed:
                return
            descriptor = os.dup(self._file.fileno())
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        with self._turn:
            self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        with self._turn:
            if self._file.closed:
                raise OSError(errno.EBADF, "closed", str(self.path))  # by the end of the stage, which went on
            try:
                self._file.write(json.dumps(line).encode() + b"\n")
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "sent" in line:
            self.sent = line["sent"]
        elif "run" in line:
            self.run, self.parent = line["run"], line["parent"]
        else:
            self.entries.append(line)
            self._points |= {(point[0], point[3]) for point in line.get("points", ())}


class Delivery:
    """Brings the entries of a journal to MLflow, in order."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.store: Store | None = None
        self.again = journal.found  # an earlier try may have got through to the store
        self.asked: float | None = None  # when the request began that the store has not answered yet

    def send(self) -> None:
        """Send all that has not arrived. Raises what the store raises; then it may be called again."""
        while entries := self.journal.waiting():
            self.asked = time.monotonic()
            self.journal.sync()
            try:
                self._one(entries)
            except Exception as error:
                if getattr(error, "error_code", None) not in REFUSED or entries[0]["do"] == "open":
                    raise
                complain(self.journal.opening()["stage"], f"MLflow does not take this: {first_line(error)}")
            self.journal.arrived(len(entries))
            self.asked = None

    def finish(self) -> str | None:
        """Send all of a journal whose stage has ended, and remove it; if that fails, why."""
        try:
            self.send()
        except store_errors() as error:
            return first_line(error)
        self.journal.path.unlink()
        return None

    def _one(self, entries: list[dict[str, Any]]) -> None:
        opening, entry = self.journal.opening(), entries[0]
        if self.store is None or entry is opening:
            again, self.again = self.again, True
            self.store = Store(opening, self.journal.entries[0], self.journal.run, again)
            self.journal.born(self.store.run, self.store.parent)
        match entry["do"]:
            case "points":
                self.store.points([point for each in entries for point in each["points"]])
            case "input":
                self.store.input(entry["name"], entry["source"], entry["kind"])
            case "results":
                self.store.results(opening["name"], entry["numbers"], entry["when"])
            case "end":
                self.store.end(opening["name"], entry["status"], entry["facts"], entry["when"])


class Sender(threading.Thread):
    """Sends a stage's journal while the stage runs, and then what earlier stages have left.

    A daemon, for a store that does not answer must not keep the process from ending.
    """

    def __init__(self, stage: str, journal: Journal) -> None:
        super().__init__(name="mlflow", daemon=True)
        self.stage = stage
        self._delivery = Delivery(journal)
        self._current = self._delivery
        self._copies: list[Callable[[Store], None]] = []
        self._wake = threading.Event()
        self._failures = 0
        self._asked = self._gave_up = 0  # how often somebody has waited, and for which of these all was tried in vain
        self._ending = self._looked = False
        self._hurry: float | None = None  # since when the stage waits
        self._mistake: BaseException | None = None

    def copy(self, work: "Callable[[Store], None]") -> None:
        """Have files copied once all that came before has arrived."""
        self._copies.append(work)
        self._wake.set()

    def forget_copies(self) -> None:
        """Their files are about to get another name; those that MLflow has not got are in DVC's cache alone."""
        self._copies.clear()

    def drain(self) -> bool:
        """Wait until all has arrived; False if a try that began after this call fails, or is not answered in time.

        A store on this machine that is busy with others is tried again for as long as the end of a stage waits.
        """
        self._hurry = self._hurry or time.monotonic()
        self._asked += 1
        asked = self._asked
        self._wake.set()
        while not self._done():
            over = self._gave_up >= asked or not self.is_alive() or self._hung(self._hurry)
            if self._mistake:
                raise self._mistake
            if over:
                return self._done()  # the thread may have sent the last and ended since
            time.sleep(0.005)
        return True

    def end(self) -> bool:
        """Send the rest, end the thread, and say whether all has arrived."""
        self._ending = True
        arrived = self.drain()
        while self.is_alive() and arrived and self._hurry and not self._hung(self._hurry):
            self._wake.set()
            self.join(0.005)
        return arrived

    def run(self) -> None:
        pause = PAUSE
        try:
            errors = store_errors()
            while True:
                ending, asked, again = self._ending, self._asked, False  # as this try begins
                try:
                    self._send()
                    pause = PAUSE
                except errors as error:
                    self._failed(error)
                    again = BUSY in str(error) and self._has_time()
                    pause = PAUSE if again else min(2 * pause, LONGEST_PAUSE)
                    if not again:
                        self._gave_up = asked
                if ending and not again:
                    return
                self._wake.wait(pause)
                self._wake.clear()
        except BaseException as error:
            self._mistake = error

    def _send(self) -> None:
        self._delivery.send()
        while waiting := self._copies[:1]:
            assert self._delivery.store is not None
            waiting[0](self._delivery.store)
            with suppress(IndexError):  # forgotten meanwhile
                self._copies.pop(0)
        if not self._looked:
            self._looked = True
            for journal in journals_left(self._delivery.journal.opening()["address"]):
                self._current = Delivery(journal)
                self._current.finish()
            self._current = self._delivery

    def _failed(self, error: Exception) -> None:
        self._delivery.asked, self._current = None, self._delivery
        if not self._failures and not self._delivery.journal.closed:
            complain(self.stage, f"MLflow does not record this, it is sent later: {first_line(error)}")
        self._failures += 1

    def _done(self) -> bool:
        return not self._copies and not self._delivery.journal.waiting()

    def _hung(self, since: float) -> bool:
        asked = self._current.asked
        patience = PATIENCE_AT_HOME if self._at_home() else PATIENCE
        return asked is not None and time.monotonic() - max(asked, since) > patience

    def _has_time(self) -> bool:
        """Whether a store on this machine may be tried again before the stage ends."""
        return self._at_home() and time.monotonic() - (self._hurry or time.monotonic()) < PATIENCE_AT_HOME

    def _at_home(self) -> bool:
        return not self._current.journal.entries[0]["address"].startswith("http")


class Watcher(threading.Thread):
    """Notes every ten seconds, and when the stage ends, how busy the machine is, as MLflow itself would."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(name="watcher", daemon=True)
        self._journal = journal
        self._step = journal.last_step(SYSTEM) + 1
        self._ended = threading.Event()

    def run(self) -> None:
        import psutil

        psutil.cpu_percent()  # from here on, the next call says how busy the machine was since
        with suppress(OSError):  # a full disk, which the stage itself meets, or a journal that is closed
            while not self._ended.wait(WATCHED_EVERY):
                self._look()
            self._look()

    def _look(self) -> None:
        when = now()
        self._journal.add_points([(SYSTEM + name, value, when, self._step) for name, value in machine().items()])
        self._step += 1

    def end(self) -> None:
        self._ended.set()
        self.join()


class Store:
    """One run in MLflow and its parent; lives in the recording thread."""

    def __init__(self, opening: Mapping[str, Any], first: Mapping[str, Any], run: str | None, again: bool) -> None:
        """The store of a run that begins with `opening`, or goes on with it after it began with `first`.

        `again` says that an earlier try may have made the run, though nobody has noted its id.
        """
        from mlflow.entities import Param

        self.address = opening["address"]
        self.client, self.experiment = connect(self.address)
        with one_at_a_time(self.address):  # two stages at once must not create the parent twice
            self.parent = parent(self.client, self.experiment, opening)
            tags = {"plumbline.stage": opening["stage"], "plumbline.journal": first["id"], **opening["surroundings"]}
            if self.parent:
                tags["mlflow.parentRunId"] = self.parent
            if opening["name"] != opening["stage"]:
                tags["dvc.stage"] = opening["name"]
            if again and not run:
                run = run_tagged(self.client, self.experiment, "plumbline.journal", first["id"])
            self.run = run or self.client.create_run(self.experiment, first["began"], tags, opening["name"]).info.run_id
        if again:
            self.client.update_run(self.run, status="RUNNING")
            if self.parent:
                self.client.set_tag(self.run, "mlflow.parentRunId", self.parent)
        params = [Param(name, text(value)) for name, value in opening["knobs"].items()]
        self.client.log_batch(self.run, params=params)
        if self.parent:
            self.client.update_run(self.parent, status="RUNNING")
            # A knob may have been changed since another stage began: each keeps what it was told, the parent the first.
            known = self.client.get_run(self.parent).data.params
            self.client.log_batch(self.parent, params=[each for each in params if each.key not in known])

    def input(self, name: str, source: Mapping[str, str], kind: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=source["uri"],
            digest=source["sha256"][:32],
            source_type=kind,
            source=json.dumps(source, sort_keys=True),
        )
        self.client.log_inputs(self.run, [DatasetInput(dataset, [InputTag("mlflow.data.context", name)])])
        if "md5" in source:
            self.client.set_tag(self.run, f"dvc.md5.{name}", source["md5"])

    def points(self, points: list[tuple[str, float, int, int]]) -> None:
        from mlflow.entities import Metric

        self._metrics(self.run, [Metric(name, value, when, step) for name, value, when, step in points])

    def results(self, stage: str, numbers: Mapping[str, float], when: int) -> None:
        """Final numbers: on the stage's run, and with the stage's name before them on the parent, to compare runs.

        A variant has its own name there, `adapt.summarise`. The ends of intervals stay with the stage: beside the
        values they would triple what a person compares.
        """
        from mlflow.entities import Metric

        self._metrics(self.run, [Metric(allowed(name), value, when, 0) for name, value in numbers.items()])
        if self.parent:
            before = stage.replace("@", ".")
            kept = {name: value for name, value in numbers.items() if not name.endswith((".low", ".high"))}
            named = {allowed(f"{before}.{name}"): value for name, value in kept.items()}
            self._metrics(self.parent, [Metric(name, value, when, 0) for name, value in named.items()])

    def artifact(self, path: Path) -> None:
        if path.is_dir():
            self.client.log_artifacts(self.run, str(path), path.name)
        else:
            self.client.log_artifact(self.run, str(path))

    def model(self, name: str, folder: Path) -> None:
        from mlflow.entities import LoggedModelOutput

        for made in self.client.search_logged_models([self.experiment], f"source_run_id = '{self.run}'"):
            if made.status != "READY":  # an earlier try was killed while it copied
                self.client.delete_logged_model(made.model_id)
        model = keep(self.client, self.experiment, name, folder, self.run)
        noted = self.client.get_run(self.run).outputs
        if model.model_id not in [each.model_id for each in noted.model_outputs]:  # MLflow refuses it a second time
            self.client.log_outputs(self.run, [LoggedModelOutput(model.model_id, 0)])

    def then(self, work: "Callable[[Store], object]") -> None:
        work(self)

    def end(self, stage: str, status: str, facts: Mapping[str, float], when: int) -> None:
        self.results(stage, facts, when)
        self.client.set_terminated(self.run, status, when)
        if self.parent:  # it ends with its last stage, whichever that will be
            self.client.set_terminated(self.parent, status, when)

    def _metrics(self, run: str, metrics: "list[Metric]") -> None:
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run, metrics=metrics[start : start + BATCH])


def left() -> Path:
    """Where the journals are of stages that nothing brings to go on: those running, and those MLflow did not take."""
    return place() / "journal"


def new_name() -> str:
    return f"{uuid.uuid4().hex}.jsonl"


def journals_left(address: str | None) -> "Iterator[Journal]":
    """The journals whose stages have ended before all had arrived at the store at `address`, or at any store."""
    for path in sorted(left().glob("*.jsonl")):
        try:
            journal = Journal(path, wait=False)
        except BlockingIOError:  # its stage is running
            continue
        with closing(journal):
            if journal.entries and address in (None, journal.entries[0]["address"]):
                yield journal


def send_left() -> int:
    """Send all journals that wait, to whichever store each is for; the exit code."""
    store_address()  # a password in it goes where MLflow looks
    failed = 0
    for journal in journals_left(None):
        opening = journal.entries[0]
        reason = Delivery(journal).finish()
        failed += reason is not None
        place_of = opening["address"]
        print(f"{opening['name']}: " + (f"not sent to {place_of}: {reason}" if reason else f"sent to {place_of}"))
    return min(failed, 1)


def store_errors() -> tuple[type[Exception], ...]:
    """What MLflow raises about a store; of a database it lets some errors through as they are."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return MlflowException, SQLAlchemyError, OSError


def complain(stage: str, text: str) -> None:
    print(f"{stage}: {text}", file=sys.stderr)


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def now() -> int:
    """The time in MLflow's unit, milliseconds."""
    return time.time_ns() // 1_000_000


def sidecar_of(folder: Path, stage: str) -> Path:
    """Where the sidecar of a stage's folder stands: beside it, also while the folder has its temporary name.

    That of a variant stands beside the folder of all variants, which a later stage may read as a whole.
    """
    name = re.sub(r"^\.(.+)\.unfinished-\w+$", r"\1", folder.name)
    if folder.parent.name == stage:
        return folder.parent.with_name(f"{stage}.{name}.run.json")
    return folder.with_name(f"{name}.run.json")


def stage_name(stage: str) -> str:
    """The stage as DVC calls it, which for a stage with variants names the variant: `pretrain@causal`."""
    return os.environ.get("DVC_STAGE", stage)


def store_address() -> str:
    """The address of the store, without a password: that stays in the environment, where MLflow reads it too.

    Addresses get into journals, logs and links. Raises PlumblineError where the password can go nowhere else.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI") or local_address()
    parts = urlsplit(given)
    if "@" not in parts.netloc:
        return given
    if not parts.scheme.startswith("http"):
        raise PlumblineError("MLFLOW_TRACKING_URI: take the password out, and let a tracking server open the database")
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    os.environ["MLFLOW_TRACKING_URI"] = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return os.environ["MLFLOW_TRACKING_URI"]


def local_address() -> str:
    """The store of this repository. Absolute: MLflow would resolve a relative one against each reader's folder."""
    return f"sqlite:///{Path('mlruns/mlflow.db').resolve()}"


def connect(address: str) -> "tuple[MlflowClient, str]":
    """A client of the store at `address`, which is made if it is not there yet, and the id of the experiment."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # the default tries for minutes; see Sender
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    quiet()
    with one_at_a_time(address):  # two stages at once must not create the store twice
        client = MlflowClient(address)
        return client, experiment(client, address)


def experiment(client: "MlflowClient", address: str) -> str:
    """The id of the project's experiment, created at the first run, with its artifacts beside a local store."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    place = None
    if address.startswith("sqlite:///"):
        place = str(Path(address.removeprefix("sqlite:///")).parent / "artifacts")
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))


def model_files(folder: Path) -> dict[str, Path]:
    """The files of a model in a stage's folder, or of an adapter, by their names: the weights and what reads them."""
    inner = folder / "model" if (folder / "model").is_dir() else folder
    files = (file for file in sorted(inner.rglob("*")) if file.is_file() and file.name not in NOT_THE_MODEL)
    return {file.relative_to(inner).as_posix(): file for file in files}


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a model or adapter."""
    return {name: digest(file) for name, file in model_files(folder).items()}


def model_digest(folder: Path) -> str:
    """SHA-256 of a model or adapter, the same wherever it lies."""
    return digest_of(file_digests(folder))


def digest_of(digests: Mapping[str, str]) -> str:
    """SHA-256 of a model of whose files these are the digests."""
    return hashlib.sha256("".join(f"{name} {each}\n" for name, each in digests.items()).encode()).hexdigest()


def keep(client: "MlflowClient", experiment: str, name: str, folder: Path, run: str | None) -> "LoggedModel":
    """MLflow's copy of a model's files: the one it has, or one made now, for `run`."""
    weights = model_digest(folder)
    for known in client.search_logged_models([experiment], f"tags.`{DIGEST}` = '{weights}'"):
        if known.status == "READY":  # MLflow's filter does not know the word
            return known
    model = client.create_logged_model(experiment, re.sub(r"\W", "-", name), run, {DIGEST: weights})
    for path, file in model_files(folder).items():
        client.log_model_artifact(model.model_id, str(file), path.rpartition("/")[0] or None)
    return client.finalize_logged_model(model.model_id, "READY")


def parent(client: "MlflowClient", experiment: str, opening: Mapping[str, Any]) -> str | None:
    """The id of the pipeline's run, found by its key or begun now; None for a stage that runs by itself."""
    key, name = opening["pipeline"]
    if key is None:
        return None
    tags = {"plumbline.pipeline": key, **opening["surroundings"]}
    found = run_tagged(client, experiment, "plumbline.pipeline", key)
    return found or str(client.create_run(experiment, opening["began"], tags, name).info.run_id)


def run_tagged(client: "MlflowClient", experiment: str, tag: str, value: str) -> str | None:
    """The id of the run with this tag, if there is one."""
    found = client.search_runs([experiment], f"tags.`{tag}` = '{value}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def pipeline_runs(key: str, address: str) -> tuple[str, str | None, str | None]:
    """Ids at the store at `address`: the experiment, the pipeline run with this key, and the pipeline run before it."""
    from mlflow import MlflowClient

    quiet()
    client = MlflowClient(address)
    found = experiment(client, address)
    newest = client.search_runs([found], "tags.`plumbline.pipeline` != ''", max_results=50)
    keys = [run.data.tags["plumbline.pipeline"] for run in newest]
    ids: list[str] = [run.info.run_id for run in newest]
    place = keys.index(key) if key in keys else None
    if place is None:
        return found, None, None
    return found, ids[place], ids[place + 1] if place + 1 < len(ids) else None


def end_pipeline(key: str, status: str) -> None:
    """Give the pipeline run with this key, if any stage of it ran, the status that it has as a whole.

    Its stages give it theirs, one after another, and one that was killed gives none.
    """
    from mlflow import MlflowClient

    address = store_address()
    if this := pipeline_runs(key, address)[1]:
        MlflowClient(address).set_terminated(this, status)


def pipeline() -> tuple[str | None, str]:
    """Key and name of the pipeline run that this stage belongs to.

    A flow gives both in the environment. Under plain `dvc repro`, the outermost dvc process stands for the
    pipeline run: its id and the moment of its start, as ids come again.
    """
    if key := os.environ.get(PIPELINE):
        return key, os.environ.get(PIPELINE_NAME, key)
    above = dvc_above()
    if not above:
        return None, ""
    outermost = above[-1]
    started = datetime.fromtimestamp(outermost.create_time())
    return f"dvc-{outermost.pid}-{outermost.create_time():.2f}", f"dvc {started:%Y-%m-%d %H:%M:%S}"


def surroundings() -> dict[str, str]:
    """Tags that say where a run came from: user, commit, and whether the code differed from it."""
    tags = {"mlflow.user": getpass.getuser(), "mlflow.source.name": "plumbline", "mlflow.source.type": "PROJECT"}
    commit = git("rev-parse", "HEAD")
    if commit:
        # every stage changes dvc.lock; that alone is no edit
        edited = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)dvc.lock")
        tags |= {"mlflow.source.git.commit": commit, "git.dirty": str(bool(edited)).lower()}
    return tags


def git(*arguments: str) -> str:
    """What git says, or nothing where there is no repository."""
    try:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def dvc_hash(path: Path) -> dict[str, str]:
    """DVC's md5 of an earlier stage's output, from dvc.lock; empty where DVC does not know the path."""
    import yaml

    try:
        stages = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))["stages"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return {}
    for stage in stages.values():
        for out in stage.get("outs", []):
            if out["path"] == path.as_posix() and "md5" in out:
                return {"md5": out["md5"]}
    return {}


def maker(path: Path) -> dict[str, str]:
    """The id of the run that made a file or folder, from the sidecar beside the stage's folder that it lies in."""
    for folder in (path, *path.parents):
        for sidecar in (f"{folder}.run.json", f"{folder.parent}.{folder.name}.run.json"):  # of a stage, of a variant
            with suppress(OSError, ValueError):
                run = json.loads(Path(sidecar).read_text(encoding="utf-8"))["run_id"]
                return {"run": run} if run else {}
    return {}


def machine() -> dict[str, float]:
    """How busy the machine is, by the names that MLflow gives its system metrics; psutil gives CPU since the last call.

    Of a GPU only the memory: whatever else there is to know of it takes a package that the project does without.
    """
    import psutil

    memory, disk = psutil.virtual_memory(), psutil.disk_usage(".")
    busy = {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system_memory_usage_percentage": round(100 * memory.used / memory.total, 1),
        "disk_usage_megabytes": round(disk.used / 1e6, 1),
        "disk_usage_percentage": disk.percent,
        "disk_available_megabytes": round(disk.free / 1e6, 1),
    }
    cuda = sys.modules.get("torch.cuda")
    if cuda and getattr(cuda, "is_initialized", bool)():  # else looking would occupy the GPU; it may be half imported
        for number in range(cuda.device_count()):
            free, total = cuda.mem_get_info(number)
            busy[f"gpu_{number}_memory_usage_megabytes"] = round((total - free) / 1e6, 1)
            busy[f"gpu_{number}_memory_usage_percentage"] = round(100 * (total - free) / total, 1)
    return busy


def memory() -> dict[str, int]:
    """The most memory that this process has held, in bytes: resident, and on the accelerator where one was used."""
    peak = {"peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available():
        peak["peak_cuda_bytes"] = torch.cuda.max_memory_allocated()
    return peak


def flatten(tree: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """A nested mapping as one level, names joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{before}{name}.")
        else:
            flat[f"{before}{name}"] = value
    return flat


def allowed(name: str) -> str:
    """A metric's name with what MLflow does not take replaced."""
    return re.sub(r"[^\w\-./: ]", "_", name)


def text(value: Any) -> str:
    """A knob as MLflow shows it. The store takes 6,000 characters."""
    return (value if isinstance(value, str) else json.dumps(value))[:6000]


def quiet() -> None:
    """MLflow and alembic announce every migration of a new store; that is no news to someone who runs a stage."""
    import logging

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def one_at_a_time(address: str) -> Iterator[None]:
    """Hold off the other processes of this machine that open the same store."""
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"plumbline-{os.getuid()}-{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(send_left())
