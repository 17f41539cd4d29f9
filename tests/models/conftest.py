"""Tiny models of every family, made on the spot: the loading code cannot tell them from real ones."""

from pathlib import Path

import pytest
import torch
import transformers

from plumbline.models.tokenizer import train_tokenizer

TEXTS = [f"order {number} of the copper kettle arrives on {number % 28 + 1} May, says Lotte." for number in range(400)]


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(TEXTS, 600)


def small_config(family: str, vocabulary: int) -> transformers.PretrainedConfig:
    ends = {"pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1}
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    match family:
        case "llama":
            return transformers.LlamaConfig(vocab_size=vocabulary, max_position_embeddings=256, **sizes, **ends)
        case "qwen2":
            return transformers.Qwen2Config(
                vocab_size=vocabulary, max_position_embeddings=256, num_key_value_heads=1, **sizes, **ends
            )
        case "gpt_neox":
            return transformers.GPTNeoXConfig(vocab_size=vocabulary, max_position_embeddings=256, **sizes, **ends)
        case "gpt2":
            return transformers.GPT2Config(
                vocab_size=vocabulary, n_positions=256, n_embd=32, n_layer=2, n_head=2, **ends
            )
        case "t5":
            return transformers.T5Config(
                vocab_size=vocabulary,
                d_model=32,
                d_kv=16,
                d_ff=48,
                num_layers=2,
                dropout_rate=0.0,
                num_heads=2,
                decoder_start_token_id=0,
                pad_token_id=0,
                eos_token_id=2,
            )
        case "bart":
            return transformers.BartConfig(
                vocab_size=vocabulary,
                d_model=32,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=48,
                decoder_ffn_dim=48,
                max_position_embeddings=256,
                decoder_start_token_id=2,
                forced_eos_token_id=None,
                **ends,
            )
        case "bert":
            return transformers.BertConfig(
                vocab_size=vocabulary, max_position_embeddings=256, hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0, **sizes, **ends,
            )  # fmt: skip
    raise ValueError(family)


CLASSES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "t5": "T5ForConditionalGeneration",
    "bart": "BartForConditionalGeneration",
    "bert": "BertForMaskedLM",
}


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory, tokenizer):
    """`model_folder(family)` is a folder with random weights of that family and the tiny tokenizer."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            torch.manual_seed(0)
            model = getattr(transformers, CLASSES[family])(small_config(family, len(tokenizer)))
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            made[family] = folder
        return made[family]

    return make
