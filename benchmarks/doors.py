"""Two runs with other knobs and one `dvc repro` after an edit, all at once, again and again: does each succeed?

    python -m benchmarks.doors              # ten rounds, some minutes
    python -m benchmarks.doors --rounds 1

The project is the real graph with toy stages (tests/flows/toy.py). A round is good when all three end well, the workspace
holds the edit's results and nothing else, and both runs are experiments. Writes
benchmarks/results/doors__<machine>__<date>__<commit>.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, record
from tests.flows import toy

UP_TO_DATE = "Data and pipelines are up to date."


def one_round(root: Path, number: int) -> dict[str, Any]:
    """Edit a knob, then all three doors at once; how each ended."""
    knobs = root / "params.yaml"
    knobs.write_text(knobs.read_text().replace(f"evaluate:\n  seed: {number + 4}", f"evaluate:\n  seed: {number + 5}"))
    flow = [sys.executable, "-m", "flows.pipeline", "--name"]
    commands = {
        "dvc repro": [sys.executable, "-m", "dvc", "repro"],
        "first": [*flow, f"first-{number}", "-S", f"prepare.seed={100 + number}"],
        "second": [*flow, f"second-{number}", "-S", f"instruct.epochs={20 + number}"],
    }
    started = time.monotonic()
    running = {
        name: subprocess.Popen(
            command, cwd=root, env=toy.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for name, command in commands.items()
    }
    said = {name: process.communicate()[0] for name, process in running.items()}
    failed = {name: said[name][-2000:] for name, process in running.items() if process.returncode}
    kept = toy.dvc(root, "exp", "list", "--name-only").split()
    return {
        "failed": failed,
        "experiments": [name for name in (f"first-{number}", f"second-{number}") if name in kept],
        "workspace": toy.dvc(root, "status").strip(),
        "edited": toy.git(root, "status", "--porcelain").split(),
        "seconds": round(time.monotonic() - started, 1),
    }


def is_good(outcome: dict[str, Any]) -> bool:
    return (
        not outcome["failed"]
        and len(outcome["experiments"]) == 2
        and outcome["workspace"] == UP_TO_DATE
        and outcome["edited"] == ["M", "dvc.lock", "M", "params.yaml"]
    )


def rounds(count: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        root = toy.make(Path(folder) / "project")
        toy.set_knob(root, "evaluate:\n  seed: 5", "evaluate:\n  seed: 4")
        toy.dvc(root, "repro")
        toy.commit(root)
        outcomes = []
        for number in range(count):
            outcomes.append(one_round(root, number))
            print(json.dumps(outcomes[-1]), flush=True)
        return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    outcomes = rounds(chosen.rounds)
    good = sum(map(is_good, outcomes))
    record(chosen.out, "doors", {"rounds": len(outcomes), "good": good, "outcomes": outcomes})
    print(f"{good} of {len(outcomes)} rounds good")
    sys.exit(good != len(outcomes))


if __name__ == "__main__":
    main()
