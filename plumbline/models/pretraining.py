"""Train a new base model on documents: the batches of each objective, and the optimiser's steps."""

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from plumbline.algorithms.corruption import mask_tokens, noise_spans, span_corruption
from plumbline.checkpoints import Checkpoints
from plumbline.models.collate import collate
from plumbline.models.encode import IGNORED
from plumbline.models.state import load_optimisers, load_random, load_weights, save_state
from plumbline.params import Architecture, Pretrain
from plumbline.store import read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NOISE_SHARE, MEAN_SPAN, MASK_SHARE = 0.15, 3.0, 0.15  # the values of the T5 and BERT papers
TEXTS_AT_ONCE = 256
SHORTEST_PASSAGE = 12  # tokens of a drill


def blocks(documents: Iterator[str], tokenizer: "PreTrainedTokenizerBase", size: int) -> Iterator[list[int]]:
    """Documents without padding in between: each closed by the end token, joined, and cut into `size` ids."""
    waiting: list[int] = []
    while True:
        texts = [next(documents) for _ in range(TEXTS_AT_ONCE)]
        for ids in tokenizer(texts, add_special_tokens=False).input_ids:
            waiting += [*ids, tokenizer.eos_token_id]
        while len(waiting) >= size:
            yield waiting[:size]
            waiting = waiting[size:]


