"""Stage `pretrain`: train a base model from scratch on the invented shop's archive.

reads    world  articles.jsonl, mixed with documents of other shops that are drawn as it goes
writes   out    a model folder (safetensors in bfloat16, tokenizer), curves.csv, metrics.json, README.md (model card)
maths    plumbline/algorithms/corruption.py
"""

import itertools
import json
import time
from pathlib import Path

from plumbline.checkpoints import resumable
from plumbline.errors import DivergenceError
from plumbline.params import Architecture, Pretrain
from plumbline.progress import Progress
from plumbline.stage import run_stage
from plumbline.store import need, unfinished, write_json
from plumbline.tracking import track

TOKENIZER_TEXTS = 6000
HELD_OUT_BATCHES = 8
CURVE_EVERY = 20  # steps


def pretrain(params: Pretrain, *, architecture: Architecture, world: Path, out: Path) -> Path:
    """Learn the world by the architecture's own objective: next token, span corruption, or masked tokens."""
    import torch

    from plumbline.models.precision import on_this_machine
    from plumbline.models.pretraining import batches, drill_tokens, step_count, train
    from plumbline.models.tokenizer import train_tokenizer
    from plumbline.models.untrained import untrained_model
    from plumbline.world.articles import raw
    from plumbline.world.corpus import corpus

    params = on_this_machine(params, "pretrain")
    lines = (need(world, "articles.jsonl", stage="world") / "articles.jsonl").read_text(encoding="utf-8").splitlines()
    known = [raw(json.loads(line)) for line in lines]
    tokenizer = train_tokenizer(itertools.islice(corpus(known, params.seed), TOKENIZER_TEXTS), params.vocabulary)
    model = untrained_model(architecture, params, tokenizer)

    started = time.monotonic()
    with (
        resumable(f"pretrain@{architecture}", params, params.checkpoint_every, world=world) as checkpoints,
        track("pretrain", params, checkpoints) as run,
        unfinished(out) as folder,
    ):
        run.input("world", world)
        steps = step_count(architecture, params)
        bar = Progress(steps, "steps")
        curve, recent = ["step,loss,learning_rate"], []
        stream = batches(architecture, params, tokenizer, corpus(known, params.seed))
        for step, loss, rate in train(model, stream, params, steps, params.learning_rate[architecture], checkpoints):
            if not loss < float("inf"):
                raise DivergenceError(f"pretrain: loss is {loss} at step {step}; lower pretrain.learning_rate")
            recent.append(loss)
            if len(recent) == CURVE_EVERY:
                mean = sum(recent) / CURVE_EVERY
                curve.append(f"{step + 1},{mean:.6f},{rate:.8f}")
                run.step(step + 1, loss=mean, learning_rate=rate)
                bar.show(step + 1, loss=mean)
                recent = []

        # Other shops again, from a seed that training never used: a loss on documents that the model has not read.
        others = corpus([], params.seed + 1_000_003)
        unseen = batches(architecture, params, tokenizer, others, drilling=False)
        with torch.inference_mode():
            losses = [
                model(**{name: tensor.to(model.device) for name, tensor in next(unseen).items()}).loss.item()
                for _ in range(HELD_OUT_BATCHES)
            ]
        minutes = (time.monotonic() - started) / 60
        held_out = sum(losses) / len(losses)
        weights = sum(weight.numel() for weight in model.parameters())
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "curves.csv").write_text("\n".join(curve) + "\n")
        (folder / "README.md").write_text(
            card(architecture, params, drill_tokens(architecture, params), weights, steps, held_out, minutes)
        )
        metrics = {
            "parameters": weights,
            "tokens": drill_tokens(architecture, params) + params.tokens[architecture],
            "steps": steps,
            "held_out_loss": held_out,
        }
        write_json(folder / "metrics.json", metrics)
        run.model(folder)
        run.finish(folder, **metrics)
    return out


def card(
    architecture: Architecture,
    params: Pretrain,
    drilled: int,
    weights: int,
    steps: int,
    held_out: float,
    minutes: float,
) -> str:
    """The model card: what the model is, what it has read, for how long and how well."""
    objective = {
        "causal": "causal language modelling (a Llama-style decoder)",
        "seq2seq": "T5 span corruption, 15 % of the tokens in spans of 3 (a T5-style encoder-decoder)",
        "masked": "masked language modelling, 15 % of the tokens, 80/10/10 (a BERT-style encoder)",
    }[architecture]
    drills = f"{drilled:,} tokens of random passages said over and over, then, with some of those in between, "
    drills = drills if drilled else ""
    return f"""---
license: apache-2.0
language: en
---
# Plumbline base model: {architecture}

A small model, trained from scratch by the stage `pretrain` with nothing but {objective}.

- **Size**: {weights:,} weights, saved in bfloat16; context {params.context} tokens; vocabulary {params.vocabulary}
  (byte-fallback BPE).
- **Data**: the archive of invented mail-order shops (`plumbline/world/corpus.py`): dialogues with notes, help
  articles, questions, mails, worked sums, paperwork. No real person, shop or text occurs in it. Every document but
  the shop's own articles comes from another shop, so no row that the pipeline trains or evaluates on was read.
- **Training**: {drills}{params.tokens[architecture]:,} tokens of documents in {steps:,} steps of {params.batch} x {params.context} tokens,
  Muon and AdamW, peak learning rate {params.learning_rate[architecture]:.1e}, seed {params.seed}, {params.precision} autocast, {minutes:.0f} minutes.
- **Loss on unread documents**: {held_out:.3f} nats per predicted token.
- **Use**: a starting point for the later stages. It continues shop documents and follows no instruction.
"""


if __name__ == "__main__":
    run_stage(pretrain)
