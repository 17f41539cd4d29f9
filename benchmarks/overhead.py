"""What the orchestration adds to a whole default run, against calling the stages in one warm Python process.

    python -m benchmarks.overhead                        # twice the whole default run, one after the other
    python -m benchmarks.overhead --short --repeats 3    # all stages, hardly any training: what is added stays the same

Each time in a fresh clone with an empty DVC cache: `python -m flows.pipeline`, from the shell to its end, with Prefect's
server, DVC, a process per stage and MLflow; and then the same stages called as functions, in order, by one process that
has imported all that they need before its clock starts, MLflow included. Writes
benchmarks/results/overhead__<machine>__<date>__<commit>.json.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, record
from flows.experiment import changed_params, parse_overrides
from plumbline.store import read_json

IN_ONE_PROCESS = """
import importlib, json, shlex, sys, time
from pathlib import Path
from typing import get_type_hints
from flows.graph import Stages
from plumbline.params import load_params
from plumbline.warm import MODULES

graph = Stages(Path.cwd()).graph()
from dvc.repo import Repo
with Repo(".") as repository:
    commands = {stage.name: shlex.split(stage.cmd) for stage in repository.index.stages}
    frozen = {stage.name for stage in repository.index.stages if stage.name.startswith("pretrain")}
for module in MODULES:
    importlib.import_module(module)
functions = {name: getattr(importlib.import_module(f"tasks.{name.partition('@')[0]}"), name.partition("@")[0]) for name in graph}
params = load_params(Path("params.yaml"))
seconds, started = {}, time.monotonic()
for name in graph:
    if name in frozen:
        continue
    words = commands[name][3:]
    options = {key.removeprefix("--"): value for key, value in zip(words[::2], words[1::2], strict=True)}
    hints = get_type_hints(functions[name])
    arguments = {key: Path(value) if hints[key] is Path else value for key, value in options.items()}
    began = time.monotonic()
    functions[name](getattr(params, name.partition("@")[0]), **arguments)
    seconds[name] = round(time.monotonic() - began, 1)
json.dump({"seconds": round(time.monotonic() - started, 1), "stages": seconds}, open("measured.json", "w"))
"""


# Next to no training and few answers; folders, models and rows are of the sizes that they have in a default run.
SHORT = (
    "instruct.epochs=0.02", "adapt.epochs=0.02", "adapt.adapters.summarise.epochs=0.02",
    "adapt.adapters.rewrite.epochs=0.02", "reward.epochs=0.02", "ppo.cycles=1", "ppo.measured_prompts=4",
    "evaluate.rows_per_task=4", "evaluate.forgetting_rows=2", "evaluate.max_new_tokens=16",
)  # fmt: skip


def clone(folder: Path, short: bool) -> Path:
    subprocess.run(["git", "clone", "--quiet", ".", str(folder)], check=True)
    if short:
        (folder / "params.yaml").write_text(
            changed_params(folder, None, parse_overrides(list(SHORT))), encoding="utf-8"
        )
    return folder


def environment() -> dict[str, str]:
    ours = ("PREFECT", "MLFLOW", "DVC_", "PLUMBLINE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def orchestrated(folder: Path) -> dict[str, Any]:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "flows.pipeline"], cwd=folder, env=environment(), check=True, text=True,
                          stdout=subprocess.PIPE)  # fmt: skip
    seconds = round(time.monotonic() - started, 1)
    return {"seconds": seconds, "table": done.stdout.splitlines()[-20:]}


def in_one_process(folder: Path) -> dict[str, Any]:
    subprocess.run([sys.executable, "-c", IN_ONE_PROCESS], cwd=folder, env=environment(), check=True)
    measured: dict[str, Any] = read_json(folder / "measured.json")
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="hardly any training")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    runs = []
    for _ in range(chosen.repeats):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(
                {
                    "orchestrated": orchestrated(clone(Path(folder) / "orchestrated", chosen.short)),
                    "in one process": in_one_process(clone(Path(folder) / "direct", chosen.short)),
                }
            )
    added = [run["orchestrated"]["seconds"] - run["in one process"]["seconds"] for run in runs]
    result = {
        "short": chosen.short,
        "seconds added": round(statistics.median(added), 1),
        "runs": runs,
    }
    record(chosen.out, "overhead", result)
    for run, seconds in zip(runs, added, strict=True):
        print(
            {name: each["seconds"] for name, each in run.items()},
            f"added {seconds:.1f} s",
            run["in one process"]["stages"],
        )
    whole = statistics.median(run["in one process"]["seconds"] for run in runs)
    print(
        f"orchestration adds {statistics.median(added):.1f} s"
        + ("" if chosen.short else f", {statistics.median(added) / whole:.1%}")
    )


if __name__ == "__main__":
    main()
