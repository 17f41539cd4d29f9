"""Stage `ppo`: reinforcement learning of answers from a scorer, by proximal policy optimisation.

reads    policy  model/, which the policy starts from and is compared with: artifacts/instruct
         reward  model/, the scorer
         data    the prompts of rankings_train.jsonl to learn on, those of rankings_test.jsonl to measure on
         world   gold.jsonl, where there is one: the facts that the gold score grades an answer by, for measuring only
writes   out     the LoRA (or model/), values.safetensors, curves.csv, answers.jsonl, metrics.json, report.html;
                 after an alarm healthy/: LoRA and values as of the last cycle without one
maths    plumbline/algorithms/ppo.py, plumbline/algorithms/alarms.py, plumbline/models/reinforcement.py
"""

import importlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plumbline.checkpoints import resumable
from plumbline.curves import TrainingCurve
from plumbline.errors import ArtifactError, DataError, ParamsError
from plumbline.params import Ppo
from plumbline.rows import Ranking, gold_of, read_rows, write_rows
from plumbline.stage import run_stage
from plumbline.store import need, unfinished
from plumbline.tracking import track

if TYPE_CHECKING:
    from plumbline.models.reinforcement import Cycle, Measured, Score, Scorer

CURVES = (
    "step", "score", "score_deviation", "gold", "second_score", "kl_k1", "kl_k2", "kl_k3", "kl_error", "kl_coefficient",
    "entropy", "length", "ended", "repetition", "distinct", "advantage_mean", "advantage_deviation",
    "explained_variance", "policy_loss", "value_loss", "clip_fraction", "ratio_mean", "ratio_max", "first_ratio",
    "kl_step", "gradient_norm", "passes", "sampling_gap",
)  # fmt: skip
SHOWN = ("score", "gold", "kl_k1", "length", "ended", "sampled_tokens_per_second", "learned_tokens_per_second")


def ppo(params: Ppo, *, policy: Path, reward: Path, data: Path, world: Path, out: Path) -> Path:
    """Let the model answer, score its answers, and make the better ones likelier; measure before and after."""
    need(data, stage="prepare")
    need(policy, "model", stage="instruct")
    need(reward, "model", stage="reward")
    need(world, stage="world")
    beneath = policy / "model"
    asked = {file: prompts_of(file) for file in (data / f"rankings_{split}.jsonl" for split in ("train", "test"))}
    inputs = {"policy": beneath, "reward": reward / "model", "data": data, "world": world, **other_sources(params)}

    from plumbline.models.encode import count_tokens
    from plumbline.models.load import load_model, load_tokenizer
    from plumbline.models.policy import Policy
    from plumbline.models.precision import on_this_machine
    from plumbline.models.reinforcement import SECOND, copied, measure, put, reinforce
    from plumbline.models.state import learning
    from plumbline.report.ppo import page

    params = on_this_machine(params, "ppo")
    tokenizer, model = load_tokenizer(beneath), load_model(beneath)
    train, test = (
        that_fit(rows, count_tokens(tokenizer, [row.prompt for row in rows]), params.max_new_tokens, model.config, file)
        for file, rows in asked.items()
    )
    test = test[: params.measured_prompts]
    tasks = Counter(row.task for row in train)
    questions, held_out = ([row.prompt for row in rows] for rows in (train, test))
    gold = gold_score(world / "gold.jsonl", [*train, *test])
    scorers = scorers_of(params, reward, [*questions, *held_out])
    second = scorer_in(Path(params.second_scorer), params, [*questions, *held_out]) if params.second_scorer else gold
    watched = {name: score for name, score in (("gold", gold), (SECOND, second)) if score is not None}

    with (
        resumable("ppo", params, params.checkpoint_every, **inputs) as checkpoints,
        track("ppo", params, checkpoints) as run,
        unfinished(out) as folder,
    ):
        for name, path in inputs.items():
            run.input(name, path)
        learner = Policy(model, params)
        before = measure(learner, tokenizer, held_out, params)

        curve = TrainingCurve(run, params.cycles, CURVES, "cycles", SHOWN)
        rang: list[str] = []
        well = 1  # the last cycle without an alarm

        def report(cycle: "Cycle") -> None:
            nonlocal well
            well = well if cycle.alarms else cycle.number
            curve.report(cycle.number, cycle.numbers)
            run.step(cycle.number, **{f"alarm.{alarm.name}": alarm.seen for alarm in cycle.alarms})
            for alarm in cycle.alarms:
                if alarm.name not in rang:
                    rang.append(alarm.name)
                    print(f"ALARM {alarm}", flush=True)

        healthy = reinforce(learner, tokenizer, questions, scorers, watched, params, report, checkpoints)
        if healthy is not None:
            last = copied(learner)
            put(learner, healthy)
            (folder / "healthy").mkdir()
            learner.save(beneath, folder / "healthy", sorted(tasks))
            put(learner, last)
            print(f"ppo: {', '.join(rang)} rang; the policy of cycle {well} is kept in {out / 'healthy'}", flush=True)
        learner.save(beneath, folder, sorted(tasks))
        after = measure(learner, tokenizer, held_out, params)

        if second is gold:
            watched.pop(SECOND, None)  # the same once more
        answers = beside(test, before, after, scorers, watched)
        numbers = {
            "prompts": {"train": len(train), "test": len(test)},
            "groups": len({row.group for row in test}),
            "tasks": dict(tasks),
            "cycles": len(curve.points()),
            "answers": len(curve.points()) * params.batch,
            "parameters": {
                "trained": sum(weight.numel() for weight in learning(learner).values()),
                "all": sum(weight.numel() for weight in learner.parameters()),
            },
            "alarms": rang,
            **({"healthy_cycle": well} if rang else {}),
            "measured": compared(answers, params),
        }
        write_rows(folder / "answers.jsonl", answers)
        curve.write(folder / "curves.csv")
        (folder / "report.html").write_text(page(numbers, answers, curve.points(), params), encoding="utf-8")
        for name in ("report.html", "answers.jsonl"):
            run.artifact(folder / name)
        run.model(folder)
        run.finish(folder, **numbers)
    return out


