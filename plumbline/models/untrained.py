"""New models of the three architectures, in the standard classes of transformers, with random weights."""

import math
from typing import TYPE_CHECKING

import torch

from plumbline.params import Architecture, Pretrain

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

ROPE_THETA = 500_000.0  # half of a head's dimensions then hardly turn within the context, and can compare contents


def untrained_model(
    architecture: Architecture, params: Pretrain, tokenizer: "PreTrainedTokenizerBase"
) -> "PreTrainedModel":
    """A Llama (causal), T5 (seq2seq) or BERT (masked) of the size that `params` gives, seeded by `params.seed`."""
    torch.manual_seed(params.seed)
    match architecture:
        case "causal":
            from transformers import LlamaConfig, LlamaForCausalLM

            model = LlamaForCausalLM(
                LlamaConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=params.hidden,
                    intermediate_size=params.feed_forward,
                    num_hidden_layers=params.layers,
                    num_attention_heads=params.heads,
                    num_key_value_heads=params.heads,
                    max_position_embeddings=params.context,
                    rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
                    attention_bias=True,
                    tie_word_embeddings=True,
                    pad_token_id=tokenizer.pad_token_id,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                )
            )
            begin_with_copying(model, torch.Generator().manual_seed(params.seed))
            return model
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


@torch.no_grad()
def begin_with_copying(model: "LlamaForCausalLM", generator: torch.Generator) -> None:
    """Set two of the heads so that the untrained model already copies a little, as an induction head does.

    One head of the first layer looks at the token before, and notes it in directions of its own. One head of the
    second layer looks for a place whose note is the current token, and proposes the token that stands there: what
    followed last time. Left to chance, the two come about only after many millions of tokens, and a small model
    invents names in the meantime. Olsson et al. (2022), arXiv 2209.11895, describe the heads; Trockman and Kolter
    (2023), arXiv 2305.09828, begin training from attention of a known form. All weights stay trainable.
    """
    if len(model.model.layers) < 2:
        return
    config = model.config
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    size = config.hidden_size // config.num_attention_heads
    half = size // 2
    turn = [ROPE_THETA ** (-2 * pair / size) for pair in range(half)]  # radians per position
    tokens, notes = (
        torch.linalg.qr(torch.randn(config.hidden_size, config.hidden_size, generator=generator))[0] for _ in range(2)
    )
    head = slice(0, size)

    # Position alone decides: the fast dimensions of key and query agree best at a distance of one.
    for pair in range(half // 4):
        first.k_proj.bias[pair] = 4.0
        first.q_proj.bias[pair] = 4.0 * math.cos(turn[pair])
        first.q_proj.bias[pair + half] = -4.0 * math.sin(turn[pair])
    first.q_proj.weight[head] *= 0.1
    first.k_proj.weight[head] *= 0.1
    first.v_proj.weight[head] = tokens[:size]
    first.o_proj.weight[:, head] = 0.05 * notes[:, :size]

    # Content alone decides: the slow dimensions compare this token with the notes.
    slow = [pair for pair in range(half) if turn[pair] < 1 / 400]
    second.q_proj.weight[head] *= 0.1
    second.k_proj.weight[head] *= 0.1
    for number, dimension in enumerate([*slow, *(pair + half for pair in slow)]):
        second.q_proj.weight[dimension] = tokens[number]
        second.k_proj.weight[dimension] = notes[:, number]
    second.v_proj.weight[head] = tokens[-size:]
    second.o_proj.weight[:, head] = 0.05 * tokens[-size:].T
