"""The policy of reinforcement learning, its reference and its values, on one trunk.

A LoRA on the frozen model is the policy; the reference is the same model with the LoRA off, and the values are a linear
head on what the policy's LM head reads. So one network is in memory, not three. Where every weight learns, the reference
is a copy. Dropout is off in all of them, as a ratio of two probabilities must not depend on what was dropped.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plumbline.algorithms.ppo import entropy
from plumbline.models.adapters import (
    Adapter,
    Choice,
    adapter_weights,
    folded,
    lora_config,
    lora_layers,
    place_lora,
    save,
)
from plumbline.models.collate import attention, padded
from plumbline.models.load import load_tokenizer
from plumbline.models.positions import logits_at
from plumbline.models.state import write_tensors
from plumbline.params import Ppo

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VALUES = "values.safetensors"


class Batch(NamedTuple):
    """Answers with their prompts as tensors, padded on the right."""

    inputs: dict[str, Int[Tensor, "batch _"]]  # what the model reads
    before: Int[Tensor, " batch"]  # the place of each row's logits of its first answer token
    answers: Int[Tensor, "batch time"]
    is_answer: Bool[Tensor, "batch time"]


class Reading(NamedTuple):
    """What the policy thinks of a batch, answer token by answer token; 0 elsewhere."""

    logp: Float[Tensor, "batch time"]
    values: Float[Tensor, "batch time"]
    entropies: Float[Tensor, "batch time"]  # empty unless asked for


class Policy(torch.nn.Module):
    """A model that learns from rewards, with its reference and its values. Its learning weights are all that changes."""

    def __init__(self, model: "PreTrainedModel", params: Ppo) -> None:
        """Take `model` over: freeze it and put a LoRA on it, or let all of it learn, as the knobs say."""
        super().__init__()
        torch.manual_seed(params.seed)
        self.model = model.eval()
        self.pad: int = model.config.pad_token_id or 0  # any token, as nothing sees it
        self.precision = params.precision
        self.temperature = params.temperature
        self.adapter: Adapter | None = None
        self.value_adapter: Adapter | None = None
        self.reference: PreTrainedModel | None = None
        self.value_model: PreTrainedModel | None = None
        model.requires_grad_(params.lora is None)
        if model.device.type == "cpu" or (model.config.model_type == "t5" and params.lora is None):
            # A CPU takes torch's fused attention backwards so slowly that plain products are quicker. And where T5's
            # position bias learns, torch would choose another attention for learning than for reading, whose last
            # digits differ; then the first ratio would not be 1.
            model.set_attn_implementation("eager")
        if params.lora is None:
            self.reference = deepcopy(model).requires_grad_(False)
            if params.values == "separate":
                self.value_model = deepcopy(model)
        else:
            self.adapter = Adapter("ppo", "lora")
            place_lora(model, self.adapter, lora_config(model, params.lora))
            if params.values == "separate":
                self.value_adapter = Adapter("value", "lora")
                place_lora(model, self.value_adapter, lora_config(model, params.lora))
                for layer in lora_layers(model):
                    layer.set_adapter(self.adapter.key)  # PEFT would apply both, and freezes what it does not apply
                for weight in adapter_weights(model, self.value_adapter).values():
                    weight.requires_grad_(True)
        # It begins as 0, as in Ziegler et al. (2019), so that the first advantages are those of the rewards alone.
        width = model.get_output_embeddings().weight.shape[1]
        self.value_head = torch.nn.Linear(width, 1, device=model.device)
        torch.nn.init.zeros_(self.value_head.weight)
        torch.nn.init.zeros_(self.value_head.bias)

    def batch(self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> Batch:
        """The rows as tensors. A decoder reads each prompt and its answer in one row, with the padding behind both.

        No token sees the padding behind it, so a decoder needs no mask. An encoder does, and its decoder reads the
        start token and the answer but for its last token.
        """
        if self.model.config.is_encoder_decoder:
            start = self.model.config.decoder_start_token_id
            inputs = {
                "input_ids": padded(prompts, self.pad),
                "attention_mask": attention(prompts),
                "decoder_input_ids": padded([[start, *answer[:-1]] for answer in answers], self.pad),
            }
            before = torch.zeros(len(prompts), dtype=torch.long)
        else:
            inputs = {
                "input_ids": padded(
                    [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)], self.pad
                )
            }
            before = torch.tensor([len(prompt) - 1 for prompt in prompts])
        device = self.model.device
        return Batch(
            {name: ids.to(device) for name, ids in inputs.items()},
            before.to(device),
            padded(answers, self.pad).to(device),
            attention(answers).bool().to(device),
        )

    def read(self, batch: Batch, *, entropies: bool) -> Reading:
        """The policy's log-probabilities and values, and its entropies where they are asked for."""
        # Under autocast the weights are rounded to bfloat16, and an update in them with them.
        with self.folded() if self.precision == "float32" else nullcontext():
            logits, hidden = self._logits(self.model, batch)
        logp = token_logp(logits, batch)
        if self.value_model is not None:
            hidden = self._logits(self.value_model, batch)[1]
        elif self.value_adapter is not None:
            with Choice(self.model, self.value_adapter).batch(range(len(batch.answers))):
                hidden = self._logits(self.model, batch)[1]
        values = spread(self.value_head(hidden.float())[:, 0], batch.is_answer)
        every = spread(entropy(logits[None])[0], batch.is_answer) if entropies else torch.empty(0)
        return Reading(logp, values, every)

    @torch.no_grad()
    def reference_logp(self, batch: Batch) -> Float[Tensor, "batch time"]:
        """The log-probabilities under the model that the policy started from."""
        if self.reference is not None:
            return token_logp(self._logits(self.reference, batch)[0], batch)
        with self.adapter_off(len(batch.answers)):
            return token_logp(self._logits(self.model, batch)[0], batch)

    def adapter_off(self, rows: int) -> AbstractContextManager[None]:
        """Within the block, the model's batches of so many rows are answered by the model that the LoRA lies on."""
        return Choice(self.model, [None] * rows).batch(range(rows))

    def folded(self) -> AbstractContextManager[None]:
        """Within the block, the policy's LoRA, if it is one, is a part of the weights beneath it: that is quicker."""
        return folded(self.model, self.adapter) if self.adapter else nullcontext()

    def _logits(self, model: "PreTrainedModel", batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of the answers' tokens alone, (tokens, vocabulary) at the temperature, and what the LM head read."""
        rows, places = batch.is_answer.nonzero(as_tuple=True)
        with (
            torch.autocast(model.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"),
            exact_head(model),
            logits_at(model, rows, batch.before[rows] + places) as read,
        ):
            logits = model(**batch.inputs, use_cache=False).logits
        return logits.float() / self.temperature, read[0]

    def save(self, beneath: Path, folder: Path, tasks: Sequence[str]) -> None:
        """Write what was learned: the LoRA as `plumbline.models.adapters.load` reads it, or the model; and the values.

        `tasks` are those of the prompts that it learned from, of which a LoRA keeps the names.

        The LoRA's own copies are rounded to bfloat16 with it, so what is measured from here on is what was saved.
        """
        if self.adapter:
            save(self.model, self.adapter, beneath, folder, start="instruct", tasks=tasks)
        else:
            self.model.save_pretrained(folder / "model")
            load_tokenizer(beneath).save_pretrained(folder / "model")
        write_tensors(folder / VALUES, self.value_weights())

    def value_weights(self) -> dict[str, torch.nn.Parameter]:
        """The weights that serve the values alone, by name."""
        own = {f"head.{name}": weight for name, weight in self.value_head.named_parameters()}
        if self.value_adapter:
            own |= adapter_weights(self.model, self.value_adapter)
        if self.value_model is not None:
            own |= dict(self.value_model.named_parameters())
        return own


@contextmanager
def exact_head(model: "PreTrainedModel") -> Iterator[None]:
    """Within the block, the model's LM head is computed in float32, under autocast too.

    A bfloat16 logit of 20 is a multiple of 1/8: ratios of probabilities would be off by as much as they are clipped at.
    """
    head, plain = model.get_output_embeddings(), torch.autocast(model.device.type, enabled=False)

    def enter(_head: Any, given: Any) -> tuple[Tensor]:
        plain.__enter__()
        return (given[0].to(head.weight.dtype),)

    def leave(*_: Any) -> None:
        plain.__exit__(None, None, None)

    hooks = head.register_forward_pre_hook(enter), head.register_forward_hook(leave, always_call=True)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def token_logp(logits: Float[Tensor, "tokens vocabulary"], batch: Batch) -> Float[Tensor, "batch time"]:
    """The log-probability of each answer token, 0 elsewhere."""
    chosen = batch.answers[batch.is_answer][:, None]
    return spread(logits.log_softmax(-1).gather(1, chosen)[:, 0], batch.is_answer)


def spread(values: Float[Tensor, " tokens"], is_answer: Bool[Tensor, "batch time"]) -> Float[Tensor, "batch time"]:
    """The values of all answer tokens, in order, at their places; 0 elsewhere."""
    return torch.zeros(is_answer.shape, device=values.device).masked_scatter(is_answer, values)