def that_fit(rows: list[Ranking], lengths: Sequence[int], answer: int, config: Any, file: Path) -> list[Ranking]:
    """The rows whose prompt, of so many tokens, leaves a decoder room for an answer, and a line on those that do not.

    DataError where none does.
    """
    from plumbline.models.room import has_room

    context = getattr(config, "max_position_embeddings", None)
    fitting = [
        row
        for row, length in zip(rows, lengths, strict=True)
        if has_room(length, answer, context, encoder_decoder=config.is_encoder_decoder)
    ]
    away = len(rows) - len(fitting)
    problem = f"{file}: {away} of {len(rows)} prompts leave no room for an answer of {answer} tokens in {context}"
    if not fitting:
        raise DataError(f"{problem}; lower ppo.max_new_tokens or prepare.max_tokens")
    if away:
        print(f"ppo: {problem}, and are left out", flush=True)
    return fitting


def prompts_of(path: Path) -> list[Ranking]:
    """The rankings of a split, of which only the prompts are used here, each prompt once."""
    if not path.exists():
        raise ArtifactError(
            f"{path}: no such file; give prepare.sources one of format ranked, and run `dvc repro prepare`"
        )
    rows = list({row.prompt: row for row in read_rows(path, Ranking)}.values())
    if not rows:
        raise DataError(f"{path}: no rows; raise its share of the splits in params.yaml, or add rankings")
    return rows


def gold_score(path: Path, rows: Sequence[Ranking]) -> "Score | None":
    """The world's own score of answers to the rows' prompts, by the facts of each; None where some have no facts."""
    known = gold_of(path, [row.id for row in rows], "facts")
    if known is None:
        return None
    facts = {row.prompt: each for row, each in zip(rows, known, strict=True)}

    from plumbline.world.grading import grade
    from plumbline.world.replies import score

    return lambda prompts, answers: [
        score(grade(answer, facts[prompt])) for prompt, answer in zip(prompts, answers, strict=True)
    ]


