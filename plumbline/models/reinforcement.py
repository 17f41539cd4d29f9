"""Reinforcement learning of answers by PPO: the loop around the equations of `plumbline.algorithms.ppo`.

One cycle samples an answer to each of a batch of prompts, scores it, and learns from it for a few epochs. All that is
random in it follows from the seed and the cycle's number, so a run that was killed goes on to the same bytes.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor
from transformers.trainer_utils import set_seed

from plumbline.algorithms import ppo
from plumbline.algorithms.alarms import Alarm, Limits, alarms
from plumbline.algorithms.diversity import distinct, repetition
from plumbline.checkpoints import Checkpoints
from plumbline.errors import DataError, DivergenceError
from plumbline.models.encode import token_ids
from plumbline.models.policy import Batch, Policy
from plumbline.models.sampling import Sample, sample
from plumbline.models.state import learning, load_optimisers, load_random, load_weights, save_state, write_tensors
from plumbline.params import Ppo
from plumbline.store import read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REPEATED, DISTINCT = 3, 2  # words in the runs that `repetition` and `distinct` count
SEEN = ("kl_k1", "kl_error", "score", "length", "entropy", "ended", "repetition", "distinct", "second_score")
SECOND = "second_score"

Score = Callable[[Sequence[str], Sequence[str]], Sequence[float]]  # of answers to prompts


class Scorer(NamedTuple):
    """Something that scores answers, and its weight in the sum that the policy is rewarded by."""

    score: Score
    weight: float


class Cycle(NamedTuple):
    """What one cycle was like. Number 1 has the reference's answers, as nothing was learned before it."""

    number: int
    numbers: dict[str, float]
    alarms: list[Alarm]


class Measured(NamedTuple):
    """An answer of the policy as it stands, its tokens, and its divergence from the reference in nats."""

    text: str
    length: int
    ended: bool
    kl_k1: float
    kl_k3: float


class Part(NamedTuple):
    """A micro-batch: some rows of a cycle, as tensors."""

    rows: list[int]
    batch: Batch

    def of(self, whole: Float[Tensor, "batch time"]) -> Float[Tensor, "rows shorter"]:
        """The part's rows of what is known of the whole cycle, as wide as its own answers."""
        return whole[self.rows, : self.batch.answers.shape[1]]


class Experience(NamedTuple):
    """The answers of one cycle as they were sampled, and what they teach; all of shape (answers, time)."""

    is_answer: Tensor
    logp: Tensor
    logp_reference: Tensor
    values: Tensor
    entropies: Tensor


