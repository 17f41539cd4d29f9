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
import math
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
    train, test = (prompts_of(data / f"rankings_{split}.jsonl") for split in ("train", "test"))
    test = test[: params.measured_prompts]
    gold = gold_score(world / "gold.jsonl", [*train, *test])

    from plumbline.models.encode import count_tokens
    from plumbline.models.load import load_model, load_tokenizer
    from plumbline.models.policy import Policy
    from plumbline.models.precision import on_this_machine
    from plumbline.models.reinforcement import SECOND, measure, put, reinforce
    from plumbline.models.state import learning
    from plumbline.report.ppo import page

    params = on_this_machine(params, "ppo")
    tokenizer, model = load_tokenizer(beneath), load_model(beneath)
    longest = max(count_tokens(tokenizer, [row.prompt for row in [*train, *test]]))
    refuse_overlong(longest, params.max_new_tokens, model.config, data)
    scorers = scorers_of(params, reward)
    second = scorer_in(Path(params.second_scorer), params) if params.second_scorer else gold
    watched = {name: score for name, score in (("gold", gold), (SECOND, second)) if score is not None}
    asked = [row.prompt for row in test]

    with (
        resumable(
            "ppo", params, params.checkpoint_every, policy=beneath, reward=reward, data=data, world=world
        ) as checkpoints,
        track("ppo", params, checkpoints) as run,
        unfinished(out) as folder,
    ):
        for name, path in (("policy", beneath), ("reward", reward / "model"), ("data", data), ("world", world)):
            run.input(name, path)
        learner = Policy(model, params)
        before = measure(learner, tokenizer, asked, params)

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

        healthy = reinforce(
            learner, tokenizer, [row.prompt for row in train], scorers, watched, params, report, checkpoints
        )
        if healthy is not None:
            last = {name: weight.detach().clone() for name, weight in learning(learner).items()}
            put(learner, healthy)
            (folder / "healthy").mkdir()
            learner.save(beneath, folder / "healthy")
            put(learner, last)
            print(f"ppo: {', '.join(rang)} rang; the policy of cycle {well} is kept in {out / 'healthy'}", flush=True)
        learner.save(beneath, folder)
        after = measure(learner, tokenizer, asked, params)

        if second is gold:
            watched.pop(SECOND, None)  # the same once more
        answers = beside(test, before, after, scorers, watched)
        numbers = {
            "prompts": {"train": len(train), "test": len(test)},
            "groups": len({row.group for row in test}),
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


def refuse_overlong(longest: int, answer: int, config: Any, data: Path) -> None:
    """DataError when a prompt of `longest` tokens and an answer of `answer` are more than a decoder reads."""
    context = getattr(config, "max_position_embeddings", None) or math.inf
    needed = max(longest, answer) if config.is_encoder_decoder else longest + answer
    if needed > context:
        raise DataError(
            f"{data}: prompt and answer may have {needed} tokens, and the model reads {context}; "
            "lower ppo.max_new_tokens or prepare.max_tokens"
        )


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


def scorers_of(params: Ppo, reward: Path) -> "dict[str, Scorer]":
    """The scorers that `ppo.rewards` names, with their weights."""
    from plumbline.models.reinforcement import Scorer

    return {
        name: Scorer(scorer_in(reward, params) if name == "reward" else scorer_named(name, params), weight)
        for name, weight in params.rewards.items()
    }


def scorer_named(name: str, params: Ppo) -> "Score":
    """The function `package.module:function`, or the scorer in a folder; ParamsError where there is neither."""
    module, _, function = name.partition(":")
    if not function:
        return scorer_in(Path(name), params)
    try:
        found: Score = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ParamsError(
            f"ppo.rewards.{name}: {error}; name a function of prompts and answers that gives a score to each"
        ) from None
    return found


def scorer_in(folder: Path, params: Ppo) -> "Score":
    """The scorer that a run of stage `reward` wrote into a folder."""
    from plumbline.models.scorer import load_scorer, scores

    scorer = load_scorer(need(folder, "model", stage="reward") / "model")
    return lambda prompts, answers: scores(scorer, prompts, answers, params.sampling_batch)


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
