"""Does a training stage that is killed at random moments end in the bytes of an undisturbed one?

python -m benchmarks.kills                 at least 50 kills, and a control for every piece of the state
python -m benchmarks.kills --kills 10 --no-controls

Each run is a real stage with tiny models and rows, as `python -m tasks.<stage>` runs it, in a process group of its own
that is ended by SIGKILL: at any moment, in the middle of a save, or while it goes on after the last kill; then it is
started again, until it is done. Its folder must have the digest of the undisturbed one, and MLflow every point once.
A control is killed once and goes on without one piece of its state: its digest must differ.

The stages are forks of this process, which has the slow imports behind it (see plumbline.warm).
"""

import argparse
import importlib
import json
import os
import random
import runpy
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from benchmarks.record import RESULTS, commit, machine, record
from plumbline.rows import write_rows
from plumbline.store import digest

PROJECT = Path(__file__).parents[1]
IMPORTS = (
    "torch",
    "mlflow.store.tracking.sqlalchemy_store",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.t5.modeling_t5",
    "transformers.trainer",
    "trl.trainer.sft_trainer",
    "deepspeed",
)

# The knobs that make a stage a matter of seconds.
KNOBS = {"epochs": 2.4, "batch": 8, "micro_batch": 4, "precision": "float32", "checkpoint_every": 4}
ADAPTERS = {
    "lora": {"kind": "lora", "rank": 2, "alpha": 4, "dropout": 0.1, "targets": "attention", "learning_rate": 1.0e-2},
    "prompt": {"kind": "prompt", "tokens": 4, "init": "random", "learning_rate": 5.0e-2},
}

# What a stage reads and is told; a stage stands here once per kind of model, or of adapter.
STAGES: dict[str, dict[str, Any]] = (
    {
        f"instruct {kind}": {
            "stage": "instruct",
            "inputs": {"base": kind, "data": "rows"},
            "options": {},  # of the command line, besides the folders
            "knobs": KNOBS,
        }
        for kind in ("causal", "seq2seq")
    }
    | {
        f"adapt {adapter}": {
            "stage": "adapt",
            "inputs": {"start": f"tuned-{kind}", "data": "rows"},
            "options": {"adapter": adapter},
            "knobs": KNOBS | {"adapters": {adapter: ADAPTERS[adapter] | {"tasks": ["t"], "start": "instruct"}}},
        }
        for adapter, kind in (("lora", "causal"), ("prompt", "seq2seq"))
    }
    | {
        "reward seq2seq": {
            "stage": "reward",
            "inputs": {"start": "tuned-seq2seq", "data": "rows", "world": "world"},
            "options": {},
            "knobs": KNOBS | {"start": "instruct", "lora": None, "resamples": 100},
        }
    }
)
CONTROLLED = "instruct seq2seq"  # has dropout, so that random numbers matter
PIECES = ("weights", "optimisers", "schedule", "random", "position", "statistics")
WAYS = ("any moment", "during a save", "while it goes on")
# Metrics that are never alike: what the clock says, and how busy the machine was.
CLOCK = ("tokens_per_second", "seconds", "peak_memory_bytes", "peak_cuda_bytes")
MACHINE = "system/"


def forget(piece: str) -> None:
    """Have the trainers of this process go on without one piece of their state."""
    import torch

    from plumbline.models import tuning

    match piece:
        case "weights" | "optimisers" | "random":
            setattr(tuning, f"load_{piece}", lambda *_: None)
        case "schedule":
            torch.optim.lr_scheduler.LambdaLR.load_state_dict = lambda *_: None  # type: ignore[method-assign]
        case "position":
            tuning.Order.__iter__ = lambda order: iter(order.rows)  # type: ignore[method-assign]
        case "statistics":
            tuning.Curves.restore = lambda *_: None  # type: ignore[method-assign]


