"""A scorer (reward model): a language model's layers with a head that reads one number, the score of a whole completion.

The number is read at the last attended token, which for an answer that ended is the end token. That place comes from the
lengths, never from the ids: a tokenizer may use one id for padding and end.

Completions of one prompt share its encoding. A decoder reads the prompt once, and after it each completion, which sees
the prompt and itself, and whose positions go on after the prompt; so the scores are those of separate rows. An
encoder-decoder reads the prompt in its encoder once. An encoder, whose prompt sees the completion, reads separate rows.

scorer.json              which layers, the scale of the scores, the longest row, and of a LoRA the base with its digests
head.safetensors         the head
config.json, *.safetensors, tokenizer    the layers as transformers reads them; of a LoRA the adapter as PEFT reads it
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from plumbline.algorithms.preference import Scale, normalised, scale_of
from plumbline.errors import ArtifactError, DataError
from plumbline.models.collate import attention, padded
from plumbline.models.encode import answer_ids, token_ids
from plumbline.models.load import architecture, load_model, load_tokenizer, weight_digests
from plumbline.models.positions import hidden_at
from plumbline.models.state import write_tensors
from plumbline.params import LoraSize
from plumbline.store import need, read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Kind = Literal["full", "lora"]

ABOUT, HEAD = "scorer.json", "head.safetensors"
ADAPTER = "reward"  # the name of a LoRA scorer's adapter
AS_IT_IS = Scale(0.0, 1.0)
TOGETHER = 8  # completions of one prompt that `scores` puts into one row, whose attention grows with its square


class Candidates(NamedTuple):
    """The ids of a prompt and of its completions, each of these closed by the end token."""

    prompt: list[int]
    completions: list[list[int]]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.completions))


class Packed(NamedTuple):
    """A row of a prompt and its completions: of each token its part (0 the prompt) and its position; where parts end."""

    ids: list[int]
    parts: list[int]
    positions: list[int]
    ends: list[int]  # of the completions


class Scorer(torch.nn.Module):
    """A model of any architecture whose LM head is not used, a head of one number, and the scale of its scores."""

    def __init__(self, start: Path, kind: Kind) -> None:
        super().__init__()
        model = load_model(start)
        if model.device.type == "cpu":  # takes torch's fused attention backwards so slowly that plain products win
            model.set_attn_implementation("eager")
        self.model, self.tokenizer, self.kind = model, load_tokenizer(start), kind
        self.architecture = architecture(start)
        self.head = torch.nn.Linear(model.config.hidden_size, 1).to(model.device)
        self.scale = AS_IT_IS
        self.longest: int | None = getattr(model.config, "max_position_embeddings", None)

    def forward(
        self, input_ids: Int[Tensor, "rows tokens"], attention_mask: Int[Tensor, "rows tokens"]
    ) -> Float[Tensor, " rows"]:
        """Scores, not normalised, of rows of prompt and completion of a decoder or encoder, padded on any side."""
        hidden = self.model.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=(attention_mask.cumsum(1) - 1).clamp(min=0),
        ).last_hidden_state
        return self.read(hidden, last_attended(attention_mask))

    def read(self, hidden: Float[Tensor, "rows tokens width"], place: Int[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """What the head says at one place of each row, in float32 under autocast too, whose matrix products round."""
        rows = torch.arange(len(place), device=hidden.device)
        return (hidden[rows, place].float() * self.head.weight).sum(1) + self.head.bias

    def folded(self) -> AbstractContextManager[None]:
        """Within the block, a LoRA is a part of the weights beneath it where that gives the same: that is quicker."""
        # Dropout is for what lies beside the weights, and a recomputed activation comes when the block is over.
        if self.kind == "full" or self.model.is_activation_checkpointing:
            return nullcontext()
        from plumbline.models.adapters import Adapter, folded

        adapter = Adapter(ADAPTER, "lora")
        if self.training and self.model.peft_config[adapter.key].lora_dropout:
            return nullcontext()
        return folded(self.model, adapter)

    @property
    def device(self) -> torch.device:
        return self.head.weight.device


def last_attended(attention_mask: Int[Tensor, "rows tokens"]) -> Int[Tensor, " rows"]:
    """The place of the last 1 in each row."""
    places = torch.arange(1, attention_mask.shape[1] + 1, device=attention_mask.device)
    return (attention_mask * places).argmax(1)


def new_scorer(start: Path, lora: LoraSize | None, seed: int) -> Scorer:
    """A scorer on the model of a base or model folder, its head drawn from the seed, with all that learns trainable.

    Without `lora` all weights learn that the score depends on. The head is N(0, 1 / (width + 1)), its bias 0, as in
    Stiennon et al. (2020).
    """
    scorer = Scorer(start, "lora" if lora else "full")
    scorer.requires_grad_(False)
    torch.manual_seed(seed)  # before the head is drawn, or it would depend on what ran before
    with torch.no_grad():
        scorer.head.weight.normal_(std=(scorer.model.config.hidden_size + 1) ** -0.5)
        scorer.head.bias.zero_()
    if lora:
        from plumbline.models.adapters import Adapter, lora_config, place_lora

        place_lora(scorer.model, Adapter(ADAPTER, "lora"), lora_config(scorer.model, lora))
    else:
        for part in trunk(scorer.model):
            part.requires_grad_(True)
    scorer.head.requires_grad_(True)
    return scorer


def trunk(model: "PreTrainedModel") -> list[torch.nn.Module]:
    """The parts of a model that a score depends on: all but its LM head."""
    return [model.get_encoder(), model.get_decoder()] if model.config.is_encoder_decoder else [model.base_model]


def save_scorer(scorer: Scorer, start: Path, folder: Path, references: Sequence[Candidates], batch: int) -> None:
    """Write a scorer, made from the folder `start`, and settle its scale: `references` get mean 0 and deviation 1."""
    folder.mkdir()
    base = None
    if scorer.kind == "lora":
        from plumbline.models.adapters import Adapter, save

        base = {"folder": start.as_posix(), "weights": weight_digests(start)}
        save(scorer.model, Adapter(ADAPTER, "lora"), start, folder)
    else:
        scorer.model.save_pretrained(folder)
    scorer.tokenizer.save_pretrained(folder)
    write_tensors(folder / HEAD, {name: weight.cpu() for name, weight in scorer.head.state_dict().items()})
    scorer.scale = scale_of(torch.tensor(list(chain.from_iterable(raw_scores(scorer, references, batch)))))
    write_json(
        folder / ABOUT,
        {
            "kind": scorer.kind,
            "architecture": scorer.architecture,
            "base": base,
            "scale": scorer.scale._asdict(),
            "longest": scorer.longest,
        },
    )


def load_scorer(folder: Path) -> Scorer:
    """The scorer of a folder, in evaluation mode, nothing trainable. ArtifactError where its files do not fit."""
    about = read_json(need(folder, ABOUT, HEAD, stage="reward") / ABOUT)
    base = folder if about["base"] is None else Path(about["base"]["folder"])
    if about["base"] is not None and about["base"]["weights"] != weight_digests(base):
        raise ArtifactError(f"{folder}: made for other weights than those of {base}; run `dvc repro reward`")
    scorer = Scorer(base, about["kind"])
    if about["kind"] == "lora":
        from plumbline.models import adapters

        need(folder, adapters.ABOUT, adapters.CONFIG, adapters.WEIGHTS, stage="reward")
        adapters.load(scorer.model, base, folder)
    try:
        scorer.head.load_state_dict(load_file(folder / HEAD))
    except (SafetensorError, RuntimeError) as error:  # truncated, or of another width
        reason = str(error).splitlines()[0][:160]
        raise ArtifactError(f"{folder}: {HEAD} cannot be loaded ({reason}); run `dvc repro -f reward`") from None
    scorer.scale = Scale(**about["scale"])
    return scorer.requires_grad_(False).eval()


def candidates(
    scorer: Scorer, prompts: Sequence[str], completions: Sequence[Sequence[str]], *, cut: bool = False
) -> list[Candidates]:
    """The ids of each prompt and of its completions. DataError where they are longer than the model reads.

    With `cut`, a completion that is too long by itself loses its last tokens before the end token instead.
    """
    ids = iter(answer_ids(scorer.tokenizer, list(chain.from_iterable(completions))))
    found = [
        Candidates(prompt, [shortened(scorer, prompt, next(ids)) if cut else next(ids) for _ in own])
        for prompt, own in zip(token_ids(scorer.tokenizer, prompts), completions, strict=True)
    ]
    for each, prompt in zip(found, prompts, strict=True):
        longest = max(map(len, each.completions))
        tokens = max(len(each.prompt), longest + 1) if scorer.architecture == "seq2seq" else len(each.prompt) + longest
        if scorer.longest and tokens > scorer.longest:
            raise DataError(
                f"a prompt with its completion has {tokens} tokens, and the scorer reads {scorer.longest}: "
                f"{prompt[:60]!r}...; lower prepare.max_tokens"
            )
    return found


def shortened(scorer: Scorer, prompt: Sequence[int], completion: list[int]) -> list[int]:
    """A completion that the scorer can read after the prompt, if that leaves room for its end token."""
    if not scorer.longest:
        return completion
    room = scorer.longest - (1 if scorer.architecture == "seq2seq" else len(prompt))
    return completion if len(completion) <= room else [*completion[: max(0, room - 1)], completion[-1]]


def candidate_scores(
    scorer: Scorer, batch: Sequence[Candidates]
) -> tuple[Float[Tensor, "prompts completions"], Bool[Tensor, "prompts completions"]]:
    """Scores, not normalised, of every completion, and where there is one: prompts may have different numbers."""
    counts = torch.tensor([len(each.completions) for each in batch])
    is_completion = (torch.arange(int(counts.max())) < counts[:, None]).to(scorer.device)
    match scorer.architecture:
        case "causal":
            flat = packed_scores(scorer, batch)
        case "seq2seq":
            flat = decoded_scores(scorer, batch)
        case _:
            rows = [[*each.prompt, *completion] for each in batch for completion in each.completions]
            flat = scorer(*inputs(scorer, rows))
    return torch.zeros(is_completion.shape, device=flat.device).masked_scatter(is_completion, flat), is_completion


def inputs(scorer: Scorer, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask of rows, padded on the right."""
    return padded(rows, scorer.tokenizer.pad_token_id).to(scorer.device), attention(rows).to(scorer.device)


