"""Plumbline's PPO against TRL's PPOTrainer of version 1.12, the last that has one.

    python -m benchmarks.ppo_vs_trl                                   # both sizes, three seeds; some minutes on two cores
    python -m benchmarks.ppo_vs_trl --sizes 3M --seeds 1 --factors    # one seed, and each factor switched off in turn
    python -m benchmarks.ppo_vs_trl --sizes 0.5B                      # a Qwen2-0.5B of random weights, on a GPU

Both start from the model of artifacts/instruct, answer the same customers' messages (without the first paragraph of
their prompts, in two of three the facts of the order, so that rows are shorter), and are scored by the scorer of
artifacts/reward. The larger size is the same model and scorer made wider without changing what they say; the largest,
for a GPU, has the shape of Qwen2-0.5B and random weights, so it tells of speed alone. Same LoRA, learning rate and its
course, Adam, temperature, KL coefficient, batch, minibatches, epochs and longest answer. TRL runs in an environment of
its own, made on first use: at its defaults in all that the task does not settle, and tuned for a CPU: whole
minibatches at once, no samples shown, once in float32 and, where the processor has it, once in bfloat16 (through
Accelerate's variable, as PPOConfig's own flag has no effect); the fastest of these is its best. Every run is a process
of its own, one after another, the arms in turn. Episodes per second are of the training loop alone, by the clock and
by processor time, which other work on the machine disturbs less. Afterwards the same code answers and scores held-out
messages with each policy.

What Plumbline does otherwise; `--factors` switches each off:

shared trunk            the values are a linear head on what the LM head reads; TRL's are a network of their own, read
                        and trained whole, and once more before training
folded LoRA             its update is a part of the weights in sampling, and in learning in float32: one product, not three
adapter-off reference   the policy's model without its LoRA: memory, not time; TRL does so too when given a LoRA
no prompt logits        the LM head and the last feed-forward part read the answers' tokens alone; TRL computes logits of
                        all, then cuts
length-sorted batches   a micro-batch is as wide as its own longest row; TRL's rows are as wide as the cycle's longest
                        message and longest answer together
early stop              rows that have ended leave the batch, and the rest of the loop reads no padding behind them
bf16                    where the processor has it, for all that is learned from and for scores; answers are drawn in
                        float32, whose products are as fast for few rows

Log-probabilities are read once per cycle, in the very batches that are learned from, together with the values, and not
kept from sampling: then the first ratio is exactly 1, in bfloat16 too. That costs one forward pass in about ten.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

Arm = Callable[[dict[str, Any]], dict[str, Any]]  # runs a trainer as it is told, and returns its numbers

TRL = "trl==1.12.*"
TIMES = {"3M": 1, "25M": 3}  # how many times as wide as the model of artifacts/instruct
EPISODES = {"3M": 128, "25M": 32, "0.5B": 64}
QWEN2 = {  # the shape of Qwen2-0.5B
    "vocab_size": 151_936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
TASK: dict[str, Any] = {
    "batch": 32,
    "minibatches": 1,  # this and the next six as TRL has them by default
    "epochs": 4,
    "temperature": 0.7,
    "kl_coefficient": 0.05,
    "trace": 0.95,
    "clip_range": 0.2,
    "value_coefficient": 0.1,
    "max_new_tokens": 80,
    "missing_end_penalty": 1.0,
    "learning_rate": 4.0e-3,
    "lora": {"rank": 8, "alpha": 16},
    "held_out": 120,
}
DEFAULT, TUNED, TUNED_BF16, OURS = "TRL, default", "TRL, tuned", "TRL, tuned, bf16", "Plumbline"
IN_TUNE = {"per_device_train_batch_size": TASK["batch"], "num_sample_generations": 0, "gradient_checkpointing": False}
ARMS: dict[str, dict[str, Any]] = {
    DEFAULT: {"options": {"per_device_train_batch_size": 8}, "environment": {}},
    TUNED: {"options": IN_TUNE, "environment": {}},
    TUNED_BF16: {"options": IN_TUNE, "environment": {"ACCELERATE_MIXED_PRECISION": "bf16"}},
    OURS: {"micro_batch": 8},
}
FACTORS = (
    "shared trunk", "folded LoRA", "adapter-off reference", "no prompt logits", "length-sorted batches", "early stop",
    "bf16",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=EPISODES, default=list(TIMES))
    parser.add_argument("--episodes", type=int, help=f"of a run; by default {EPISODES}")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--factors", action="store_true", help="also run Plumbline without each factor, one cycle each")
    parser.add_argument("--aside", type=Path, default=Path(".tools/trl-1.12"), help="environment for TRL")
    parser.add_argument("--out", type=Path, help="folder for the result")
    chosen = choices(parser, plumbline, trl)

    import torch

    from benchmarks.record import RESULTS, record
    from plumbline.models.precision import has_bfloat16

    arms = [arm for arm in chosen.arms if arm != TUNED_BF16 or has_bfloat16()]
    python = environment(chosen.aside)
    runs: list[dict[str, Any]] = []
    factors: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        prompts = write_inputs(Path(folder), chosen.sizes)
        for size in chosen.sizes:
            common = {
                "size": size,
                "inputs": folder,
                "out": str(Path(folder) / "policy"),
                "episodes": chosen.episodes or EPISODES[size],
            }
            for seed in chosen.seeds:
                for arm in arms:
                    spec = common | ARMS[arm] | {"arm": arm, "seed": seed}
                    found = child("benchmarks.ppo_vs_trl", sys.executable if arm == OURS else python, spec)
                    found["held_out"] = held_out(Path(folder), size, prompts["test"][: TASK["held_out"]])
                    runs.append({name: spec[name] for name in ("size", "arm", "seed", "episodes")} | found)
                    print(line(runs[-1]), flush=True)
            for factor in ("none", *FACTORS) if chosen.factors else ():
                spec = common | ARMS[OURS] | {"arm": OURS, "seed": 1, "episodes": TASK["batch"], "without": factor}
                found = child("benchmarks.ppo_vs_trl", sys.executable, spec)
                factors.append({"size": size, "without": factor} | found)
                print(f"without {factor}: {line(spec | found)}", flush=True)
    comparison = {size: compared([run for run in runs if run["size"] == size]) for size in chosen.sizes}
    result = {
        "task": TASK,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "load": os.getloadavg(),
        "compared": comparison,
        "factors": factors,
        "runs": runs,
    }
    print(json.dumps(comparison, indent=1))
    print(record(chosen.out or RESULTS, "ppo_vs_trl", result))


def choices(parser: argparse.ArgumentParser, ours: Arm, theirs: Arm) -> argparse.Namespace:
    """What the command line asks for. In the process of one run, which `child` starts: do it, print its numbers, end."""
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--run", help="run one arm here, and print its numbers as JSON")
    chosen = parser.parse_args()
    if chosen.run:
        spec = json.loads(chosen.run)
        print(json.dumps((ours if spec["arm"] == OURS else theirs)(spec)))
        sys.exit()
    return chosen


def environment(folder: Path) -> str:
    """The Python of an environment that has TRL 1.12, made where there is none."""
    python = folder / "bin" / "python"
    probe = [str(python), "-c", "import trl.experimental.ppo, peft"]
    if not python.exists() or subprocess.run(probe, capture_output=True).returncode:
        from importlib.metadata import version

        venv.create(folder, with_pip=True)
        wanted = [TRL, *(f"{name}=={version(name).partition('+')[0]}" for name in ("torch", "peft"))]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    return str(python.absolute())


def child(module: str, python: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The numbers of one run, in a process of its own."""
    done = subprocess.run(
        [python, "-W", "ignore", "-m", module, "--run", json.dumps(spec)],
        capture_output=True,
        text=True,
        env=os.environ | spec.get("environment", {}),
    )
    if done.returncode:
        raise SystemExit(f"{spec}\n{done.stderr[-3000:]}")
    numbers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return numbers


