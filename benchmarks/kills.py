"""Does a training stage that is killed at random moments end in the bytes of an undisturbed one?

python -m benchmarks.kills                 at least 50 kills, and a control for every piece of the state
python -m benchmarks.kills --kills 10 --no-controls
python -m benchmarks.kills --kills 20 --only reward,ppo

Each run is a real stage with tiny models and rows, as `python -m tasks.<stage>` runs it, in a process group of its own
that is ended by SIGKILL: at any moment, in the middle of a save, or while it goes on after the last kill; then it is
started again, until it is done. Its folder must have the digest of the undisturbed one, and MLflow every point once.
A control is killed once and goes on without one piece of its state: its digest must differ. A piece is what a loop takes
out of its checkpoint: of `ppo` the `history` of all cycles is also its position among the prompts, its running statistics
and its alarms.

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
from collections.abc import Callable, Sequence
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
SMALL = {"rank": 2, "alpha": 4, "targets": "attention"}
COEFFICIENT = 0.02  # at which the price of drift starts
CYCLES = {
    "cycles": 9, "batch": 8, "minibatch": 4, "micro_batch": 4, "sampling_batch": 8, "max_new_tokens": 6,
    "learning_rate": 1.0e-2, "step_kl_limit": 1.0, "measured_prompts": 4, "resamples": 100, "samples": 2,
    "checkpoint_every": 2, "rewards": {"reward": 1.0, "benchmarks.kills:noise": 0.1},
    "kl": {"coefficient": COEFFICIENT, "control": "adaptive", "target": 0.05, "horizon": 40},
    "alarms": {  # so narrow that one rings before the first checkpoint
        "window": 2, "kl_budget": 1.0e-9, "kl_noise": 4.0, "length_factor": 1.6, "repetition_rise": 0.1,
        "entropy_share": 0.4, "distinct_share": 0.6, "ended_fall": 0.2, "second_fall": 0.5,
    },
}  # fmt: skip

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
        f"reward {kind}": {
            "stage": "reward",
            "inputs": {"start": f"tuned-{kind}", "data": "rows", "world": "world"},
            "options": {},
            "knobs": KNOBS | {"start": "instruct", "lora": lora, "resamples": 100},
        }
        for kind, lora in (("causal", SMALL | {"dropout": 0.1}), ("seq2seq", None))
    }
    | {
        f"ppo {kind}": {
            "stage": "ppo",
            "inputs": {"policy": f"tuned-{kind}", "reward": f"scorer-{kind}", "data": "rows", "world": "world"},
            "options": {},
            "knobs": CYCLES | {"lora": lora, "values": values},
        }
        for kind, lora, values in (("causal", SMALL | {"dropout": 0.0}, "separate"), ("seq2seq", None, "shared"))
    }
)
# The pieces of state that a control goes without, in a case where random numbers matter: there is dropout or `noise`.
PIECES = {
    "instruct seq2seq": ("weights", "optimisers", "schedule", "random", "position", "statistics"),
    "reward causal": ("weights", "optimisers", "random", "position", "statistics"),
    "ppo causal": ("policy", "values", "optimisers", "random", "kl_coefficient", "history", "healthy"),
}
WAYS = ("any moment", "during a save", "while it goes on")
# Metrics that are never alike: what the clock says, and how busy the machine was.
SPEEDS = ("tokens_per_second", "sampled_tokens_per_second", "learned_tokens_per_second")
CLOCK = (*SPEEDS, "seconds", "peak_memory_bytes", "peak_cuda_bytes")
MACHINE = "system/"


def noise(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """A reward that draws random numbers, as a scorer with dropout would."""
    import torch

    return torch.rand(len(answers)).tolist()


def forget(stage: str, piece: str) -> None:
    """Have the training loop of this process go on without one piece of its state."""
    import torch

    from plumbline.checkpoints import Checkpoints
    from plumbline.models import ranking, reinforcement, tuning

    loop: Any = {"instruct": tuning, "reward": ranking, "ppo": reinforcement}[stage]
    read = loop.read_json
    if piece in ("position", "history"):  # it would come upon its own later checkpoints
        Checkpoints.due = lambda *_: False  # type: ignore[method-assign]
    match stage, piece:
        case _, "weights" | "optimisers" | "random":
            setattr(loop, f"load_{piece}", lambda *_: None)
        case "instruct", "schedule":
            torch.optim.lr_scheduler.LambdaLR.load_state_dict = lambda *_: None  # type: ignore[method-assign]
        case "instruct", "position":
            tuning.Order.__iter__ = lambda order: iter(order.rows)  # type: ignore[method-assign]
        case "instruct", "statistics":
            tuning.Curves.restore = lambda *_: None  # type: ignore[method-assign]
        case "reward", "position":
            loop.read_json = lambda file: read(file) | {"step": 0}
        case "reward", "statistics":
            loop.read_json = lambda file: {"step": read(file)["step"]}
        case "ppo", "policy" | "values":
            loop.load_weights = lambda folder, policy: load_all_but(piece, folder, policy)
        case "ppo", "kl_coefficient":
            loop.read_json = lambda file: read(file) | {"kl_coefficient": COEFFICIENT}
        case "ppo", "history":
            loop.read_json = lambda file: read(file) | {"history": []}
        case "ppo", "healthy":
            load = loop.load_file
            loop.load_file = lambda file: load(file.parent / "weights.safetensors")
        case _:
            raise ValueError(f"{stage} has no {piece}")


def load_all_but(part: str, folder: Path, policy: Any) -> None:
    """Load the weights of a checkpoint of `ppo`, but leave those of the `policy`, or of the `values`, as they began."""
    from plumbline.models import reinforcement, state

    began = reinforcement.copied(policy)
    state.load_weights(folder, policy)
    of_values = {id(weight) for weight in policy.value_weights().values()}
    left = [name for name, weight in state.learning(policy).items() if (id(weight) in of_values) == (part == "values")]
    reinforcement.put(policy, reinforcement.copied(policy) | {name: began[name] for name in left})


def make_inputs(root: Path, record: Path) -> None:
    """Tiny models with random weights, of each architecture, with scorers, rows for them, and a new store for MLflow."""
    import torch
    import transformers
    from mlflow import MlflowClient

    from plumbline.models.scorer import candidates, new_scorer, save_scorer
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
        scorer = new_scorer(root / name, None, 1)
        (root / f"scorer-{name}").mkdir()
        references = candidates(scorer, [text[:8] for text in texts[:8]], [[text[8:]] for text in texts[:8]])
        save_scorer(scorer, root / name, root / f"scorer-{name}/model", references, 8)
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
                "id": str(number), "task": "t", "group": str(number), "prompt": f"order {number}", "ranks": [1, 2, 3], "raters": [""],
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
        self.dealt = Counter[str]()
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
                forget(stage, without)
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
        speeds = Counter((key, step) for key, step, _, _ in rows if key in SPEEDS)
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
            possible = WAYS if checkpoints(folder) else WAYS[:2]
            way = min(possible, key=lambda each: (self.dealt[each], self.chance.random()))  # all come equally often
            self.dealt[way] += 1
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

    def control(self, case: str, piece: str, usual: dict[str, Any]) -> dict[str, Any]:
        """A run that is killed after its second checkpoint and goes on without one piece of its state, or with all."""
        folder = self.folder(case)
        process = self.start(case, folder)
        watch(process, lambda: len(checkpoints(folder)) == 2)
        end(process)
        wait(self.start(case, folder, None if piece == "nothing" else piece), folder / "log")
        return {"case": case, "without": piece, "same_bytes": digest(folder / "out") == usual["digest"]}


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


def measure(
    cases: Sequence[str], kills: int, controls: bool, most: int, seed: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """At least `kills` kills over the cases, and the controls."""
    with tempfile.TemporaryDirectory() as root:
        bench = Bench(Path(root).resolve(), seed)
        usual = {case: bench.undisturbed(case) for case in cases}
        runs: list[dict[str, Any]] = []
        while sum(len(run["kills"]) for run in runs) < kills:
            case = cases[len(runs) % len(cases)]
            runs.append(bench.killed(case, usual[case], most))
            run = runs[-1]
            ways = ", ".join(f"{kill['way']} ({kill['seconds']} s)" for kill in run["kills"]) or "done before a kill"
            say(f"{len(runs):3}  {case:18} {'equal' if good(run) else 'DIFFERS':8} {ways}")
            if not good(run):
                say(f"{run}\n{(bench.root / f'run-{bench.runs}' / 'log').read_text(errors='replace')}")
        controlled = [case for case in cases if case in PIECES] if controls else []
        found = [bench.control(case, piece, usual[case]) for case in controlled for piece in ("nothing", *PIECES[case])]
        for control in found:
            told = "equal" if control["same_bytes"] else "differs"
            say(f"     {control['case']:18} {told:8} without {control['without']}")
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
    parser.add_argument("--only", default=",".join(STAGES), help="stages, or single cases of them, with commas between")
    parser.add_argument("--results", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    named = {
        name: [case for case in STAGES if name in (case, STAGES[case]["stage"])] for name in chosen.only.split(",")
    }
    if not all(named.values()):
        parser.error(f"--only {chosen.only}: not all are stages or cases; there are {', '.join(STAGES)}")
    cases = list(dict.fromkeys(case for own in named.values() for case in own))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for name in IMPORTS:
        importlib.import_module(name)
    started = time.monotonic()
    found = measure(
        cases, chosen.kills, chosen.controls, chosen.most, chosen.seed, lambda line: print(line, flush=True)
    )
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
