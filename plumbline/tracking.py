"""What MLflow records: one run per stage, below one parent run per pipeline run. The only module that imports mlflow.

Recording happens in a thread of its own, which also pays for the import of mlflow, so that a training loop never
waits for the store. Results do not depend on it: when the store cannot be reached, one line says so and the stage
goes on; DVC keeps the results either way. docs/stages.md explains every tag, parameter and metric.
"""

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
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from plumbline.stage import dvc_above
from plumbline.store import digest, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

EXPERIMENT = "plumbline"
PIPELINE = "PLUMBLINE_PIPELINE"  # set by a flow: the id that the stages of one pipeline run share
PIPELINE_NAME = "PLUMBLINE_PIPELINE_NAME"  # set by a flow: what people call that run
BATCH = 1000  # metrics that MLflow takes in one request


@contextmanager
def track(stage: str, params: BaseModel) -> "Iterator[Run]":
    """Record the block as the run of `stage` with its knobs; finished, failed or killed as the block ends."""
    run = Run(stage, params)
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

    def __init__(self, stage: str, params: BaseModel) -> None:
        self.stage = stage
        self.started = time.monotonic()
        began = time.time_ns() // 1_000_000
        self.sidecar: Path | None = None
        self._store: Store | None = None
        self._unreachable = False
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mlflow")
        self._pending: list[Future[None]] = []
        self._points: list[tuple[str, float, int, int]] = []
        self._flushed = time.monotonic()
        knobs = {f"{stage}.{name}": value for name, value in flatten(params.model_dump()).items()}
        self._later(lambda: self._open(knobs, began))

    def input(self, name: str, path: Path) -> None:
        """Name a file or folder that the stage reads; it is recorded with its digest, and DVC's where known."""
        self._later(lambda: self._known.input(name, path))

    def step(self, step: int, **metrics: float) -> None:
        """One point of each curve. Points are written about once a second; a loop never waits for it."""
        now = time.time_ns() // 1_000_000
        self._points += [(name, float(value), now, step) for name, value in metrics.items()]
        if time.monotonic() - self._flushed > 1.0:
            self._flush()

    def artifact(self, path: Path) -> None:
        """Keep a copy of a file, or of a folder's files, with the run."""
        self._later(lambda: self._known.artifact(path))

    def model(self, folder: Path) -> None:
        """Keep a copy of a folder of weights and tokenizer as the model that this stage made."""
        self._later(lambda: self._known.model(self.stage, folder))

    def finish(self, folder: Path, **metrics: Any) -> None:
        """Log the final metrics, write them to `folder/metrics.json` unless the stage has, and wait for the store.

        Metrics may be nested; MLflow gets them with the names joined by dots. Nothing here depends on the clock
        or on the run, so that equal results give equal bytes.
        """
        if not (folder / "metrics.json").exists():
            write_json(folder / "metrics.json", metrics)
        self.sidecar = sidecar_of(folder, self.stage)
        numbers = {name: float(value) for name, value in flatten(metrics).items() if isinstance(value, int | float)}
        self._later(lambda: self._known.results(self.stage, numbers))
        self._drain()  # the files that artifact() and model() copy are still where they were

    def close(self, status: str) -> None:
        """End the run; after success, write the sidecar, which leads from DVC's stage to MLflow's run."""
        facts = {"seconds": round(time.monotonic() - self.started, 3), **memory()}
        if status == "FINISHED" and self.sidecar is None:
            raise ValueError(f"{self.stage}: run.finish(folder, ...) was never called")
        self._later(lambda: self._known.end(self.stage, status, facts))
        self._drain()
        self._worker.shutdown()
        if status == "FINISHED" and self.sidecar:
            store = self._store
            ids = {
                "experiment": EXPERIMENT,
                "run_id": store.run if store else None,
                "parent_run_id": store.parent if store else None,
            }
            self.sidecar.unlink(missing_ok=True)  # it may be a hard link into DVC's cache, which must not change
            write_json(self.sidecar, {"stage": stage_name(self.stage), **ids, **facts})

    def _open(self, knobs: Mapping[str, Any], began: int) -> None:
        self._store = Store(self.stage, knobs, began)

    @property
    def _known(self) -> "Store":
        assert self._store is not None
        return self._store

    def _flush(self) -> None:
        points, self._points, self._flushed = self._points, [], time.monotonic()
        if points:
            self._later(lambda: self._known.points(points))

    def _drain(self) -> None:
        self._flush()
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()

    def _later(self, work: Callable[[], None]) -> None:
        self._pending = [future for future in self._pending if not future.done() or future.exception()]
        self._pending.append(self._worker.submit(self._guarded, work))

    def _guarded(self, work: Callable[[], None]) -> None:
        """Run `work`; a store that fails is reported, and does not end the stage."""
        if self._unreachable:
            return
        from mlflow.exceptions import MlflowException

        try:
            work()
        except (MlflowException, OSError) as error:
            self._unreachable = self._store is None
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            print(f"{self.stage}: MLflow does not record this: {reason[:300]}", file=sys.stderr)