def packed_scores(scorer: Scorer, batch: Sequence[Candidates]) -> Float[Tensor, " all"]:
    """Of a decoder: one row is a prompt and after it all its completions, which do not see each other."""
    rows = [pack(each) for each in batch]
    seen = own_and_prompt(padded([row.parts for row in rows], -1))
    places = [(number, end) for number, row in enumerate(rows) for end in row.ends]
    number, ends = torch.tensor(places, device=scorer.device).unbind(1)
    with hidden_at(scorer.model, number, ends):
        hidden = scorer.model.base_model(
            input_ids=padded([row.ids for row in rows], scorer.tokenizer.pad_token_id).to(scorer.device),
            # To be added to the products of queries and keys, as every kind of attention understands it.
            attention_mask=torch.zeros(seen.shape).masked_fill(~seen, -torch.inf).to(scorer.device, scorer.model.dtype),
            position_ids=padded([row.positions for row in rows], 0).to(scorer.device),
            use_cache=False,
        ).last_hidden_state
    return scorer.read(hidden[number], ends)


def pack(each: Candidates) -> Packed:
    """One row of a prompt and after it its completions."""
    lengths = [len(each.prompt), *map(len, each.completions)]
    starts = [0] + [lengths[0]] * len(each.completions)
    return Packed(
        ids=[*each.prompt, *chain.from_iterable(each.completions)],
        parts=[part for part, length in enumerate(lengths) for _ in range(length)],
        positions=[start + step for start, length in zip(starts, lengths, strict=True) for step in range(length)],
        ends=[end - 1 for end in accumulate(lengths)][1:],
    )


