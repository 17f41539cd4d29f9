"""Kills the server, the one that serves flows, or a flow's process, at random moments of runs started through the API.

    python -m benchmarks.crashes              # 20 kills, a quarter of an hour
    python -m benchmarks.crashes --kills 3

The project is three stages of the real graph, as toy stages of three seconds each (tests/flows/toy.py). After each kill `make up` starts what
is gone, and the run is taken up again as with the Retry of the UI. Counted: runs that ended well, stages that had finished
and were run again, locks that needed a hand. Writes benchmarks/results/crashes__<machine>__<date>__<commit>.json.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks.record import RESULTS, record
from tests.flows import toy

TERMINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
PATIENCE = 240.0  # seconds: a run whose process and server died together is marked after about 70


class Server:
    """The project with its two UIs up, and Prefect's API."""

    def __init__(self, root: Path, log: Path) -> None:
        self.root = root
        self.variables = {
            "PLUMBLINE_PREFECT_PORT": "4311",
            "PLUMBLINE_MLFLOW_PORT": "5311",
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "false",  # for the requests below, which are no browser's
            "TOY_PAUSE": "3",
            "TOY_LOG": str(log),
        }

    def up(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "flows.up", *arguments]
        done = subprocess.run(
            command, cwd=self.root, env=toy.environment(**self.variables), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr)

    def ask(self, path: str, content: Any = None) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(f"http://127.0.0.1:4311/api{path}", data, {"Content-Type": "application/json"})
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except OSError:  # busy with bringing its database up to date, say
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def start(self, name: str, knobs: dict[str, Any]) -> str:
        deployment = self.ask("/deployments/name/pipeline/pipeline")["id"]
        run = self.ask(f"/deployments/{deployment}/create_flow_run", {"name": name, "parameters": {"knobs": knobs}})
        return str(run["id"])

    def state(self, run: str) -> str:
        return str(self.ask(f"/flow_runs/{run}")["state_type"])

    def end(self, run: str) -> str:
        deadline = time.monotonic() + PATIENCE
        while (state := self.state(run)) not in TERMINAL:
            if time.monotonic() > deadline:
                return f"still {state}"
            time.sleep(0.5)
        return state

    def retry(self, run: str) -> None:
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
        self.ask(f"/flow_runs/{run}/set_state", {"state": state})

    def kill(self, victim: str) -> bool:
        """SIGKILL to the process of a part, or to that of the flow; False if it is not there."""
        if victim == "flow":
            parent = self.process("serve")
            found = [child for child in parent.children() if "flow-run" in " ".join(child.cmdline())]
            found = found or [child for child in parent.children() if "prefect.engine" in " ".join(child.cmdline())]
        else:
            found = [self.process(victim)]
        for process in found:
            process.kill()
        return bool(found)

    def process(self, part: str) -> psutil.Process:
        return psutil.Process(json.loads((self.root / f".prefect/up/{part}.json").read_text())["pid"])


def one_round(server: Server, number: int, victim: str, delay: float, log: Path) -> dict[str, Any]:
    """One run with knobs of its own, killed after `delay` seconds, taken up again until it ends."""
    before = len(log.read_text().splitlines()) if log.exists() else 0
    name = f"crash-{number}"
    run = server.start(name, {"world": {"seed": 1000 + number}})
    time.sleep(delay)
    killed = server.kill(victim)
    server.up()
    states = [server.end(run)]
    while states[-1] != "COMPLETED" and len(states) < 4:
        server.retry(run)
        time.sleep(1)
        states.append(server.end(run))
    ended = Counter(log.read_text().splitlines()[before:])
    again = {line.split()[0]: count for line, count in ended.items() if count > 1}
    status = toy.dvc(server.root, "status").strip()
    return {
        "victim": victim,
        "delay": round(delay, 1),
        "killed": killed,
        "states": states,
        "finished stages run again": again,
        "experiment": name in toy.dvc(server.root, "exp", "list", "--name-only").split(),
        "workspace": status,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rng = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as folder:
        root, log = toy.make(Path(folder) / "project"), Path(folder) / "log"
        toy.shorten(root, ["world", "prepare", "instruct"])
        toy.dvc(root, "repro")
        toy.commit(root)
        server = Server(root, log)
        server.up()
        try:
            rounds = []
            for number in range(chosen.kills):
                victim = rng.choice(["prefect", "serve", "flow"])
                rounds.append(one_round(server, number, victim, rng.uniform(2, 20), log))
                print(json.dumps(rounds[-1]), flush=True)
        finally:
            server.up("down")
    result = {
        "kills": sum(each["killed"] for each in rounds),
        "ended well": sum(each["states"][-1] == "COMPLETED" and each["experiment"] for each in rounds),
        "finished stages run again": sum(len(each["finished stages run again"]) for each in rounds),
        "rounds": rounds,
    }
    record(chosen.out, "crashes", result)
    print({name: value for name, value in result.items() if name != "rounds"})


if __name__ == "__main__":
    main()
