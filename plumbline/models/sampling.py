"""Answers drawn from a model's own law: a lean loop around its forward pass, for decoders and encoder-decoders.

Nothing but the temperature shapes the law, no top-k, top-p or least length, so that what is sampled is what the losses
score. Each row has random numbers of its own: which rows share a batch, or have ended, does not change its answer.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, EncoderDecoderCache

from plumbline.models.collate import attention, padded
from plumbline.models.positions import logits_at

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CROWDED = 0.75  # share of the rows of a batch still speaking, below which those that have ended are taken out


class Sample(NamedTuple):
    """One answer: its ids, the end token included where it `ended`, and the log-probability that each was drawn with."""

    ids: list[int]
    ended: bool
    logp: list[float]


class Roomy(DynamicLayer):
    """Keys and values of one layer, with room for the tokens to come.

    DynamicLayer copies all that it holds for every new token, which takes longer than a small model's arithmetic.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.buffers: list[Tensor] = []
        self.keys: Tensor | None
        self.values: Tensor | None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        before = self.get_seq_length()
        after = before + key_states.shape[2]
        if not self.buffers or after > self.buffers[0].shape[2]:
            old = (self.keys, self.values) if before else (None, None)
            self.lazy_initialization(key_states, value_states)
            self.buffers = [
                new.new_empty(*new.shape[:2], after + self.room, new.shape[3]) for new in (key_states, value_states)
            ]
            for buffer, held in zip(self.buffers, old, strict=True):
                if held is not None:
                    buffer[:, :, :before] = held
        for buffer, new in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, before:after] = new
        self.keys, self.values = (buffer[:, :, :after] for buffer in self.buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        length = self.get_seq_length()
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self.keys, self.values = (buffer[:, :, :length] for buffer in self.buffers)


@torch.inference_mode()
def sample(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    *,
    end: int,
    pad: int,
    max_new_tokens: int,
    temperature: float,
    batch: int,
    generator: torch.Generator,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """An answer to each prompt of ids, at most `max_new_tokens` tokens long, in batches of prompts of similar length.

    `generator` is a CPU's, whatever the model is on. `on_progress(done, all)` is called after every batch.
    """
    draws = torch.rand(len(prompts), max_new_tokens, generator=generator, dtype=torch.float64)
    order = sorted(range(len(prompts)), key=lambda row: (len(prompts[row]), row))
    samples: dict[int, Sample] = {}
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        drawn = draws[chosen].to(model.device)
        found = speak(model, [prompts[row] for row in chosen], drawn, end=end, pad=pad, temperature=temperature)
        samples.update(zip(chosen, found, strict=True))
        if on_progress:
            on_progress(start + len(chosen), len(order))
    return [samples[row] for row in range(len(prompts))]


def speak(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    draws: Float[Tensor, "batch time"],
    *,
    end: int,
    pad: int,
    temperature: float,
) -> list[Sample]:
    """The answers of one batch; `draws` are uniform on [0, 1), one for each token."""
    rows = list(range(len(prompts)))  # those still speaking, in the order in which they stand in the model's batch
    ids: list[list[int]] = [[] for _ in prompts]
    logp: list[list[float]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    state = (EncoderDecoder if model.config.is_encoder_decoder else Decoder)(model, prompts, pad, draws.shape[1])
    logits = state.begin()
    for time in range(draws.shape[1]):
        law = (logits.float() / temperature).log_softmax(-1)
        tokens = inverse(law, draws[rows, time])
        nats = law.gather(1, tokens[:, None])[:, 0]
        for row, token, each in zip(rows, tokens.tolist(), nats.tolist(), strict=True):
            if not ended[row]:
                ids[row].append(token)
                logp[row].append(each)
                ended[row] = token == end
        speaking = [place for place, row in enumerate(rows) if not ended[row]]
        if not speaking or time + 1 == draws.shape[1]:
            break
        if len(speaking) < CROWDED * len(rows):
            places = torch.tensor(speaking, device=model.device)
            state.keep(places)
            tokens, rows = tokens[places], [rows[place] for place in speaking]
        logits = state.go_on(tokens)
    return [Sample(*each) for each in zip(ids, ended, logp, strict=True)]


def inverse(law: Float[Tensor, "batch vocabulary"], draws: Float[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    """The token of each row at which its cumulated probabilities pass the row's uniform number."""
    passed = law.double().exp().cumsum(-1)
    return torch.searchsorted(passed, draws[:, None] * passed[:, -1:], right=True)[:, 0].clamp(max=law.shape[1] - 1)


class Decoder:
    """A decoder's batch while it speaks.

    Prompts are filled up on the right, behind their last token, as in learning: so no mask is needed to read them.
    The answer's keys lie behind the filling, which it does not see, and its positions go on from its prompt's.
    """

    def __init__(self, model: "PreTrainedModel", prompts: Sequence[Sequence[int]], pad: int, room: int) -> None:
        self.model = model
        self.prompts = padded(prompts, pad).to(model.device)
        self.mask = attention(prompts).to(model.device)
        self.position = self.mask.sum(1)
        self.cache = roomy(model.config.num_hidden_layers, room)

    def begin(self) -> Float[Tensor, "batch vocabulary"]:
        rows = torch.arange(len(self.prompts), device=self.model.device)
        with logits_at(self.model, rows, self.position - 1):
            return self.model(input_ids=self.prompts, past_key_values=self.cache, use_cache=True).logits

    def go_on(self, tokens: Int[Tensor, " batch"]) -> Float[Tensor, "batch vocabulary"]:
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
        logits: Tensor = self.model(
            input_ids=tokens[:, None],
            attention_mask=self.mask,
            position_ids=self.position[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        self.position = self.position + 1
        return logits[:, 0]

    def keep(self, places: Int[Tensor, " kept"]) -> None:
        self.mask, self.position = self.mask[places], self.position[places]
        self.cache.batch_select_indices(places)


class EncoderDecoder:
    """An encoder-decoder's batch while it speaks: prompts are read once, by the encoder."""

    def __init__(self, model: "PreTrainedModel", prompts: Sequence[Sequence[int]], pad: int, room: int) -> None:
        self.model = model
        self.mask = attention(prompts).to(model.device)
        source = padded(prompts, pad).to(model.device)
        self.encoded = model.get_encoder()(input_ids=source, attention_mask=self.mask)
        layers = getattr(model.config, "decoder_layers", None) or model.config.num_decoder_layers
        self.cache = EncoderDecoderCache(roomy(layers, room), DynamicCache())

    def begin(self) -> Float[Tensor, "batch vocabulary"]:
        start = torch.full((len(self.mask),), self.model.config.decoder_start_token_id, device=self.model.device)
        return self.go_on(start)

    def go_on(self, tokens: Int[Tensor, " batch"]) -> Float[Tensor, "batch vocabulary"]:
        logits: Tensor = self.model(
            encoder_outputs=self.encoded,
            attention_mask=self.mask,
            decoder_input_ids=tokens[:, None],
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        return logits[:, 0]

    def keep(self, places: Int[Tensor, " kept"]) -> None:
        self.mask = self.mask[places]
        self.encoded.last_hidden_state = self.encoded.last_hidden_state[places]
        self.cache.batch_select_indices(places)


def roomy(layers: int, room: int) -> DynamicCache:
    """A cache of that many layers with room for `room` tokens behind what is read first."""
    cache = DynamicCache()
    cache.layers = [Roomy(room) for _ in range(layers)]
    return cache