def make_inputs(root: Path, record: Path) -> None:
    """Tiny models with random weights, of each architecture, rows for them, and a new store for MLflow."""
    import torch
    import transformers
    from mlflow import MlflowClient

    from plumbline.models.tokenizer import train_tokenizer

    texts = [
        f"order {number} of the copper kettle arrives on {number % 28 + 1} May, says Lotte." for number in range(400)
    ]
    tokenizer = train_tokenizer(texts, 600)
    ends = {"pad_token_id": 0, "eos_token_id": 2}
    torch.manual_seed(0)
    models = {
        "causal": transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                num_attention_heads=2, max_position_embeddings=256, bos_token_id=1, **ends,
            )
        ),
        "seq2seq": transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, dropout_rate=0.2,
                decoder_start_token_id=0, **ends,
            )
        ),
    }  # fmt: skip
    MlflowClient(f"sqlite:///{record}").search_experiments()
    for name, model in models.items():
        model.save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
        (root / f"tuned-{name}").mkdir()
        (root / f"tuned-{name}/model").symlink_to(root / name)
    (root / "rows").mkdir()
    (root / "world").mkdir()
    for split, numbers in (("train", range(80)), ("validation", range(80, 88))):
        rows = [
            {
                "id": str(number), "task": "t", "group": str(number), "prompt": f"order {number}", "answer": texts[number],
                "references": [texts[number]], "template": "", "source_file": "", "source_line": 1,
            }
            for number in numbers
        ]  # fmt: skip
        write_rows(root / "rows" / f"{split}.jsonl", rows)
    for split, numbers in (("train", range(80)), ("validation", range(80, 88)), ("test", range(88, 96))):
        rankings = [
            {
                "id": str(number), "group": str(number), "prompt": f"order {number}", "ranks": [1, 2, 3], "raters": [""],
                "pairs": [{"better": better, "worse": worse, "votes": 1.0} for better, worse in ((0, 1), (0, 2), (1, 2))],
                "completions": [texts[number], texts[number][:20], texts[-1 - number]], "source_file": "", "source_line": 1,
            }
            for number in numbers
        ]  # fmt: skip
        write_rows(root / "rows" / f"rankings_{split}.jsonl", rankings)


