"""What nobody reads is left out, and what is read is as it was: numbers and gradients."""

from pathlib import Path

import pytest
import torch

from plumbline.models.adapters import Adapter, Choice, lora_config, place_lora
from plumbline.models.load import load_model
from plumbline.models.positions import hidden_at, logits_at
from plumbline.params import load_params

LORA = load_params(Path("params.yaml")).reward.lora.model_copy(update={"rank": 4, "dropout": 0.0})
IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])
ROWS, COLUMNS = torch.tensor([0, 0, 1]), torch.tensor([2, 5, 4])
NOWHERE = torch.tensor([], dtype=torch.long)


def with_lora(folder):
    """A model with a LoRA on attention and feed-forward part that is not without effect."""
    model, adapter = load_model(folder), Adapter("own", "lora")
    assert LORA.targets == "attention+mlp"
    place_lora(model, adapter, lora_config(model, LORA))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn_like(weight)
    return model, adapter


def gradients(model, loss):
    learn = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(loss, learn.values(), allow_unused=True)
    return dict(zip(learn, found, strict=True))


def rows_of_the_last_mlp(model):
    """A list that grows by the number of tokens that the last layer's feed-forward part reads."""
    seen = []
    model.base_model.layers[-1].mlp.act_fn.register_forward_hook(
        lambda _layer, given, _found: seen.append(given[0].shape[:-1].numel())
    )
    return seen


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "gpt_neox"])
def test_logits_at_chosen_positions_and_their_gradients_are_those_of_a_whole_pass(model_folder, family, checkpointing):
    model = with_lora(model_folder(family))[0].double()  # so that rounding hides nothing
    if checkpointing:
        model.train()
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        model.activation_checkpointing_enable({"use_reentrant": False})
    whole = model(IDS, use_cache=False).logits[ROWS, COLUMNS]
    expected = gradients(model, whole.square().sum())
    with logits_at(model, ROWS, COLUMNS) as read:
        few = model(IDS, use_cache=False).logits
    torch.testing.assert_close(few, whole)
    torch.testing.assert_close(model.get_output_embeddings()(read[0]), few)
    for name, gradient in gradients(model, few.square().sum()).items():
        torch.testing.assert_close(gradient, expected[name])


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_the_last_feed_forward_part_reads_no_other_position(model_folder, family):
    model, _ = with_lora(model_folder(family))
    seen = rows_of_the_last_mlp(model)
    with hidden_at(model, ROWS, COLUMNS):
        model(IDS, use_cache=False)
    model(IDS, use_cache=False)
    assert seen == [len(ROWS), IDS.numel()]


def test_where_all_is_computed_again_in_the_backward_pass_nothing_is_left_out(model_folder):
    model, _ = with_lora(model_folder("llama"))
    model.activation_checkpointing_enable({"use_reentrant": False})
    seen = rows_of_the_last_mlp(model)
    with hidden_at(model, ROWS, COLUMNS):
        model(IDS, use_cache=False)
    assert seen == [IDS.numel()]


def test_nothing_is_to_be_read_and_no_position_is_right(model_folder):
    model, _ = with_lora(model_folder("llama"))
    with logits_at(model, NOWHERE, NOWHERE):
        assert model(IDS, use_cache=False).logits.shape == (0, model.config.vocab_size)


@pytest.mark.parametrize("whose", ["lora", "base"])
def test_the_adapter_that_is_chosen_for_all_rows_answers_there_too(model_folder, whose):
    model, adapter = with_lora(model_folder("llama"))
    choice = Choice(model, [adapter if whose == "lora" else None] * len(IDS))
    with torch.no_grad(), choice.batch(range(len(IDS))):
        whole = model(IDS, use_cache=False).logits[ROWS, COLUMNS]
        with logits_at(model, ROWS, COLUMNS):
            torch.testing.assert_close(model(IDS, use_cache=False).logits, whole, rtol=1e-5, atol=1e-6)
    plain = load_model(model_folder("llama"))
    with torch.no_grad():
        of_the_base = plain(IDS, use_cache=False).logits[ROWS, COLUMNS]
    assert torch.allclose(whole, of_the_base, atol=1e-6) == (whose == "base")