def own_and_prompt(parts: Int[Tensor, "rows tokens"]) -> Bool[Tensor, "rows 1 tokens tokens"]:
    """Which token (third) sees which (fourth): those before it in its own part, and in part 0, the prompt.

    Padding is a part of its own that stands after all others, so nothing sees it.
    """
    places = torch.arange(parts.shape[1])
    before = places[:, None] >= places[None, :]
    seen = (parts[:, None, :] == parts[:, :, None]) | (parts[:, None, :] == 0)
    return (before & seen)[:, None]


def decoded_scores(scorer: Scorer, batch: Sequence[Candidates]) -> Float[Tensor, " all"]:
    """Of an encoder-decoder: the encoder reads each prompt once, the decoder each completion."""
    model: Any = scorer.model
    source, is_source = inputs(scorer, [each.prompt for each in batch])
    states = model.get_encoder()(input_ids=source, attention_mask=is_source).last_hidden_state
    of = torch.tensor([number for number, each in enumerate(batch) for _ in each.completions], device=scorer.device)
    start = model.config.decoder_start_token_id
    target, is_target = inputs(scorer, [[start, *own] for each in batch for own in each.completions])
    hidden = model.get_decoder()(
        input_ids=target,
        attention_mask=is_target,
        encoder_hidden_states=states[of],
        encoder_attention_mask=is_source[of],
        use_cache=False,
    ).last_hidden_state
    return scorer.read(hidden, last_attended(is_target))