class Clock:
    """Seconds, by the clock and of the processor: of all, and by what they were spent on."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self.began = (time.perf_counter(), time.process_time())

    def watch(self, owner: Any, name: str, label: Callable[[], str]) -> None:
        """From here on, count the processor's seconds within `owner.name` under a label."""
        inner = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            what, began = label(), time.process_time()
            try:
                return inner(*given, **named)
            finally:
                self.spent[what] = self.spent.get(what, 0.0) + time.process_time() - began

        setattr(owner, name, timed)

    def start(self) -> None:
        self.began = (time.perf_counter(), time.process_time())

    def stop(self) -> dict[str, Any]:
        seconds, processor = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        return {
            "seconds": round(seconds, 2),
            "processor_seconds": round(processor, 2),
            "profile": {what: round(spent, 2) for what, spent in self.spent.items()},
        }


def line(run: dict[str, Any]) -> str:
    told = " ".join(f"{what} {spent:.1f}" for what, spent in run["profile"].items())
    speed = " and ".join(f"{run['episodes'] / run[name]:.2f}" for name in ("seconds", "processor_seconds"))
    held = f", held out {fmean(run['held_out']):.2f}" if "held_out" in run else ""
    return (
        f"{run['size']} {run['arm']}, seed {run['seed']}: {speed} episodes per second and processor second, "
        f"score {run['scores'][0]:.2f} to {run['scores'][-1]:.2f}{held} ({told})"
    )


