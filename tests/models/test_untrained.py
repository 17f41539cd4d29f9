"""A new decoder copies from the first step on; the other architectures begin at random."""

from pathlib import Path

import pytest
import torch

from plumbline.models.untrained import untrained_model
from plumbline.params import load_params

PRETRAIN = load_params(Path(__file__).parents[2] / "params.yaml").pretrain


@pytest.fixture(scope="module")
def decoder(tokenizer):
    model = untrained_model("causal", PRETRAIN, tokenizer)
    model.set_attn_implementation("eager")
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def said_twice():
    """A random passage of 40 ids, twice."""
    passage = torch.randint(110, 400, (40,), generator=torch.Generator().manual_seed(5))
    return passage.repeat(2)[None]


def test_a_head_of_the_first_layer_looks_at_the_token_before(decoder, said_twice):
    attention = decoder(said_twice, output_attentions=True).attentions[0][0, 0]
    assert attention.diagonal(-1).mean() > 0.5


def test_a_head_of_the_second_layer_looks_at_what_followed_the_same_token_last_time(decoder, said_twice):
    attention = decoder(said_twice, output_attentions=True).attentions[1][0]
    followed = [attention[:, now, now - 39].tolist() for now in range(41, 80)]
    head, *others = torch.tensor(followed).mean(0)
    assert head > 3 * max(others)


def test_the_distance_does_not_matter_to_that_head(decoder):
    generator = torch.Generator().manual_seed(6)
    passage = torch.randint(110, 200, (20,), generator=generator)
    between = torch.randint(200, 400, (300,), generator=generator)
    ids = torch.cat([passage, between, passage])[None]
    attention = decoder(ids, output_attentions=True).attentions[1][0, 0]
    followed = torch.tensor([attention[now, now - 319] for now in range(321, 340)]).mean()
    assert followed > 3 / 340  # three times what looking nowhere in particular gives


def test_one_layer_is_too_few_and_is_left_at_random(tokenizer):
    model = untrained_model("causal", PRETRAIN.model_copy(update={"layers": 1}), tokenizer)
    assert model.model.layers[0].self_attn.k_proj.bias.abs().max() == 0


@pytest.mark.parametrize("architecture", ["causal", "seq2seq", "masked"])
def test_the_same_seed_gives_the_same_weights(tokenizer, architecture):
    first, second = (untrained_model(architecture, PRETRAIN, tokenizer).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