def reinforce(
    policy: Policy,
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    scorers: Mapping[str, Scorer],
    watched: Mapping[str, Score],
    params: Ppo,
    report: Callable[[Cycle], None],
    checkpoints: Checkpoints | None = None,
) -> dict[str, Tensor] | None:
    """Let the policy learn to answer the prompts so that the weighted sum of the scorers' scores rises.

    `watched` scores are reported, and never learned from; the one called `second_score` is listened to by an alarm.
    With `checkpoints`, a run that was killed goes on from the newest, after reporting again what came before it.
    Returns the learning weights as of the last cycle without an alarm, or None if none rang. With
    `params.stop_on_alarm` the first alarm ends the run before anything is learned from its cycle.
    Raises DivergenceError when a loss or a gradient is not a finite number, DataError when a score is not.
    """
    set_seed(params.seed)  # for scorers that draw random numbers; the loop itself draws from generators of its own
    ids = token_ids(tokenizer, prompts)
    optimiser = optimiser_of(policy, params)
    history: list[dict[str, float]] = []
    kl_coefficient = params.kl.coefficient
    healthy = copied(policy)
    rang = False
    newest = checkpoints.newest() if checkpoints else None
    if newest:
        state = read_json(newest / "loop.json")
        load_weights(newest, policy)
        load_optimisers(newest, [optimiser])
        load_random(newest)
        kl_coefficient = state["kl_coefficient"]
        healthy = load_file(newest / "healthy.safetensors")
        for numbers in state["history"]:
            history.append(numbers)
            alarm = standing(history, params)
            rang = rang or bool(alarm)
            report(Cycle(len(history), numbers, alarm))

    def write_state(folder: Path) -> None:
        save_state(folder, policy, [optimiser])
        write_json(folder / "loop.json", {"history": history, "kl_coefficient": kl_coefficient})
        write_tensors(folder / "healthy.safetensors", healthy)

    for number in range(len(history), params.cycles):
        # 1. Sample an answer to each prompt of the cycle.
        started = time.monotonic()
        chosen = prompts_of(number, len(prompts), params)
        asked = [ids[row] for row in chosen]
        samples = sample_answers(policy, tokenizer, asked, params, "cycle", number)
        texts = texts_of(tokenizer, samples)
        tokens = sum(len(each.ids) for each in samples)
        numbers = {"sampled_tokens_per_second": tokens / (time.monotonic() - started)}

        # 2. Score them; what does not end properly pays for it.
        questions = [prompts[row] for row in chosen]
        scores = {name: scored(name, scorer.score, questions, texts) for name, scorer in scorers.items()}
        score = tensor(policy, summed(scorers, scores))
        ended = torch.tensor([each.ended for each in samples], device=score.device)
        shaped = ppo.shaped_score(
            score, ended, missing_end_penalty=params.missing_end_penalty, score_limit=params.score_limit
        )

        # 3. Read them in the very batches that will be learned from, so that the first ratio is exactly 1.
        minibatches = divided(policy, asked, [each.ids for each in samples], params)
        seen = experience(policy, minibatches, samples)

        # 4. Reward every token, and find out which were better than expected.
        rewards = ppo.penalised_rewards(shaped, seen.logp, seen.logp_reference, seen.is_answer, kl_coefficient)
        advantages, returns = ppo.advantages_and_returns(
            rewards, seen.values, seen.is_answer, discount=params.discount, trace=params.trace
        )
        numbers |= ppo.cycle_statistics(
            score, ended, seen.logp, seen.logp_reference, seen.entropies, seen.values, advantages, returns, seen.is_answer
        )  # fmt: skip
        numbers |= {
            "repetition": repetition(texts, REPEATED),
            "distinct": distinct(texts, DISTINCT),
            "kl_coefficient": kl_coefficient,
            "sampling_gap": sampling_gap(samples, seen),
        }
        numbers |= {f"score.{name}": fmean(own) for name, own in scores.items() if len(scores) > 1}
        for name, watch in watched.items():
            values = scored(name, watch, questions, texts)
            numbers |= {name: fmean(values), f"{name}_deviation": pstdev(values)}

        # 5. Is something wrong with these answers? If not, the policy that gave them is a healthy one.
        history.append(numbers)
        alarm = standing(history, params)
        rang = rang or bool(alarm)
        if not alarm:
            healthy = copied(policy)

        # 6. Learn from them, unless that is to end here.
        if not (alarm and params.stop_on_alarm):
            started = time.monotonic()
            whitened = ppo.whitened(advantages, seen.is_answer, ppo.moments(advantages, seen.is_answer))
            numbers |= learn(policy, optimiser, minibatches, seen, whitened, returns, params, number)
            learned = numbers["passes"] * sum(map(len, asked), tokens)
            numbers["learned_tokens_per_second"] = learned / (time.monotonic() - started)
            if params.kl.control == "adaptive":
                kl_coefficient = ppo.adapted_kl_coefficient(
                    kl_coefficient,
                    numbers["kl_k1"],
                    target=params.kl.target,
                    horizon=params.kl.horizon,
                    answers=params.batch,
                )

        # 7. Tell of it, and keep it.
        report(Cycle(number + 1, numbers, alarm))
        if alarm and params.stop_on_alarm:
            break
        if checkpoints and checkpoints.due(number + 1):
            checkpoints.save(number + 1, write_state)
    return healthy if rang else None