def compared(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one size: speeds of the arms, how many times TRL's best is ours, seed by seed, and whose policy scores higher."""
    import numpy as np

    from plumbline.algorithms.bootstrap import paired_difference, ratio

    arms = {run["arm"] for run in runs}
    numbers: dict[str, Any] = {}
    for arm in sorted(arms):
        own = [run for run in runs if run["arm"] == arm]
        numbers[arm] = {
            "episodes_per_second": fmean(run["episodes"] / run["seconds"] for run in own),
            "episodes_per_processor_second": fmean(run["episodes"] / run["processor_seconds"] for run in own),
            "score_first_cycle": fmean(run["scores"][0] for run in own),
            "score_last_cycle": fmean(run["scores"][-1] for run in own),
            "kl_last_cycle": fmean(run["kl"][-1] for run in own),
            "held_out": fmean(fmean(run["held_out"]) for run in own),
        }
    if OURS not in arms or len(arms) == 1:
        return numbers
    speed = "episodes_per_second"
    best = max(arms - {OURS}, key=lambda arm: numbers[arm][speed])
    numbers["TRL's best"] = best
    for name in (speed, "episodes_per_processor_second"):
        numbers[f"times {name}"] = numbers[OURS][name] / numbers[best][name]
    held = {
        arm: np.array([(score, 1.0) for run in runs if run["arm"] == arm for score in run["held_out"]])
        for arm in (OURS, best)
    }
    groups = [str(place) for run in runs if run["arm"] == OURS for place in range(len(run["held_out"]))]
    difference = paired_difference(held[OURS], held[best], groups, ratio, resamples=1000, seed=0)
    numbers["held_out difference"] = difference._asdict()
    return numbers


def write_inputs(folder: Path, sizes: list[str]) -> dict[str, list[str]]:
    """Policy and scorer of each size, for both, and the messages by split."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForSequenceClassification

    from plumbline.models.adapters import Adapter, merge, probe_of
    from plumbline.models.load import load_model, load_tokenizer
    from plumbline.models.scorer import ABOUT, ADAPTER, HEAD, load_scorer
    from plumbline.rows import Ranking, read_rows
    from plumbline.store import write_json

    start, reward = Path("artifacts/instruct/model"), Path("artifacts/reward/model")
    prompts = {
        split: [message(row.prompt) for row in read_rows(Path(f"artifacts/prepare/rankings_{split}.jsonl"), Ranking)]
        for split in ("train", "test")
    }
    write_json(folder / "prompts.json", prompts)
    for size in sizes:
        own, scorer, tokenizer = folder / size, load_scorer(reward), load_tokenizer(start)
        if size in TIMES:
            times = TIMES[size]
            merge(scorer.model, Adapter(ADAPTER, "lora"), probe_of(scorer.model, tokenizer, prompts["test"][:2]))
            policy, judge = (widened(model, times) for model in (load_model(start), scorer.model))
            weight = scorer.head.weight.repeat(1, times) / times**0.5
        else:
            policy, judge = (qwen2(tokenizer, seed) for seed in (1, 2))
            weight = torch.randn(1, judge.config.hidden_size) / judge.config.hidden_size**0.5
        # As Plumbline reads a scorer, and as TRL does, the scale being part of its head.
        head = {"weight": weight.detach().cpu(), "bias": scorer.head.bias.detach().cpu()}
        judge.save_pretrained(own / "scorer")
        save_file({name: each.contiguous() for name, each in head.items()}, own / "scorer" / HEAD)
        scale = scorer.scale
        about = {"kind": "full", "architecture": "causal", "base": None, "scale": scale._asdict(), "longest": None}
        write_json(own / "scorer" / ABOUT, about)
        judge.config.num_labels = 1
        classifier = AutoModelForSequenceClassification.from_config(judge.config)
        classifier.base_model.load_state_dict(judge.base_model.state_dict())
        classifier.score.weight.data = head["weight"] / scale.deviation
        classifier.save_pretrained(own / "classifier")
        write_json(own / "bias.json", float((head["bias"] - scale.mean) / scale.deviation))
        policy.save_pretrained(own / "policy")
        for name in ("scorer", "classifier", "policy"):
            tokenizer.save_pretrained(own / name)
    return prompts


def message(prompt: str) -> str:
    """The prompt without its first paragraph: the facts of the order, or the instruction where that leads."""
    role, rest = prompt.split("\n", 1)
    _first, said = rest.split("\n\n", 1)
    return f"{role}\n{said}"


def widened(model: Any, times: int) -> Any:
    """The same function as a decoder that is `times` as wide, with as many more heads and feed-forward units.

    Each number of the hidden state stands there `times` times, divided by its root, so that products with the tied
    embedding keep their size, and what reads them takes the mean. Chen et al. (2016), "Net2Net", without its noise.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    if times == 1:
        return model
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
    wider = {name: getattr(model.config, name) * times for name in sizes}
    new = LlamaForCausalLM(LlamaConfig.from_dict(model.config.to_dict() | wider))

    def tiled(name: str, weight: Any) -> Any:
        writes = any(part in name for part in ("o_proj", "down_proj", "embed_tokens", "lm_head", "model.norm"))
        size = times**-0.5 if writes else 1.0
        if weight.dim() == 1:
            return weight.repeat(times) * size
        if "embed_tokens" in name or "lm_head" in name:
            return weight.repeat(1, times) * size
        return weight.repeat(times, times) / times * size

    new.load_state_dict({name: tiled(name, weight) for name, weight in model.state_dict().items()})
    return new.eval()


def qwen2(tokenizer: Any, seed: int) -> Any:
    """A Qwen2-0.5B of random weights; the tokenizer gets a word of its own for every id that it does not have yet."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer.add_tokens([f"<{number}>" for number in range(len(tokenizer), QWEN2["vocab_size"])])
    torch.manual_seed(seed)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return Qwen2ForCausalLM(Qwen2Config(**QWEN2, bos_token_id=None, **ends))


def plumbline(spec: dict[str, Any]) -> dict[str, Any]:
    """Train with Plumbline, write the policy with its LoRA merged, and say how long it took and what was scored."""
    import torch

    from plumbline.models import reinforcement
    from plumbline.models.adapters import merge, probe_of
    from plumbline.models.load import load_model, load_tokenizer
    from plumbline.models.policy import Policy
    from plumbline.models.precision import has_bfloat16
    from plumbline.models.scorer import load_scorer, scores
    from plumbline.params import load_params

    folder = Path(spec["inputs"]) / spec["size"]
    prompts = json.loads((folder.parent / "prompts.json").read_text())
    without = spec.get("without")
    ready = load_params(Path("params.yaml")).ppo
    changed = {
        "seed": spec["seed"],
        "lora": {**TASK["lora"], "dropout": 0.0, "targets": "attention"},
        "values": "separate" if without == "shared trunk" else "shared",
        "cycles": spec["episodes"] // TASK["batch"],
        "batch": TASK["batch"],
        "minibatch": TASK["batch"] // TASK["minibatches"],
        "micro_batch": spec["micro_batch"],
        "sampling_batch": TASK["batch"],
        "warmup": 0.0,
        "kl": ready.kl.model_dump() | {"coefficient": TASK["kl_coefficient"], "control": "fixed"},
        "discount": 1.0,
        "value_clip_range": TASK["clip_range"],
        "score_limit": 1e9,
        "step_kl_limit": 1e9,  # so that all epochs are run
        "precision": "bfloat16" if has_bfloat16() and without != "bf16" else "float32",
        "value_learning_rate": TASK["learning_rate"],
        **{name: TASK[name] for name in ("epochs", "temperature", "trace", "clip_range", "value_coefficient",
                                         "max_new_tokens", "missing_end_penalty", "learning_rate")},
    }  # fmt: skip
    params = type(ready)(**ready.model_dump() | changed)
    tokenizer, judge = load_tokenizer(folder / "policy"), load_scorer(folder / "scorer")
    policy = Policy(load_model(folder / "policy"), params)
    switch_off(without, policy, folder)

    class Judge:
        def score(self, asked: Any, answers: Any) -> Any:
            with torch.autocast(judge.device.type, torch.bfloat16, enabled=params.precision == "bfloat16"):
                return scores(judge, asked, answers, params.micro_batch)

    clock, scorer = Clock(), Judge()
    clock.watch(scorer, "score", lambda: "scoring")
    clock.watch(reinforcement, "sample_answers", lambda: "sampling")
    clock.watch(reinforcement, "experience", lambda: "reading")
    clock.watch(reinforcement, "gradients", lambda: "learning")
    told: list[dict[str, float]] = []
    clock.start()
    reinforcement.reinforce(
        policy,
        tokenizer,
        prompts["train"],
        {"reward": reinforcement.Scorer(scorer.score, 1.0)},
        {},
        params,
        lambda cycle: told.append(cycle.numbers),
    )
    numbers = clock.stop()
    if policy.adapter and without is None:
        merge(policy.model, policy.adapter, probe_of(policy.model, tokenizer, prompts["test"][:2]))
        policy.model.save_pretrained(spec["out"])
        tokenizer.save_pretrained(spec["out"])
    return numbers | {"scores": [each["score"] for each in told], "kl": [each["kl_k1"] for each in told]}


def switch_off(factor: str | None, policy: Any, folder: Path) -> None:
    """Have the loop do without one of the factors that are not knobs."""
    from contextlib import contextmanager, nullcontext

    from plumbline.models import policy as policy_module
    from plumbline.models import reinforcement, sampling
    from plumbline.models.load import load_model

    match factor:
        case "folded LoRA":
            policy.folded = nullcontext
        case "adapter-off reference":
            policy.reference = load_model(folder / "policy").requires_grad_(False)
        case "no prompt logits":

            @contextmanager
            def at_all(model: Any, rows: Any, columns: Any) -> Any:
                read: list[Any] = []
                head = model.get_output_embeddings()
                hooks = [
                    head.register_forward_pre_hook(lambda _, given: read.append(given[0][rows, columns])),
                    head.register_forward_hook(lambda _, given, logits: logits[rows, columns]),
                ]
                yield read
                for hook in hooks:
                    hook.remove()

            policy_module.logits_at = at_all
        case "length-sorted batches":

            def as_they_come(own: Any, asked: Any, answers: Any, rows: Any, params: Any) -> Any:
                size = params.micro_batch
                cuts = [list(rows)[at : at + size] for at in range(0, len(rows), size)]
                return [
                    reinforcement.Part(cut, own.batch([asked[row] for row in cut], [answers[row] for row in cut]))
                    for cut in cuts
                ]

            reinforcement.parts_of = as_they_come
        case "early stop":
            speak = sampling.speak

            def to_the_end(*given: Any, end: int, **named: Any) -> Any:
                whole = speak(*given, end=-1, **named)
                cuts = [each.ids.index(end) + 1 if end in each.ids else len(each.ids) for each in whole]
                return [
                    each._replace(ids=each.ids[:cut], logp=each.logp[:cut], ended=end in each.ids)
                    for each, cut in zip(whole, cuts, strict=True)
                ]

            sampling.speak = to_the_end


def trl(spec: dict[str, Any]) -> dict[str, Any]:
    """The same with TRL, within its own environment, where nothing of the project can be imported."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer

    folder = Path(spec["inputs"]) / spec["size"]
    tokenizer = AutoTokenizer.from_pretrained(folder / "policy", padding_side="left")
    prompts = json.loads((folder.parent / "prompts.json").read_text())["train"]
    rows = Dataset.from_dict({"input_ids": tokenizer(prompts, add_special_tokens=False).input_ids})

    def classifier() -> Any:
        model = AutoModelForSequenceClassification.from_pretrained(folder / "classifier", num_labels=1)
        with_bias = torch.nn.Linear(model.config.hidden_size, 1)
        with_bias.weight.data = model.score.weight.data
        with_bias.bias.data.fill_(json.loads((folder / "bias.json").read_text()))
        model.score = with_bias
        return model

    policy = AutoModelForCausalLM.from_pretrained(folder / "policy")
    policy.config.use_cache = policy.generation_config.use_cache = True  # else it would read all again for every token
    value_model = classifier()
    config = PPOConfig(
        output_dir=spec["out"],
        seed=spec["seed"],
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        total_episodes=spec["episodes"],
        gradient_accumulation_steps=TASK["batch"] // spec["options"]["per_device_train_batch_size"],
        num_mini_batches=TASK["minibatches"],
        num_ppo_epochs=TASK["epochs"],
        response_length=TASK["max_new_tokens"],
        stop_token="eos",
        temperature=TASK["temperature"],
        kl_coef=TASK["kl_coefficient"],
        lam=TASK["trace"],
        cliprange=TASK["clip_range"],
        cliprange_value=TASK["clip_range"],
        vf_coef=TASK["value_coefficient"],
        missing_eos_penalty=TASK["missing_end_penalty"],
        learning_rate=TASK["learning_rate"],
        adam_beta2=0.95,
        adam_epsilon=1e-5,
        **spec["options"],
    )
    trainer = PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=policy,
        ref_model=None,
        reward_model=classifier(),
        value_model=value_model,
        train_dataset=rows,
        eval_dataset=rows.select(range(8)),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=TASK["lora"]["rank"],
            lora_alpha=TASK["lora"]["alpha"],
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
        ),
    )
    told: list[dict[str, float]] = []
    trainer.log = lambda metrics, *_: told.append(dict(metrics))
    clock = Clock()
    clock.watch(ppo_trainer, "batch_generation", lambda: "sampling")
    clock.watch(ppo_trainer, "get_reward", lambda: "values and scoring")
    clock.watch(ppo_trainer, "forward", lambda: "learning" if torch.is_grad_enabled() else "reference")
    clock.watch(trainer.accelerator, "backward", lambda: "learning")
    clock.start()
    trainer.train()
    numbers = clock.stop()
    trained = trainer.accelerator.unwrap_model(trainer.model).policy.merge_and_unload()
    trained.save_pretrained(spec["out"])
    tokenizer.save_pretrained(spec["out"])
    return numbers | {
        "scores": [each["objective/scores"] for each in told],
        "kl": [each["objective/kl"] for each in told],
    }


def held_out(folder: Path, size: str, prompts: list[str]) -> list[float]:
    """The scores of the trained policy's answers to held-out messages, drawn with the same random numbers for all."""
    import torch

    from plumbline.models.encode import token_ids
    from plumbline.models.load import load_model, load_tokenizer
    from plumbline.models.sampling import sample
    from plumbline.models.scorer import load_scorer, scores

    tokenizer = load_tokenizer(folder / "policy")
    answers = sample(
        load_model(folder / "policy"),
        token_ids(tokenizer, prompts),
        end=tokenizer.eos_token_id,
        pad=tokenizer.pad_token_id,
        max_new_tokens=TASK["max_new_tokens"],
        temperature=TASK["temperature"],
        batch=TASK["held_out"],
        generator=torch.Generator().manual_seed(0),
    )
    texts = tokenizer.batch_decode([each.ids for each in answers], skip_special_tokens=True)
    return scores(load_scorer(folder / size / "scorer"), prompts, [text.strip() for text in texts], 8)


if __name__ == "__main__":
    main()