def raw_scores(scorer: Scorer, rows: Sequence[Candidates], batch: int) -> list[list[float]]:
    """Scores, not normalised, of every completion of every prompt, `batch` prompts at once, those of like length together."""
    order = sorted(range(len(rows)), key=lambda number: (rows[number].tokens, number))
    found: list[list[float]] = [[] for _ in rows]
    was_training = scorer.training
    scorer.eval()
    with torch.inference_mode(), scorer.folded():
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            table, _ = candidate_scores(scorer, [rows[number] for number in chosen])
            for number, scores in zip(chosen, table.tolist(), strict=True):
                found[number] = scores[: len(rows[number].completions)]
    scorer.train(was_training)
    return found


def scores(
    scorer: Scorer, prompts: Sequence[str], completions: Sequence[str], batch: int, *, cut: bool = False
) -> list[float]:
    """The score of each completion as an answer to the prompt beside it, in deviations of the reference answers' scores.

    `batch` prompts are read at once. Completions of one prompt share its encoding, wherever they stand. One that is
    longer than the scorer reads is refused, or with `cut` scored by its beginning.
    """
    numbers: dict[str, list[int]] = {}
    for number, prompt in enumerate(prompts):
        numbers.setdefault(prompt, []).append(number)
    parts = [
        (prompt, own[start : start + TOGETHER])
        for prompt, own in numbers.items()
        for start in range(0, len(own), TOGETHER)
    ]
    rows = candidates(
        scorer, [prompt for prompt, _ in parts], [[completions[each] for each in own] for _, own in parts], cut=cut
    )
    found = torch.zeros(len(completions), dtype=torch.float64)
    for (_, own), values in zip(parts, raw_scores(scorer, rows, batch), strict=True):
        found[own] = torch.tensor(values, dtype=torch.float64)
    scaled: list[float] = normalised(found, scorer.scale).tolist()
    return scaled