def drills(ordinary: Tensor, rows: int, length: int, generator: torch.Generator) -> list[list[int]]:
    """`rows` rows of `length` ids: each is a passage of random `ordinary` ids, said again until the row is full.

    Nothing but copying predicts them, so a model finds out how to copy within some hundred steps. In documents,
    where habits of wording pay sooner, it takes many times as long.
    """
    filled = []
    longest = length // 2
    for _ in range(rows):
        size = int(torch.randint(min(SHORTEST_PASSAGE, longest), longest + 1, (1,), generator=generator))
        passage = ordinary[torch.randint(len(ordinary), (size,), generator=generator)]
        filled.append(passage.repeat(length // size + 1)[:length].tolist())
    return filled


def drill_tokens(architecture: Architecture, params: Pretrain) -> int:
    """How many tokens of drills come first. Hidden spans of a drill teach an encoder nothing in that many tokens."""
    return params.drill_tokens if architecture == "causal" else 0


def batches(
    architecture: Architecture,
    params: Pretrain,
    tokenizer: "PreTrainedTokenizerBase",
    documents: Iterator[str],
    *,
    drilling: bool = True,
) -> Iterator[dict[str, Tensor]]:
    """Endless batches of `params.batch` rows of `params.context` tokens, with labels by the architecture's objective.

    A decoder's first `params.drill_tokens` tokens are drills, in rows of a quarter of the context. Then come documents;
    until half of them are read, every fourth row is a drill, or what was learned is lost again. Not `drilling`, all
    rows are documents.

    causal   the next token                                    input_ids, labels (batch, context)
    seq2seq  the hidden spans between sentinels (T5)           input_ids (batch, shorter), labels (batch, hidden)
    masked   the hidden tokens, 80 % mask, 10 % random (BERT)  input_ids, labels (batch, context)
    """
    generator = torch.Generator().manual_seed(params.seed)
    source = blocks(documents, tokenizer, params.context)
    sentinels = torch.tensor([i for t, i in tokenizer.get_vocab().items() if t.startswith("<extra_id_")]).sort().values
    special = torch.tensor(tokenizer.all_special_ids)
    every = torch.arange(len(tokenizer))
    ordinary = every[~torch.isin(every, special)]
    before = drill_tokens(architecture, params) if drilling else 0
    for number in itertools.count():
        documents_read = number * params.batch * params.context - before
        if documents_read < 0:
            ids = torch.tensor(drills(ordinary, params.batch * 4, params.context // 4, generator))
        else:
            first_half = documents_read < params.tokens[architecture] / 2
            drilled = params.batch // 4 if before and first_half else 0
            drilling_rows = drills(ordinary, drilled, params.context, generator)
            ids = torch.tensor([*drilling_rows, *itertools.islice(source, params.batch - drilled)])
        match architecture:
            case "causal":
                yield {"input_ids": ids, "labels": ids}
            case "seq2seq":
                pairs = [
                    span_corruption(
                        row, noise_spans(len(row), NOISE_SHARE, MEAN_SPAN, generator), sentinels, tokenizer.eos_token_id
                    )
                    for row in ids
                ]
                rows = [{"input_ids": source.tolist(), "labels": target.tolist()} for source, target in pairs]
                yield collate(rows, tokenizer.pad_token_id)
            case "masked":
                hidden, chosen = mask_tokens(
                    ids, ~torch.isin(ids, special), MASK_SHARE, tokenizer.mask_token_id, len(tokenizer), generator
                )
                yield {"input_ids": hidden, "labels": torch.where(chosen, ids, IGNORED)}


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear from 0 over the share `warmup` of the steps, then a half cosine down to a tenth of the peak."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return peak * (step + 1) / rising
    way = (step - rising) / max(1, steps - rising)
    return peak * (0.1 + 0.45 * (1.0 + math.cos(math.pi * way)))


def optimisers(model: "PreTrainedModel", params: Pretrain) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms.

    Muon orthogonalises each update, which small models learn from in fewer tokens; embeddings have sparse
    gradients, for which it is not meant. Jordan et al. (2024); the scale that lets both share one learning
    rate is Liu et al. (2025), arXiv 2502.16982.
    """
    weights = dict(model.named_parameters())
    inside = {name for name, weight in weights.items() if weight.ndim == 2 and "layer" in name}
    inside -= {name for name in inside if "relative_attention_bias" in name}
    # T5 does not divide by the root of a head's size, so its queries take steps that are smaller by that.
    queries = {name for name in inside if model.config.model_type == "t5" and name.endswith(".q.weight")}
    matrices = [{"params": [weights[name] for name in weights if name in inside - queries], "scale": 1.0}]
    if queries:
        scale = model.config.d_kv**-0.5
        matrices.append({"params": [weights[name] for name in weights if name in queries], "scale": scale})
    others = [weight for name, weight in weights.items() if name not in inside]
    return [
        torch.optim.Muon(matrices, weight_decay=params.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW([{"params": others, "scale": 1.0}], betas=(0.9, 0.95), weight_decay=0.0),
    ]


def step_count(architecture: Architecture, params: Pretrain) -> int:
    """Optimiser steps that read the architecture's number of tokens, drills included, at least one."""
    tokens = drill_tokens(architecture, params) + params.tokens[architecture]
    return max(1, tokens // (params.batch * params.context))


def train(
    model: "PreTrainedModel",
    stream: Iterator[dict[str, Tensor]],
    params: Pretrain,
    steps: int,
    peak: float,
    checkpoints: Checkpoints | None = None,
) -> Iterator[tuple[int, float, float]]:
    """Train for `steps` steps; yields (step, loss in nats per predicted token, learning rate, `peak` at most).

    With `checkpoints`, a run that was killed goes on from the newest: what it had yielded comes again, the batches that
    it had read are passed over, and it ends in the weights and losses of an undisturbed one, to the byte.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).train()
    chosen = optimisers(model, params)
    losses: list[float] = []

    def write_state(folder: Path) -> None:
        save_state(folder, model, chosen)
        write_json(folder / "losses.json", losses)

    newest = checkpoints.newest() if checkpoints else None
    if newest:
        losses += read_json(newest / "losses.json")
        for step, loss in enumerate(losses):
            next(stream)
            yield step, loss, learning_rate(step, steps, peak, params.warmup)
        load_weights(newest, model)
        load_optimisers(newest, chosen)
        load_random(newest)
    for step in range(len(losses), steps):
        rate = learning_rate(step, steps, peak, params.warmup)
        batch = {name: tensor.to(device) for name, tensor in next(stream).items()}
        with torch.autocast(device, torch.bfloat16, enabled=params.precision == "bfloat16"):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in chosen:
            for group in optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())
        yield step, losses[-1], rate
        if checkpoints and checkpoints.due(step + 1):  # only now: whoever reads this may refuse the loss
            checkpoints.save(step + 1, write_state)
    model.eval()
