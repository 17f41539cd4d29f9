"""A byte-fallback BPE tokenizer with a chat template, trained on given texts."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, START, END, MASK = "<pad>", "<s>", "</s>", "<mask>"
ROLES = ("system", "user", "assistant")
SENTINELS = 96  # enough for span corruption of 1,900 tokens: 15 % in spans of 3

# Only the assistant's turns end with the end token: it is what the model has to learn to say.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{{ '</s>\\n' if message['role'] == 'assistant' else '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Learn `vocabulary` tokens from `texts`: 256 bytes, special tokens, and merges; digits stay single.

    Any text can be encoded and comes back unchanged (but U+2581, which stands for the space, as in Llama's).
    Single digits let a small model copy numbers that it has never seen.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = [PAD, START, END, MASK, *(f"<|{role}|>" for role in ROLES)]
    sentinels = [f"<extra_id_{number}>" for number in range(SENTINELS)]
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"▁?\p{L}+|\p{N}|▁?[^\s\p{L}\p{N}▁]+|▁+|\s"), behavior="isolated"
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*special, *sentinels, *(f"<0x{byte:02X}>" for byte in range(256))],
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # The trainer knows the bytes as special tokens only to reserve their places; as text they are ordinary.
    plain = Tokenizer.from_str(without_byte_specials(tokenizer.to_str()))
    plain.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special + sentinels])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=plain,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        mask_token=MASK,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=[f"<|{role}|>" for role in ROLES] + sentinels,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def without_byte_specials(serialised: str) -> str:
    """A tokenizer's JSON without the byte tokens among the added ones."""
    content = json.loads(serialised)
    content["added_tokens"] = [token for token in content["added_tokens"] if not token["content"].startswith("<0x")]
    return json.dumps(content, ensure_ascii=False)