def forked(work: Callable[[], object], log: Path) -> int:
    """The id of a new process, leader of a group of its own, that does `work` and prints into `log`."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.setsid()
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        work()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Bench:
    """The inputs, MLflow's store and one folder per run, all below `root`."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.chance = root, random.Random(seed)
        self.record = root / "mlflow.db"
        wait(forked(lambda: make_inputs(root, self.record), root / "inputs.log"), root / "inputs.log")
        self.runs = 0

    def folder(self, case: str) -> Path:
        """A new folder for a run of `case`, with its params.yaml."""
        self.runs += 1
        folder = self.root / f"run-{self.runs}"
        folder.mkdir()
        params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
        params[STAGES[case]["stage"]] |= STAGES[case]["knobs"]
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        return folder

    def start(self, case: str, folder: Path, without: str | None = None) -> int:
        """The process of a life of `case` in `folder`."""
        stage = STAGES[case]["stage"]
        inputs = [f"--{name}={self.root / path}" for name, path in STAGES[case]["inputs"].items()]
        options = [f"--{name}={value}" for name, value in STAGES[case]["options"].items()]

        def life() -> None:
            os.chdir(folder)
            os.environ |= {
                "MLFLOW_TRACKING_URI": f"sqlite:///{self.record}", "PLUMBLINE_CHECKPOINTS": str(folder / "kept"),
            }  # fmt: skip
            if without:
                forget(without)
            sys.argv = [stage, *inputs, *options, "--out=out"]
            runpy.run_module(f"tasks.{stage}", run_name="__main__", alter_sys=True)

        return forked(life, folder / "log")

    def undisturbed(self, case: str) -> dict[str, Any]:
        """Digest, points and seconds of a run that nobody kills."""
        folder = self.folder(case)
        started = time.monotonic()
        wait(self.start(case, folder), folder / "log")
        return {"seconds": time.monotonic() - started, **self.result(folder)}

    def result(self, folder: Path) -> dict[str, Any]:
        """What a run has made: its folder's digest, its points in MLflow and how many of them are there twice."""
        run = json.loads((folder / "out.run.json").read_text())["run_id"]
        if run is None:
            sys.exit(f"MLflow has no run:\n{(folder / 'log').read_text(errors='replace')}")
        with sqlite3.connect(self.record) as record:
            rows = record.execute(
                f"SELECT key, step, timestamp, value FROM metrics WHERE run_uuid = ? AND key NOT LIKE '{MACHINE}%'",
                [run],
            ).fetchall()
            (name,) = record.execute("SELECT status FROM runs WHERE run_uuid = ?", [run]).fetchone()
        told = Counter((key, step) for key, step, _, _ in rows if key not in CLOCK and key != "validation_loss")
        values = sorted((key, step, value) for key, step, _, value in rows if key not in CLOCK)
        speeds = Counter(step for key, step, _, _ in rows if key == "tokens_per_second")
        return {
            "digest": digest(folder / "out"),
            "points": values,
            "speeds": sorted(speeds),
            "doubled": sum(number > 1 for number in [*told.values(), *speeds.values()]),
            "status": name,
        }

    def killed(self, case: str, usual: dict[str, Any], most: int) -> dict[str, Any]:
        """A run that is killed 1 to `most` times, and how it ended."""
        folder, kills, done = self.folder(case), [], False
        for _ in range(self.chance.randint(1, most)):
            way = self.chance.choice(WAYS if checkpoints(folder) else WAYS[:2])
            before = checkpoints(folder)
            process = self.start(case, folder)
            started = time.monotonic()
            done = not watch(process, self.moment(way, folder, usual["seconds"]))
            if done:
                wait(process, folder / "log")
                break
            end(process)
            kills.append(
                {
                    "way": way,
                    "seconds": round(time.monotonic() - started, 3),
                    "went_on_from": before[-1:],
                    "checkpoints": checkpoints(folder),
                    "half_written": bool(half_written(folder)),
                    "out": (folder / "out").exists(),
                }
            )
        if not done:
            wait(self.start(case, folder), folder / "log")
        made = self.result(folder)
        kept = [each.name for each in folder.glob("kept/*/*")] + [each.name for each in folder.glob("kept/journal/*")]
        return {
            "case": case,
            "kills": kills,
            "same_bytes": made["digest"] == usual["digest"],
            "same_points": (made["points"], made["speeds"]) == (usual["points"], usual["speeds"]),
            "points_doubled": made["doubled"],
            "status": made["status"],
            "complaints": (folder / "log").read_text(errors="replace").count("MLflow does not"),
            "left_over": kept,
        }

    def moment(self, way: str, folder: Path, usual: float) -> Callable[[], bool]:
        """When to kill a life that usually takes so many seconds: a question to ask again and again until it is so."""
        if way == "during a save":
            seen: set[Path] = set()
            saves = self.chance.randint(1, 5)
            delay = self.chance.uniform(0, 0.004)

            def in_a_save() -> bool:
                found = half_written(folder)
                seen.update(found)
                if found and len(seen) >= saves:
                    time.sleep(delay)
                    return True
                return False

            return in_a_save
        end = time.monotonic() + self.chance.uniform(0, usual * (0.5 if way == "while it goes on" else 1.0))
        return lambda: time.monotonic() > end

    def control(self, piece: str, usual: dict[str, Any]) -> dict[str, Any]:
        """A run that is killed after its second checkpoint and goes on without one piece of its state, or with all."""
        folder = self.folder(CONTROLLED)
        process = self.start(CONTROLLED, folder)
        watch(process, lambda: len(checkpoints(folder)) == 2)
        end(process)
        wait(self.start(CONTROLLED, folder, None if piece == "nothing" else piece), folder / "log")
        return {"without": piece, "same_bytes": digest(folder / "out") == usual["digest"]}


