"""Train a scorer on people's votes, by the Bradley-Terry loss over all pairs of each prompt."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plumbline.algorithms.preference import agreement, ranking_loss, untied
from plumbline.checkpoints import Checkpoints
from plumbline.models.scorer import Candidates, Scorer, candidate_scores, candidates
from plumbline.models.state import load_optimisers, load_random, load_weights, save_state
from plumbline.models.tuning import CURVE_POINTS, VALIDATIONS, Order, Report, finite, step_count
from plumbline.params import Reward
from plumbline.rows import Ranking
from plumbline.store import read_json, write_json

BETAS = (0.9, 0.95)  # as in training from scratch: few steps want a short memory


def votes_and_ranks(
    rows: Sequence[Ranking],
) -> tuple[Float[Tensor, "prompts completions completions"], Int[Tensor, "prompts completions"]]:
    """People's votes on every pair, as `plumbline.algorithms.preference` takes them, and the joint ranks, padded by 0."""
    width = max(len(row.completions) for row in rows)
    votes = torch.zeros(len(rows), width, width)
    ranks = torch.zeros(len(rows), width, dtype=torch.long)
    for number, row in enumerate(rows):
        ranks[number, : len(row.ranks)] = torch.tensor(row.ranks)
        for pair in row.pairs:
            votes[number, pair.better, pair.worse] = pair.votes
    return votes, ranks


def losses(
    scorer: Scorer, rows: Sequence[Candidates], batch: Sequence[Ranking], params: Reward
) -> tuple[Tensor, Tensor]:
    """The sum of the loss over prompts, and of the votes on their untied pairs [those for the scorer's order, all]."""
    rounded = params.precision == "bfloat16"  # under autocast the weights are, and an update in them with them
    with (
        torch.autocast(scorer.device.type, torch.bfloat16, enabled=rounded),
        nullcontext() if rounded else scorer.folded(),
    ):
        scores, _ = candidate_scores(scorer, rows)
    votes, ranks = (each.to(scores.device) for each in votes_and_ranks(batch))
    loss = ranking_loss(scores, votes, ranks, margin=params.margin, centring=params.centring)
    return loss.sum(), torch.stack(agreement(scores.detach(), untied(votes))).sum(1)