class Store:
    """One run in MLflow and its parent; lives in the recording thread."""

    def __init__(self, stage: str, knobs: Mapping[str, Any], began: int) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # the default tries for minutes
        from mlflow import MlflowClient
        from mlflow.entities import Param

        address = os.environ.get("MLFLOW_TRACKING_URI") or local_address()
        quiet()
        with one_at_a_time(address):  # two stages at once must not create the store, or the parent, twice
            self.client = MlflowClient(address)
            self.experiment = experiment(self.client, address)
            self.parent = parent(self.client, self.experiment, began)
            tags = {"plumbline.stage": stage, **surroundings()}
            if self.parent:
                tags["mlflow.parentRunId"] = self.parent
            if variant := os.environ.get("DVC_STAGE"):
                tags["dvc.stage"] = variant
            self.run = self.client.create_run(self.experiment, began, tags, stage_name(stage)).info.run_id
        params = [Param(name, text(value)) for name, value in knobs.items()]
        self.client.log_batch(self.run, params=params)
        if self.parent:
            self.client.update_run(self.parent, status="RUNNING")
            self.client.log_batch(self.parent, params=params)

    def input(self, name: str, path: Path) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        content = digest(path)
        source = {"uri": path.as_posix(), "sha256": content, **dvc_hash(path)}
        kind = "file" if path.is_file() else "folder"
        dataset = Dataset(
            name=path.as_posix(), digest=content[:32], source_type=kind, source=json.dumps(source, sort_keys=True)
        )
        self.client.log_inputs(self.run, [DatasetInput(dataset, [InputTag("mlflow.data.context", name)])])
        for hashed in dvc_hash(path).values():
            self.client.set_tag(self.run, f"dvc.md5.{name}", hashed)

    def points(self, points: list[tuple[str, float, int, int]]) -> None:
        from mlflow.entities import Metric

        metrics = [Metric(allowed(name), value, when, step) for name, value, when, step in points]
        self._metrics(self.run, metrics)

    def results(self, stage: str, numbers: Mapping[str, float]) -> None:
        """Final numbers: on the stage's run, and with the stage's name before them on the parent, to compare runs."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        self._metrics(self.run, [Metric(allowed(name), value, now, 0) for name, value in numbers.items()])
        if self.parent:
            named = {allowed(f"{stage}.{name}"): value for name, value in numbers.items()}
            self._metrics(self.parent, [Metric(name, value, now, 0) for name, value in named.items()])

    def artifact(self, path: Path) -> None:
        if path.is_dir():
            self.client.log_artifacts(self.run, str(path), path.name)
        else:
            self.client.log_artifact(self.run, str(path))

    def model(self, name: str, folder: Path) -> None:
        from mlflow.entities import LoggedModelOutput

        model = self.client.create_logged_model(self.experiment, name=name, source_run_id=self.run)
        self.client.log_model_artifacts(model.model_id, str(folder))
        self.client.finalize_logged_model(model.model_id, "READY")
        self.client.log_outputs(self.run, [LoggedModelOutput(model.model_id, 0)])

    def end(self, stage: str, status: str, facts: Mapping[str, float]) -> None:
        self.results(stage, facts)
        self.client.set_terminated(self.run, status)
        if self.parent:  # it ends with its last stage, whichever that will be
            self.client.set_terminated(self.parent, status)

    def _metrics(self, run: str, metrics: "list[Metric]") -> None:
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(run, metrics=metrics[start : start + BATCH])


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


def local_address() -> str:
    """The store of this repository. Absolute: MLflow would resolve a relative one against each reader's folder."""
    return f"sqlite:///{Path('mlruns/mlflow.db').resolve()}"


def experiment(client: "MlflowClient", address: str) -> str:
    """The id of the project's experiment, created at the first run, with its artifacts beside a local store."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found:
        return str(found.experiment_id)
    place = None
    if address.startswith("sqlite:///"):
        place = str(Path(address.removeprefix("sqlite:///")).parent / "artifacts")
    return str(client.create_experiment(EXPERIMENT, artifact_location=place))


def parent(client: "MlflowClient", experiment: str, began: int) -> str | None:
    """The id of the pipeline's run, found by its key or begun now; None for a stage that runs by itself."""
    key, name = pipeline()
    if key is None:
        return None
    found = client.search_runs([experiment], f"tags.`plumbline.pipeline` = '{key}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {"plumbline.pipeline": key, **surroundings()}
    return str(client.create_run(experiment, began, tags, name).info.run_id)


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