def other_sources(params: Ppo) -> dict[str, Path]:
    """What scores come from besides stage `reward`: the folders of other scorers, and the files of functions."""
    found = {}
    for name in params.rewards:
        if ":" in name:
            file = getattr(importlib.import_module(function_named(name).__module__), "__file__", None)
            if file:  # of none that is a part of Python itself
                found[f"rewards.{name}"] = Path(os.path.relpath(file))
        elif name != "reward":
            found[f"rewards.{name}"] = Path(name)
    return found | ({"second_scorer": Path(params.second_scorer)} if params.second_scorer else {})


def scorers_of(params: Ppo, reward: Path, prompts: Sequence[str]) -> "dict[str, Scorer]":
    """The scorers that `ppo.rewards` names, with their weights, each able to read the prompts."""
    from plumbline.models.reinforcement import Scorer

    return {
        name: Scorer(
            function_named(name)
            if ":" in name
            else scorer_in(reward if name == "reward" else Path(name), params, prompts),
            weight,
        )
        for name, weight in params.rewards.items()
    }


def function_named(name: str) -> "Score":
    """The function `package.module:function`; ParamsError where there is none."""
    module, _, function = name.partition(":")
    try:
        found: Score = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ParamsError(
            f"ppo.rewards.{name}: {error}; name a function of prompts and answers that gives a score to each"
        ) from None
    return found


def scorer_in(folder: Path, params: Ppo, prompts: Sequence[str]) -> "Score":
    """The scorer that a run of stage `reward` wrote into a folder. DataError where it cannot read a prompt."""
    from plumbline.models.scorer import candidates, load_scorer, scores

    scorer = load_scorer(need(folder, "model", stage="reward") / "model")
    candidates(scorer, prompts, [[""]] * len(prompts))  # refuses now what it would refuse in some cycle
    # A policy's answer may be longer than it was sampled when it is encoded again, as bytes that are no text are.
    return lambda prompts, answers: scores(scorer, prompts, answers, params.micro_batch, cut=True)


def beside(
    rows: Sequence[Ranking],
    before: "Sequence[Measured]",
    after: "Sequence[Measured]",
    scorers: "Mapping[str, Scorer]",
    watched: "Mapping[str, Score]",
) -> list[dict[str, Any]]:
    """Of each held-out prompt the answers before and after, and what is known of each of them in numbers."""
    from plumbline.models.reinforcement import total

    prompts = [row.prompt for row in rows]
    found: dict[str, list[dict[str, Any]]] = {}
    for when, said in (("before", before), ("after", after)):
        texts = [each.text for each in said]
        scores = {"score": total(scorers, prompts, texts)} | {
            name: own(prompts, texts) for name, own in watched.items()
        }
        found[when] = [
            {
                "text": each.text,
                **{name: float(values[place]) for name, values in scores.items()},
                "length": each.length,
                "ended": int(each.ended),
                "kl_k1": each.kl_k1,
                "kl_k3": each.kl_k3,
            }
            for place, each in enumerate(said)
        ]
    return [
        {"id": row.id, "group": row.group, "prompt": row.prompt, "before": old, "after": new}
        for row, old, new in zip(rows, found["before"], found["after"], strict=True)
    ]


def compared(answers: Sequence[dict[str, Any]], params: Ppo) -> dict[str, Any]:
    """Means before and after over the measured prompts and their paired difference, with their intervals."""
    import numpy as np

    from plumbline.algorithms.bootstrap import bootstrap, paired_difference, ratio

    groups = [row["group"] for row in answers]
    drawn: dict[str, Any] = {"resamples": params.resamples, "seed": params.seed}
    results: dict[str, Any] = {}
    for name in answers[0]["before"].keys() - {"text"}:
        rows = {when: np.array([(row[when][name], 1.0) for row in answers]) for when in ("before", "after")}
        results[name] = {when: bootstrap(own, groups, ratio, **drawn)._asdict() for when, own in rows.items()}
        difference = paired_difference(rows["after"], rows["before"], groups, ratio, **drawn)
        results[name]["difference"] = difference._asdict()
    return results


if __name__ == "__main__":
    run_stage(ppo)