def train_scorer(
    scorer: Scorer,
    train: Sequence[Ranking],
    validation: Sequence[Ranking],
    params: Reward,
    report: Report,
    checkpoints: Checkpoints | None = None,
) -> None:
    """Train what is trainable of `scorer`, in place.

    `report(step, values)` gets loss (nats per pair, mean over the prompts since the last report), accuracy (share
    of the votes on their untied pairs that the scores agree with), learning_rate, tokens_per_second, and now and then
    validation_loss and validation_accuracy.
    The loss is a mean over the prompts of the whole batch, so `micro_batch` does not change the result.
    With `checkpoints`, a run that was killed goes on from the newest, after reporting again what came before it;
    weights and reports end as those of an undisturbed run, to the byte.
    Raises DivergenceError at the first loss or gradient that is not a finite number.
    """
    torch.manual_seed(params.seed)
    rows, held_out = encoded(scorer, train), encoded(scorer, validation)
    steps = step_count(params, len(rows))
    order = Order([row.tokens for row in rows], params.batch, steps, params.seed).rows
    learning = [weight for weight in scorer.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(learning, betas=BETAS, weight_decay=params.weight_decay)
    if params.gradient_checkpointing:
        scorer.model.activation_checkpointing_enable({"use_reentrant": False})
    curve = Curve(report, max(1, steps // CURVE_POINTS))

    def write_state(folder: Path) -> None:
        save_state(folder, scorer, [optimiser])
        write_json(folder / "curve.json", curve.state())

    newest = checkpoints.newest() if checkpoints else None
    if newest:
        load_weights(newest, scorer)
        load_optimisers(newest, [optimiser])
        curve.restore(read_json(newest / "curve.json"))
        load_random(newest)
    else:
        curve.tell(0, validation_values(scorer, held_out, validation, params))
    scorer.train()
    while curve.step < steps:
        rate = learning_rate(curve.step, steps, params)
        chosen = order[curve.step * params.batch : (curve.step + 1) * params.batch]
        for start in range(0, params.batch, params.micro_batch):
            part = chosen[start : start + params.micro_batch]
            batch = [rows[number] for number in part]
            loss, agreed = losses(scorer, batch, [train[number] for number in part], params)
            finite(loss, curve.step).div(params.batch).backward()
            curve.add(loss.item(), agreed, sum(row.tokens for row in batch))
        finite(torch.nn.utils.clip_grad_norm_(learning, params.gradient_clip), curve.step, "gradient's norm")
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        curve.stepped(params.batch, rate)
        if curve.step % -(-steps // VALIDATIONS) == 0 or curve.step == steps:
            curve.tell(curve.step, validation_values(scorer, held_out, validation, params))
        if checkpoints and checkpoints.due(curve.step):
            checkpoints.save(curve.step, write_state)
    scorer.eval()


def encoded(scorer: Scorer, rows: Sequence[Ranking]) -> list[Candidates]:
    return candidates(scorer, [each.prompt for each in rows], [each.completions for each in rows])


def learning_rate(step: int, steps: int, params: Reward) -> float:
    """Linear up to the peak over the share `warmup` of the steps, then half a cosine down to 0."""
    rising = max(1, round(steps * params.warmup))
    if step < rising:
        return params.learning_rate * (step + 1) / rising
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def validation_values(
    scorer: Scorer, rows: Sequence[Candidates], rankings: Sequence[Ranking], params: Reward
) -> dict[str, float]:
    """Loss and accuracy on held-out prompts, without dropout."""
    order = sorted(range(len(rows)), key=lambda number: (rows[number].tokens, number))
    total, right, votes = 0.0, 0.0, 0.0
    was_training = scorer.training
    scorer.eval()
    with torch.inference_mode():
        for start in range(0, len(order), params.micro_batch):
            part = order[start : start + params.micro_batch]
            loss, agreed = losses(scorer, [rows[each] for each in part], [rankings[each] for each in part], params)
            total += loss.item()
            right, votes = right + agreed[0].item(), votes + agreed[1].item()
    scorer.train(was_training)
    return {"validation_loss": total / len(rows), "validation_accuracy": right / votes}


class Curve:
    """What is reported of a training, how far it is, and what has not been reported yet."""

    def __init__(self, report: Report, every: int) -> None:
        self.report, self.every = report, every
        self.step = 0
        self.told: list[tuple[int, dict[str, float]]] = []
        self.loss, self.right = 0.0, 0.0  # sums since the last report
        self.prompts, self.votes = 0, 0.0
        self.tokens, self.began = 0, time.monotonic()  # of this process

    def state(self) -> dict[str, Any]:
        names = ("step", "told", "loss", "right", "prompts", "votes")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for step, values in self.told:
            self.report(step, dict(values))

    def tell(self, step: int, values: dict[str, float]) -> None:
        self.told.append((step, values))
        self.report(step, dict(values))

    def add(self, loss: float, agreed: Tensor, tokens: int) -> None:
        """What `losses` says of a micro-batch, and the tokens that were read for it."""
        self.loss += loss
        self.right += agreed[0].item()
        self.votes += agreed[1].item()
        self.tokens += tokens

    def stepped(self, prompts: int, rate: float) -> None:
        self.step += 1
        self.prompts += prompts
        if self.step % self.every:
            return
        values = {"loss": self.loss / self.prompts, "learning_rate": rate}
        if self.votes:
            values["accuracy"] = self.right / self.votes
        values["tokens_per_second"] = self.tokens / max(time.monotonic() - self.began, 1e-9)
        self.loss, self.right, self.prompts, self.votes = 0.0, 0.0, 0, 0.0
        self.tell(self.step, values)
