"""Promotion as a Prefect flow: the model that answers changes only for one that is clearly better on the same rows.

python -m flows.promote                         every model that stage evaluate has scored in this workspace
python -m flows.promote instruct adapt.summarise

An experiment is promoted from the workspace too: `dvc exp apply NAME`, then this.
"""

import argparse
import gc
import sys
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, State
from prefect.utilities.annotations import quote

from flows.graph import StageBusy, Stages
from flows.server import api
from plumbline.errors import ArtifactError, PlumblineError
from plumbline.registry import Candidate, Registry, candidates
from plumbline.tracking import store_address


@task(cache_policy=NO_CACHE)
def promote_one(candidate: Candidate, registry: Registry) -> State[None]:
    """Register one model and promote it or not; the state is called by what became of it, with the reason."""
    try:
        outcome, line = registry.promote(candidate)
    except PlumblineError as error:
        outcome, line = "refused", str(error)
    print(f"{outcome:<9}  {line}", flush=True)
    get_run_logger().info("%s: %s", outcome, line)
    return Completed(name=outcome.capitalize(), message=line)


@flow
def promote(models: list[str] | None = None) -> dict[str, str]:
    """Make champions of the models that are clearly better than those that answer now; what became of each.

    Args:
        models: names in the registry, such as instruct or adapt.summarise; none for all that evaluate has scored
    """
    chosen = chosen_candidates(Path.cwd(), models or [])
    registry = Registry(store_address())
    outcomes = {}
    for each in chosen:
        state = promote_one.with_options(task_run_name=each.name)(quote(each), quote(registry), return_state=True)
        outcomes[each.name] = state.name.lower()
    return outcomes


def chosen_candidates(root: Path, models: list[str]) -> list[Candidate]:
    """The scored models of these names; ArtifactError for one that there is not, or when the scores are not current."""
    if Stages(root).stale("evaluate"):
        raise ArtifactError("evaluate: its scores are not those of the present models and knobs; run `make run` first")
    known = {each.name: each for each in candidates(Path("artifacts"))}
    for name in models:
        if name not in known:
            raise ArtifactError(f"{name}: no such model; evaluate has scored {', '.join(known)}")
    return [known[name] for name in models or known]


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit code is 1 when a model was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.promote", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="names in the registry; default: all that evaluate has scored")
    models: Any = parser.parse_args(arguments).models
    try:
        chosen_candidates(Path.cwd(), models)  # before a server is started for nothing
        with api():
            outcomes = promote(models)
    except (PlumblineError, StageBusy) as error:
        print(error, file=sys.stderr)
        return 1
    return int("refused" in outcomes.values())


if __name__ == "__main__":
    code = main()
    gc.freeze()  # or Python spends a second on the objects of Prefect's server before it ends
    sys.exit(code)
