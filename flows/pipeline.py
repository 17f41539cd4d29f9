"""The pipeline and its phases as Prefect flows: one task run per stage of dvc.yaml, in the order that DVC knows.

python -m flows.pipeline                                     in place; only what is stale runs
python -m flows.pipeline data                                one phase, with what it needs of those before it
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
from logging import INFO, WARNING
from pathlib import Path
from types import FrameType
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.futures import wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import quote

from flows.artifacts import Progress, publish, scores, tell_of_alarm
from flows.experiment import Experiment, changed_params, parse_overrides
from flows.form import NONE, Recipe, changes, form
from flows.graph import CHATTER, StageBusy, StageFailed, Stages
from flows.remote import fetch, restore, share, share_experiment
from flows.server import api, warm
from flows.terminal import Terminal
from plumbline.errors import ParamsError, PlumblineError
from plumbline.params import load_params
from plumbline.tracking import end_pipeline, store_address

PHASES = {
    "data": ["world", "pretrain", "base", "prepare"],
    "tuning": ["instruct", "adapt"],
    "rlhf": ["reward", "ppo"],
    "evaluation": ["evaluate"],
}
UNCHANGED: Any = {}  # no knob filled in
RUNNER: Any = ThreadPoolTaskRunner(max_workers=64)


@flow(task_runner=RUNNER)
def pipeline(recipe: Recipe = NONE, knobs: form() = UNCHANGED) -> State[None] | None:  # type: ignore[valid-type]
    """Bring every stage up to date. With a recipe or with knobs, as an experiment that leaves the workspace as it is.

    Args:
        recipe: a file of recipes/, whose knobs are taken before those below
        knobs: what to change for this run; whatever is left empty stays as it is in params.yaml
    """
    return bring_up_to_date(recipe, knobs)


@flow(task_runner=RUNNER)
def data(recipe: Recipe = NONE, knobs: form(*PHASES["data"]) = UNCHANGED) -> State[None] | None:  # type: ignore[valid-type]
    """Invent the world, take the base model, and make rows that a model can be trained on.

    Args:
        recipe: a file of recipes/, whose knobs are taken before those below
        knobs: what to change for this run; whatever is left empty stays as it is in params.yaml
    """
    return bring_up_to_date(recipe, knobs, "data")


@flow(task_runner=RUNNER)
def tuning(recipe: Recipe = NONE, knobs: form(*PHASES["tuning"]) = UNCHANGED) -> State[None] | None:  # type: ignore[valid-type]
    """Tune the model to follow instructions, and train the adapters; the data first where it is stale.

    Args:
        recipe: a file of recipes/, whose knobs are taken before those below
        knobs: what to change for this run; whatever is left empty stays as it is in params.yaml
    """
    return bring_up_to_date(recipe, knobs, "tuning")


@flow(task_runner=RUNNER)
def rlhf(recipe: Recipe = NONE, knobs: form(*PHASES["rlhf"]) = UNCHANGED) -> State[None] | None:  # type: ignore[valid-type]
    """Learn to score answers from people's rankings, and then to answer so that the score rises; what is before it first.

    Args:
        recipe: a file of recipes/, whose knobs are taken before those below
        knobs: what to change for this run; whatever is left empty stays as it is in params.yaml
    """
    return bring_up_to_date(recipe, knobs, "rlhf")


@flow(task_runner=RUNNER)
def evaluation(recipe: Recipe = NONE, knobs: form(*PHASES["evaluation"]) = UNCHANGED) -> State[None] | None:  # type: ignore[valid-type]
    """Score every model on held-out rows and write the report; data and models first where they are stale.

    Args:
        recipe: a file of recipes/, whose knobs are taken before those below
        knobs: what to change for this run; whatever is left empty stays as it is in params.yaml
    """
    return bring_up_to_date(recipe, knobs, "evaluation")


FLOWS = {each.name: each for each in (pipeline, data, tuning, rlhf, evaluation)}


def bring_up_to_date(recipe: str, knobs: Any, phase: str | None = None) -> State[None] | None:
    """Run the stages of `phase` (default: all) that are stale, in place or as an experiment; a mistake is one line."""
    context = FlowRunContext.get()
    assert context is not None and context.flow_run is not None
    run, root = context.flow_run, Path.cwd()
    chosen, filled = None if recipe == NONE else recipe, changes(knobs)
    try:
        fetch(root)
        if chosen or filled:
            params = changed_params(root, chosen, filled)
            experiment = Experiment(root, run.name)
            if run.run_count <= 1:  # a run that is taken up again may save what it has saved before
                experiment.refuse_if_there_is_one()
            with experiment.worktree(params) as folder:
                run_stages(Stages(folder), run.name, str(run.id), root, phase)
                experiment.save(f"{run.name}: Prefect flow run {run.id}")
                share_experiment(root, run.name)
        else:
            load_params(root / "params.yaml")
            run_stages(Stages(root), run.name, str(run.id), root, phase)
    except (PlumblineError, StageFailed) as error:
        get_run_logger().error(str(error))
        return Failed(message=str(error), data=error)
    return None


def is_busy(_task: Any, _run: Any, state: State[Any]) -> bool:
    """Only a lock is worth another try; a mistake stays one."""
    return isinstance(state.result(raise_on_failure=False), StageBusy)


@task(cache_policy=NO_CACHE, retries=4, retry_delay_seconds=[1, 2, 5, 10], retry_condition_fn=is_busy)
def run_one(stage: str, stages: Stages, terminal: Terminal, environment: dict[str, str]) -> State[Any]:
    """One stage: Cached when DVC finds nothing to do or has its results from before, else run by DVC."""
    logger = get_run_logger()
    if not stages.stale(stage) or restore(stages.root, stage):
        terminal.ended(stage, "cached")
        return Completed(name="Cached", message="unchanged")
    progress = Progress(stage)

    def on_line(text: str) -> None:
        if not CHATTER.match(text):
            logger.log(WARNING if tell_of_alarm(stage, text) else INFO, text)
            terminal.line(stage, text)
            progress.line(text)

    with stages.turn:
        started = time.monotonic()
        try:
            ran = stages.run(stage, on_line, environment)
        except StageFailed as error:
            terminal.ended(stage, "stopped" if stages.stopped else "failed", time.monotonic() - started)
            return Failed(message=str(error), data=error)
    if not ran:
        terminal.ended(stage, "cached")
        return Completed(name="Cached", message="results of an earlier run restored")
    terminal.ended(stage, "ran", time.monotonic() - started)
    return Completed()


def run_stages(stages: Stages, name: str, key: str, root: Path, phase: str | None = None) -> None:
    """Submit a task per stage, wait for all, publish what came of it; StageFailed when one did not succeed.

    `root` is the workspace: MLflow's store and the checkpoints are there, also for stages that run in a worktree.
    """
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "MLFLOW_TRACKING_URI": store_address(),
        "PLUMBLINE_CHECKPOINTS": os.environ.get("PLUMBLINE_CHECKPOINTS", f"{root}/.checkpoints"),
        "PLUMBLINE_PIPELINE": key,
        "PLUMBLINE_PIPELINE_NAME": name,
    }
    graph = needed(stages.graph(), phase)
    terminal = Terminal(max(map(len, graph)))
    before = scores(root)
    futures: dict[str, Any] = {}
    try:
        with warm():
            for stage, needs in graph.items():
                one = run_one.with_options(name=stage, task_run_name=stage, tags=[phase_of(stage)])
                futures[stage] = one.submit(
                    stage, quote(stages), quote(terminal), environment, wait_for=[futures[need] for need in needs]
                )
            wait(list(futures.values()))
    except BaseException:  # also the signal of a cancellation, or Ctrl-C
        stages.stop()
        raise
    finally:
        terminal.table(list(graph))
    share(stages.root)  # also what went well before another stage failed
    failed = {stage: future.state for stage, future in futures.items() if not future.state.is_completed()}
    try:
        end_pipeline(key, "FAILED" if failed else "FINISHED")
        publish(stages.root, name, key, graph, before, stages.root != root)
    except Exception as error:  # of the clients of two servers, either of which may be away, and the stages are done
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        print(f"the run's page has no links and scores: {reason}", file=sys.stderr, flush=True)
    if failed:
        raise StageFailed("\n".join(state.message for stage, state in failed.items() if not state.is_pending()))


def needed(graph: dict[str, list[str]], phase: str | None) -> dict[str, list[str]]:
    """The stages of a phase and all that they wait for; the whole graph for None."""
    wanted = {stage for stage in graph if phase in (None, phase_of(stage))}
    for stage in reversed(graph):  # what is waited for stands before what waits
        if stage in wanted:
            wanted.update(graph[stage])
    return {stage: needs for stage, needs in graph.items() if stage in wanted}


def phase_of(stage: str) -> str:
    """The phase that a stage, or a variant of one, belongs to."""
    word = stage.partition("@")[0]
    return next(phase for phase, stages in PHASES.items() if word in stages)


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
    parser.add_argument("flow", nargs="?", choices=list(FLOWS), default="pipeline", help="default: the whole pipeline")
    parser.add_argument("--recipe", help="a file of recipes/, without .yaml")
    parser.add_argument("-S", dest="overrides", action="append", default=[], metavar="SECTION.KNOB=VALUE")
    parser.add_argument("--name", help="what to call the run; default: the recipe, or the date")
    chosen = parser.parse_args(arguments)
    name = chosen.name or f"{chosen.recipe or 'run'}-{datetime.now():%m%d-%H%M%S}"
    phase = None if chosen.flow == "pipeline" else chosen.flow
    root = Path.cwd()
    report = root / "artifacts/evaluate/report.html"
    started = time.monotonic()
    try:
        with one_interrupt():
            knobs = parse_overrides(chosen.overrides)
            if phase and (others := [section for section in knobs if section not in PHASES[phase]]):
                raise ParamsError(
                    f"{others[0]}: not of {phase}, which has {', '.join(PHASES[phase])}; run the pipeline"
                )
            if chosen.recipe or knobs:
                changed_params(root, chosen.recipe, knobs)  # before a server is started for nothing
                experiment = Experiment(root, name)
                experiment.refuse_if_there_is_one()
                report = experiment.report
            else:
                load_params(root / "params.yaml")
                stages = Stages(root)
                graph = needed(stages.graph(), phase)
                if not stages.stale(*graph):
                    show_all_cached(list(graph), started)
                    print_where(report)
                    return 0
            with api(), warm():
                FLOWS[chosen.flow].with_options(flow_run_name=name)(chosen.recipe or NONE, knobs)
    except (PlumblineError, StageBusy) as error:
        print(error, file=sys.stderr)
        return 1
    except StageFailed as error:
        print(f"{error}; finished stages are kept, and the next run goes on from them", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished stages are kept, and the next run goes on from them", file=sys.stderr)
        return 130
    print_where(report)
    if chosen.recipe or knobs:
        print(f"  to keep it    dvc exp apply {name}")
    return 0


def show_all_cached(graph: list[str], started: float) -> None:
    """Nothing is stale: say so without starting Prefect's server for it, which takes longer than finding out."""
    terminal = Terminal(max(map(len, graph)), started=started)
    for stage in graph:
        terminal.ended(stage, "cached")
    terminal.table(graph)


def print_where(report: Path) -> None:
    """Where to look next."""
    print(f"\n  report        {os.path.relpath(report)}")
    print("  all runs      make up, or: mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db")


if __name__ == "__main__":
    code = main()
    gc.freeze()  # or Python spends a second on the objects of Prefect's server before it ends
    sys.exit(code)
