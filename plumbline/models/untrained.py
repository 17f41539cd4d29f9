"""New models of the three architectures, in the standard classes of transformers, with random weights."""

from typing import TYPE_CHECKING

import torch

from plumbline.params import Architecture, Pretrain

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def untrained_model(
    architecture: Architecture, params: Pretrain, tokenizer: "PreTrainedTokenizerBase"
) -> "PreTrainedModel":
    """A Llama (causal), T5 (seq2seq) or BERT (masked) of the size that `params` gives, seeded by `params.seed`."""
    torch.manual_seed(params.seed)
    match architecture:
        case "causal":
            from transformers import LlamaConfig, LlamaForCausalLM

            return LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=params.hidden,
                    intermediate_size=params.feed_forward,
                    num_hidden_layers=params.layers,
                    num_attention_heads=params.heads,
                    num_key_value_heads=params.heads,
                    max_position_embeddings=params.context,
                    tie_word_embeddings=True,
                    pad_token_id=tokenizer.pad_token_id,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                )
            )
        case "seq2seq":
            from transformers import T5Config, T5ForConditionalGeneration

            # A decoder layer of T5 has two attentions: the same depth on both sides is one third more weights,
            # so each side gets two thirds of the layers.
            return T5ForConditionalGeneration(
                T5Config(
                    vocab_size=len(tokenizer),
                    d_model=params.hidden,
                    d_kv=params.hidden // params.heads,
                    d_ff=params.feed_forward,
                    num_layers=max(1, params.layers * 2 // 3),
                    num_decoder_layers=max(1, params.layers * 2 // 3),
                    num_heads=params.heads,
                    feed_forward_proj="gated-gelu",
                    dropout_rate=0.0,
                    tie_word_embeddings=True,
                    n_positions=params.context,
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                    decoder_start_token_id=tokenizer.pad_token_id,
                )
            )
        case "masked":
            from transformers import BertConfig, BertForMaskedLM

            return BertForMaskedLM(
                BertConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=params.hidden,
                    intermediate_size=params.feed_forward,
                    num_hidden_layers=params.layers,
                    num_attention_heads=params.heads,
                    max_position_embeddings=params.context,
                    hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0,
                    pad_token_id=tokenizer.pad_token_id,
                )
            )