def end(process: int) -> None:
    """SIGKILL to a process and its group, which a process of a moment ago may not lead yet."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def checkpoints(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.glob("kept/*/*/step-*"))


def half_written(folder: Path) -> list[Path]:
    return list(folder.glob("kept/*/*/.partial-step-*"))


def alive(process: int) -> bool:
    """Whether a child has not ended; it stays to be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def watch(process: int, reached: Callable[[], bool]) -> bool:
    """Wait until something is reached; False if the process ends first."""
    while alive(process):
        if reached():
            return alive(process)
        time.sleep(0.0005)
    return False


def wait(process: int, log: Path) -> None:
    """Wait until a process has ended well; otherwise show what it printed."""
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code:
        sys.exit(f"a run ended with exit code {code}:\n{log.read_text(errors='replace')}")


def measure(kills: int, controls: bool, most: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """At least `kills` kills over all stages, and the controls."""
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root).resolve(), seed)
        usual = {case: bench.undisturbed(case) for case in STAGES}
        runs: list[dict[str, Any]] = []
        while sum(len(run["kills"]) for run in runs) < kills:
            case = list(STAGES)[len(runs) % len(STAGES)]
            runs.append(bench.killed(case, usual[case], most))
            run = runs[-1]
            ways = ", ".join(f"{kill['way']} ({kill['seconds']} s)" for kill in run["kills"]) or "done before a kill"
            say(f"{len(runs):3}  {case:18} {'equal' if good(run) else 'DIFFERS':8} {ways}")
            if not good(run):
                say(f"{run}\n{(bench.root / f'run-{bench.runs}' / 'log').read_text(errors='replace')}")
        found = [bench.control(piece, usual[CONTROLLED]) for piece in (("nothing", *PIECES) if controls else ())]
        for control in found:
            say(f"     without {control['without']:12} {'equal' if control['same_bytes'] else 'differs'}")
    return {
        "undisturbed": {case: {"digest": each["digest"], "seconds": round(each["seconds"], 2)} for case, each in usual.items()},
        "runs": runs,
        "controls": found,
        "summary": {
            "kills": sum(len(run["kills"]) for run in runs),
            "kills_with_a_half_written_checkpoint": sum(kill["half_written"] for run in runs for kill in run["kills"]),
            "kills_of_a_life_that_went_on": sum(bool(kill["went_on_from"]) for run in runs for kill in run["kills"]),
            "runs": len(runs),
            "runs_equal": sum(map(good, runs)),
            "controls_right": sum(each["same_bytes"] == (each["without"] == "nothing") for each in found),
            "controls": len(found),
        },
    }  # fmt: skip


def good(run: dict[str, Any]) -> bool:
    """Whether a killed run ended as an undisturbed one, in its folder and in MLflow, and left no state behind."""
    same = run["same_bytes"] and run["same_points"] and not run["points_doubled"] and not run["complaints"]
    return bool(same and run["status"] == "FINISHED" and not run["left_over"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="at least so many")
    parser.add_argument("--most", type=int, default=4, help="kills of one run")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--no-controls", dest="controls", action="store_false")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in IMPORTS:
        importlib.import_module(name)
    started = time.monotonic()
    found = measure(chosen.kills, chosen.controls, chosen.most, chosen.seed, lambda line: print(line, flush=True))
    about = {"machine": machine(), "commit": commit(), "seconds": round(time.monotonic() - started)}
    file = record(chosen.results, "kills", {**about, **found})
    summary = found["summary"]
    for name, number in summary.items():
        print(f"{name.replace('_', ' '):40} {number}")
    print(file)
    right = summary["runs_equal"] == summary["runs"] and summary["controls_right"] == summary["controls"]
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
