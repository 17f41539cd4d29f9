"""Answers of a model to many prompts: greedy, in batches of similar length."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from plumbline.models.encode import Chosen, token_ids

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


def generate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    *,
    batch: int,
    max_new_tokens: int,
    on_progress: Callable[[int, int], None] | None = None,
    adapters: Chosen | None = None,
) -> list[str]:
    """The greedy answer to each prompt, without special tokens, at most `max_new_tokens` tokens long.

    Prompts of similar length share a batch and are padded, so that padding costs little and, by the attention mask,
    changes nothing: on the left, where the answer must follow; on the right of an encoder's input, whose positions
    may be counted from there. `on_progress(done, all)` is called after every batch. Rows of different `adapters` share
    batches as they come.
    """
    import torch
    from transformers import GenerationConfig

    from plumbline.models.collate import attention, padded

    settings = GenerationConfig(
        do_sample=False,
        max_new_tokens=max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )
    ids = token_ids(tokenizer, prompts)
    if adapters:
        ids = adapters.prefixed(ids)
    order = sorted(range(len(ids)), key=lambda index: (len(ids[index]), index))
    answers = [""] * len(ids)
    left = not model.config.is_encoder_decoder
    model.eval()
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        rows = [ids[index] for index in chosen]
        source = padded(rows, tokenizer.pad_token_id, left=left).to(model.device)
        mask = attention(rows, left=left).to(model.device)
        with torch.inference_mode(), only(model, settings), adapters.batch(chosen) if adapters else nullcontext():
            output = model.generate(input_ids=source, attention_mask=mask, generation_config=settings)
        if not model.config.is_encoder_decoder:
            output = output[:, source.shape[1] :]
        texts = tokenizer.batch_decode(output, skip_special_tokens=True)
        for index, text in zip(chosen, texts, strict=True):
            answers[index] = text.strip()
        if on_progress:
            on_progress(start + len(chosen), len(order))
    return answers


@contextmanager
def only(model: "PreTrainedModel", settings: "GenerationConfig") -> Iterator[None]:
    """Within the block, the model has no defaults of its own, with which transformers would fill up what is not set.

    Many a published model brings a repetition penalty, beams or a least length, and none of these is greedy.
    """
    own, model.generation_config = model.generation_config, settings
    try:
        yield
    finally:
        model.generation_config = own