def measure(
    policy: Policy, tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], params: Ppo
) -> list[Measured]:
    """What the policy answers to each prompt now, drawn with the same random numbers every time."""
    ids = token_ids(tokenizer, prompts)
    samples = sample_answers(policy, tokenizer, ids, params, "measure", 0)
    answers = [each.ids for each in samples]
    parts = [parts_of(policy, ids, answers, range(len(ids)), params)]
    seen = experience(policy, parts, samples)
    drift = ppo.divergence(seen.logp, seen.logp_reference, seen.is_answer)
    k1, k3 = (estimate.double().sum(1).tolist() for estimate in (drift.k1, drift.k3))
    return [
        Measured(text, len(each.ids), each.ended, *own)
        for text, each, *own in zip(texts_of(tokenizer, samples), samples, k1, k3, strict=True)
    ]


def total(scorers: Mapping[str, Scorer], prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """The weighted sum of the scorers' scores of each answer."""
    return summed(scorers, {name: scored(name, scorer.score, prompts, answers) for name, scorer in scorers.items()})


def scored(name: str, score: Score, prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """What the scorer of that name says of each answer; DataError unless that is one finite number."""
    values = [float(value) for value in score(prompts, answers)]
    if len(values) != len(answers):
        raise DataError(f"scorer {name}: {len(values)} scores of {len(answers)} answers; let it give one to each")
    for value, answer in zip(values, answers, strict=True):
        if not math.isfinite(value):
            raise DataError(f"scorer {name}: gives {value} to the answer {answer[:60]!r}; let it give a finite number")
    return values


def summed(scorers: Mapping[str, Scorer], scores: Mapping[str, Sequence[float]]) -> list[float]:
    """The weighted sum, answer by answer."""
    weighted = [[scorers[name].weight * score for score in own] for name, own in scores.items()]
    return [sum(own) for own in zip(*weighted, strict=True)]


def texts_of(tokenizer: "PreTrainedTokenizerBase", samples: Sequence[Sample]) -> list[str]:
    """The answers as text, without special tokens."""
    texts = tokenizer.batch_decode([each.ids for each in samples], skip_special_tokens=True)
    return [text.strip() for text in texts]


def put(policy: Policy, weights: Mapping[str, Tensor]) -> None:
    """Give the policy these learning weights."""
    with torch.no_grad():
        for name, weight in learning(policy).items():
            weight.copy_(weights[name])


def optimiser_of(policy: Policy, params: Ppo) -> torch.optim.Optimizer:
    """AdamW whose two groups, the policy's weights and the values' own, each have a learning rate."""
    of_values = {id(weight) for weight in policy.value_weights().values()}
    weights = list(learning(policy).values())
    return torch.optim.AdamW(
        [
            {"params": [each for each in weights if id(each) not in of_values], "peak": params.learning_rate},
            {"params": [each for each in weights if id(each) in of_values], "peak": params.value_learning_rate},
        ],
        betas=(0.9, 0.95),
        eps=1e-5,  # gradients of rewards are small and noisy; Adam's own 1e-8 would make large steps of them
        weight_decay=0.0,
    )


def rate(cycle: int, params: Ppo) -> float:
    """The share of the peak learning rate: linear up over the share `warmup` of the cycles, then linear down to 0."""
    rising = round(params.cycles * params.warmup)
    if cycle < rising:
        return (cycle + 1) / (rising + 1)
    return (params.cycles - cycle) / (params.cycles - rising)


def prompts_of(cycle: int, prompts: int, params: Ppo) -> list[int]:
    """Which prompts a cycle answers: in every pass each once, in an order drawn from the seed alone."""
    first = cycle * params.batch
    passes = range(first // prompts, (first + params.batch - 1) // prompts + 1)
    order = [torch.randperm(prompts, generator=generator_of(params, "order", each)) for each in passes]
    start = first - passes[0] * prompts
    return torch.cat(order)[start : start + params.batch].tolist()


def generator_of(params: Ppo, purpose: str, number: int) -> torch.Generator:
    """Random numbers of their own for the cycle or pass of that number."""
    seed = hashlib.sha256(f"{params.seed} {purpose} {number}".encode()).digest()[:7]
    return torch.Generator().manual_seed(int.from_bytes(seed, "big"))


def sample_answers(
    policy: Policy,
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[Sequence[int]],
    params: Ppo,
    purpose: str,
    number: int,
) -> list[Sample]:
    """What the policy answers to prompts of ids; `purpose` and `number` name the random numbers."""
    with policy.folded():
        return sample(
            policy.model,
            prompts,
            end=tokenizer.eos_token_id,
            pad=policy.pad,
            max_new_tokens=params.max_new_tokens,
            temperature=params.temperature,
            batch=params.sampling_batch,
            generator=generator_of(params, purpose, number),
        )


def divided(
    policy: Policy, prompts: Sequence[list[int]], answers: Sequence[list[int]], params: Ppo
) -> list[list[Part]]:
    """The minibatches of a cycle, each in micro-batches of rows of similar length.

    The prompts come in random order, so any cut makes random minibatches. They stay the same through all epochs.
    """
    return [
        parts_of(policy, prompts, answers, range(start, start + params.minibatch), params)
        for start in range(0, params.batch, params.minibatch)
    ]


def parts_of(
    policy: Policy, prompts: Sequence[list[int]], answers: Sequence[list[int]], rows: Sequence[int], params: Ppo
) -> list[Part]:
    """These rows in micro-batches of similar length."""
    order = sorted(rows, key=lambda row: (len(prompts[row]) + len(answers[row]), row))
    cuts = [order[at : at + params.micro_batch] for at in range(0, len(order), params.micro_batch)]
    return [Part(own, policy.batch([prompts[row] for row in own], [answers[row] for row in own])) for own in cuts]


@torch.no_grad()
def experience(policy: Policy, minibatches: Sequence[Sequence[Part]], samples: Sequence[Sample]) -> Experience:
    """Everything that learning needs to know of the sampled answers, as the policy stands now."""
    shape = len(samples), max(len(each.ids) for each in samples)
    device = policy.model.device
    seen = Experience(
        torch.zeros(shape, dtype=torch.bool, device=device), *(torch.zeros(shape, device=device) for _ in range(4))
    )
    for part in (part for minibatch in minibatches for part in minibatch):
        reading = policy.read(part.batch, entropies=True)
        parts = (
            part.batch.is_answer,
            reading.logp,
            policy.reference_logp(part.batch),
            reading.values,
            reading.entropies,
        )
        for whole, own in zip(seen, parts, strict=True):
            whole[part.rows, : own.shape[1]] = own
    return seen


def learn(
    policy: Policy,
    optimiser: torch.optim.Optimizer,
    minibatches: Sequence[Sequence[Part]],
    seen: Experience,
    advantages: Tensor,
    returns: Tensor,
    params: Ppo,
    cycle: int,
) -> dict[str, float]:
    """Several epochs over the minibatches of a cycle, fewer where the policy has moved far enough; their statistics."""
    steps: list[dict[str, float]] = []
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * rate(cycle, params)
    for _ in range(params.epochs):
        for minibatch in minibatches:
            statistics = gradients(policy, minibatch, seen, advantages, returns, params)
            steps.append(statistics)
            refuse_divergence("loss", statistics.values(), cycle)
            if statistics["kl_step"] > params.step_kl_limit:
                optimiser.zero_grad(set_to_none=True)
                return summed_up(steps, len(minibatches), stopped=True)
            norm = torch.nn.utils.clip_grad_norm_(learning(policy).values(), params.gradient_clip)
            statistics["gradient_norm"] = float(norm)
            refuse_divergence("gradient", [float(norm)], cycle)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    return summed_up(steps, len(minibatches), stopped=False)


def refuse_divergence(what: str, numbers: Iterable[float], cycle: int) -> None:
    """DivergenceError where a number is not finite, before it gets into the weights."""
    if not all(map(math.isfinite, numbers)):
        raise DivergenceError(
            f"the {what} is not a number in cycle {cycle + 1}; lower learning_rate or gradient_clip, or use float32"
        )


def gradients(
    policy: Policy, minibatch: Sequence[Part], seen: Experience, advantages: Tensor, returns: Tensor, params: Ppo
) -> dict[str, float]:
    """Add a minibatch's gradients to the weights, one micro-batch after the other, and say how far the policy is."""
    tokens = sum(int(part.batch.is_answer.sum()) for part in minibatch)
    rows = [row for part in minibatch for row in part.rows]
    logp = torch.zeros_like(seen.logp)
    losses = {"policy_loss": 0.0, "value_loss": 0.0}
    for part in minibatch:
        is_answer = part.batch.is_answer
        now = policy.read(part.batch, entropies=params.entropy_coefficient > 0)
        policy_loss = ppo.policy_loss(now.logp, part.of(seen.logp), part.of(advantages), is_answer, params.clip_range)
        value_loss = ppo.value_loss(
            now.values, part.of(seen.values), part.of(returns), is_answer, params.value_clip_range
        )
        ppo.ppo_loss(
            policy_loss,
            value_loss,
            now.entropies.sum(),
            value_coefficient=params.value_coefficient,
            entropy_coefficient=params.entropy_coefficient,
            tokens=tokens,
        ).backward()
        logp[part.rows, : now.logp.shape[1]] = now.logp.detach()
        losses["policy_loss"] += float(policy_loss.detach()) / tokens
        losses["value_loss"] += float(value_loss.detach()) / tokens
    return losses | ppo.update_statistics(logp[rows], seen.logp[rows], seen.is_answer[rows], params.clip_range)


def summed_up(steps: Sequence[dict[str, float]], minibatches: int, *, stopped: bool) -> dict[str, float]:
    """One number of each kind for all steps of a cycle."""
    last = steps[-minibatches:]
    norms = [step["gradient_norm"] for step in steps if "gradient_norm" in step]
    return {
        "first_ratio": steps[0]["ratio_max"],
        "ratio_mean": fmean(step["ratio_mean"] for step in last),
        "ratio_max": max(step["ratio_max"] for step in steps),
        "clip_fraction": fmean(step["clip_fraction"] for step in steps),
        "kl_step": fmean(step["kl_step"] for step in last),
        "policy_loss": fmean(step["policy_loss"] for step in steps),
        "value_loss": fmean(step["value_loss"] for step in steps),
        "gradient_norm": fmean(norms) if norms else 0.0,
        "passes": len(steps) / minibatches,
        "stopped_early": float(stopped),
    }


def sampling_gap(samples: Sequence[Sample], seen: Experience) -> float:
    """The most by which a token's log-probability differs between sampling and learning: rounding, if all is well."""
    return max(
        float((seen.logp[row, : len(each.ids)].cpu() - torch.tensor(each.logp)).abs().max())
        for row, each in enumerate(samples)
    )


def standing(history: Sequence[Mapping[str, float]], params: Ppo) -> list[Alarm]:
    """The alarms after the last cycle, cycles counted from 1; the second score in deviations of the first's answers."""
    first = history[0]
    cycles = [{name: cycle[name] for name in SEEN if name in cycle} for cycle in history]
    if SECOND in first:
        scale = first[f"{SECOND}_deviation"] or 1.0
        cycles = [cycle | {SECOND: (cycle[SECOND] - first[SECOND]) / scale} for cycle in cycles]
    return [each._replace(since=each.since + 1) for each in alarms(cycles, Limits(**params.alarms.model_dump()))]


def copied(policy: Policy) -> dict[str, Tensor]:
    """The learning weights, for keeping: in main memory, as a GPU's is for what is computed."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in learning(policy).items()}


def tensor(policy: Policy, values: Sequence[float]) -> Float[Tensor, " answers"]:
    return torch.tensor(list(values), dtype=torch.float32, device=policy.model.device)
