"""From text to ids: how a prompt is rendered, where the answer begins, and what a model's loss on it is."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Protocol

from plumbline.rows import Example

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100  # the label that PyTorch's cross entropy and transformers leave out

Encoded = dict[str, list[int]]  # input_ids and labels of one row, not padded


class Chosen(Protocol):
    """Which adapter answers each row. What plumbline.models.adapters makes fits, and need not be imported here."""

    def prefixed(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]: ...

    def batch(self, rows: Sequence[int]) -> AbstractContextManager[None]: ...


def render_prompt(tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]]) -> str:
    """The text of a conversation up to where the assistant speaks, by the chat template, or plain where there is none."""
    if tokenizer.chat_template:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    return "\n".join(message["content"] for message in messages) + "\n"


def token_ids(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Ids of prompts. A chat template has written the special tokens into the text; otherwise they are added."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=not tokenizer.chat_template).input_ids
    return ids


def answer_ids(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Ids of answers, each closed by the end token."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False).input_ids
    return [[*each, tokenizer.eos_token_id] for each in ids]


def count_tokens(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[int]:
    """How many ids each prompt has."""
    return [len(ids) for ids in token_ids(tokenizer, texts)]


def encode(
    tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Example], encoder_decoder: bool, adapters: Chosen | None = None
) -> list[Encoded]:
    """input_ids and labels of each row; labels are IGNORED wherever nothing is learned.

    Decoder-only: prompt and answer in one sequence, labels on the answer and its end token only.
    Encoder-decoder: the prompt is the source, the answer the target.
    Both parts are tokenised apart, so that training sees the very prompt ids that generation starts from.
    """
    prompts = token_ids(tokenizer, [row.prompt for row in rows])
    if adapters:
        prompts = adapters.prefixed(prompts)
    answers = answer_ids(tokenizer, [row.answer for row in rows])
    if encoder_decoder:
        return [{"input_ids": prompt, "labels": answer} for prompt, answer in zip(prompts, answers, strict=True)]
    return [
        {"input_ids": [*prompt, *answer], "labels": [IGNORED] * len(prompt) + answer}
        for prompt, answer in zip(prompts, answers, strict=True)
    ]


def answer_losses(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Example],
    *,
    batch: int,
    adapters: Chosen | None = None,
) -> list[tuple[float, int]]:
    """Of each row, the sum of -log p over its answer's tokens (end token included), in nats, and how many they are.

    Rows of similar length share a batch; padding changes nothing.
    """
    import torch

    from plumbline.models.collate import collate

    encoder_decoder = model.config.is_encoder_decoder
    encoded = encode(tokenizer, rows, encoder_decoder, adapters)
    order = sorted(range(len(encoded)), key=lambda index: (len(encoded[index]["input_ids"]), index))
    losses = [(0.0, 0)] * len(encoded)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            inputs = collate([encoded[index] for index in chosen], tokenizer.pad_token_id)
            inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
            labels = inputs.pop("labels")
            with adapters.batch(chosen) if adapters else nullcontext():
                if encoder_decoder:
                    shifted = model.prepare_decoder_input_ids_from_labels(labels)
                    logits = model(**inputs, decoder_input_ids=shifted).logits
                else:  # without a mask, as no token sees the padding, which stands after it
                    logits, labels = model(input_ids=inputs["input_ids"]).logits[:, :-1], labels[:, 1:]
            kept = labels != IGNORED
            nats = torch.zeros(labels.shape, device=labels.device)
            nats[kept] = torch.nn.functional.cross_entropy(logits[kept].float(), labels[kept], reduction="none")
            for index, total, tokens in zip(chosen, nats.sum(1).tolist(), kept.sum(1).tolist(), strict=True):
                losses[index] = (total, tokens)
    model.train(was_training)
    return losses


def mean_loss(losses: Sequence[tuple[float, int]]) -> float:
    """Nats per answer token over all rows of `answer_losses`."""
    return sum(total for total, _ in losses) / sum(tokens for _, tokens in losses)
