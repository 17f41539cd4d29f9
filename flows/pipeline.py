"""The whole pipeline as a Prefect flow: one task run per stage of dvc.yaml, in the order that DVC knows.

python -m flows.pipeline                                     in place; only what is stale runs
python -m flows.pipeline -S instruct.epochs=1                as a DVC experiment, the workspace left as it is
python -m flows.pipeline --recipe mts_dialog --name notes    the same, with the knobs of a recipe
"""

import argparse
import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import wait
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.experiment import Experiment, changed_params
from flows.graph import CHATTER, StageBusy, StageFailed, Stages
from flows.server import api, warm
from flows.terminal import Terminal
from plumbline.errors import PlumblineError
from plumbline.params import load_params

PHASES = {
    "data": ["world", "pretrain", "base", "prepare"],
    "tuning": ["instruct", "adapt"],
    "rlhf": ["reward", "ppo"],
    "evaluation": ["evaluate"],
}


def is_busy(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Only a lock is worth another try; a mistake stays one."""
    return isinstance(state.result(raise_on_failure=False), StageBusy)


@task(cache_policy=NO_CACHE, retries=4, retry_delay_seconds=[1, 2, 5, 10], retry_condition_fn=is_busy)
def run_one(stage: str, stages: Stages, terminal: Terminal, environment: dict[str, str]) -> State[None]:
    """One stage: Cached when DVC finds nothing to do or has its results from before, else run by DVC."""
    logger = get_run_logger()
    if not stages.stale(stage):
        terminal.ended(stage, "cached")
        return Completed(name="Cached", message="unchanged")

    def on_line(text: str) -> None:
        logger.info(text)
        if not CHATTER.match(text):
            terminal.line(stage, text)

    with stages.turn:
        started = time.monotonic()
        try:
            ran = stages.run(stage, on_line, environment)
        except StageFailed:
            terminal.ended(stage, "stopped" if stages.stopped else "failed", time.monotonic() - started)
            raise
    if not ran:
        terminal.ended(stage, "cached")
        return Completed(name="Cached", message="results of an earlier run restored")
    terminal.ended(stage, "ran", time.monotonic() - started)
    return Completed()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=64))  # type: ignore[arg-type]
def pipeline(name: str, recipe: str | None = None, overrides: list[str] | None = None) -> None:
    """Run every stage that is stale. With a recipe or overrides, as an experiment in a worktree of its own.

    Args:
        name: what this run is called, here, in MLflow and as an experiment
        recipe: a file of recipes/, without .yaml
        overrides: knobs to change, each as section.knob=value
    """
    root = Path.cwd()
    if recipe or overrides:
        params = changed_params(root, recipe, overrides or [])
        experiment = Experiment(root, name)
        with experiment.worktree(params) as folder:
            run_stages(Stages(folder), name, root)
            experiment.save()
    else:
        load_params(root / "params.yaml")
        run_stages(Stages(root), name, root)


def run_stages(stages: Stages, name: str, root: Path) -> None:
    """Submit a task per stage, wait for all, and raise StageFailed when one did not succeed.

    `root` is the workspace: MLflow's store and the checkpoints are there, also for stages that run in a worktree.
    """
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlruns/mlflow.db"),
        "PLUMBLINE_CHECKPOINTS": os.environ.get("PLUMBLINE_CHECKPOINTS", f"{root}/.checkpoints"),
        "PLUMBLINE_PIPELINE": str(context.flow_run.id),
        "PLUMBLINE_PIPELINE_NAME": name,
    }
    graph = stages.graph()
    terminal = Terminal(max(map(len, graph)))
    futures: dict[str, Any] = {}
    try:
        for stage, needs in graph.items():
            one = run_one.with_options(name=stage, task_run_name=stage, tags=[phase(stage)])
            futures[stage] = one.submit(
                stage, quote(stages), quote(terminal), environment, wait_for=[futures[need] for need in needs]
            )
        wait(list(futures.values()))
    except BaseException:  # also the signal of a cancellation, or Ctrl-C
        stages.stop()
        raise
    finally:
        terminal.table(list(graph))
    failed = [stage for stage, future in futures.items() if not future.state.is_completed()]
    if failed:
        raise StageFailed(", ".join(stage for stage in failed if stage in terminal.outcomes))


def phase(stage: str) -> str:
    """The phase that a stage, or a variant of one, belongs to."""
    word = stage.partition("@")[0]
    return next(name for name, stages in PHASES.items() if word in stages)


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Turn SIGTERM into what Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.pipeline", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--recipe", help="a file of recipes/, without .yaml")
    parser.add_argument("-S", dest="overrides", action="append", default=[], metavar="SECTION.KNOB=VALUE")
    parser.add_argument("--name", help="what to call the run; default: the recipe, or the date")
    chosen = parser.parse_args(arguments)
    name = chosen.name or f"{chosen.recipe or 'run'}-{datetime.now():%m%d-%H%M%S}"
    root = Path.cwd()
    report = root / "artifacts/evaluate/report.html"
    started = time.monotonic()
    try:
        with one_interrupt():
            if chosen.recipe or chosen.overrides:
                changed_params(root, chosen.recipe, chosen.overrides)  # before a server is started for nothing
                report = Experiment(root, name).report
            else:
                load_params(root / "params.yaml")
                stages = Stages(root)
                if not stages.stale():
                    show_all_cached(stages, started)
                    print_where(report)
                    return 0
            with api(), warm():
                pipeline.with_options(flow_run_name=name)(name, chosen.recipe, chosen.overrides)
    except PlumblineError as error:
        print(error, file=sys.stderr)
        return 1
    except StageFailed as error:
        print(f"failed: {error}; finished stages are kept, and the next run goes on from them", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished stages are kept, and the next run goes on from them", file=sys.stderr)
        return 130
    print_where(report)
    if chosen.recipe or chosen.overrides:
        print(f"  to keep it    dvc exp apply {name}")
    return 0


def show_all_cached(stages: Stages, started: float) -> None:
    """Nothing is stale: say so without starting Prefect's server for it, which takes longer than finding out."""
    graph = stages.graph()
    terminal = Terminal(max(map(len, graph)), started=started)
    for stage in graph:
        terminal.ended(stage, "cached")
    terminal.table(list(graph))


def print_where(report: Path) -> None:
    """Where to look next."""
    print(f"\n  report        {os.path.relpath(report)}")
    print("  all runs      mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db")


if __name__ == "__main__":
    code = main()
    gc.freeze()  # or Python spends a second on the objects of Prefect's server before it ends
    sys.exit(code)
