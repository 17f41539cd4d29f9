"""Policy, reference and values share a trunk, and yet do not disturb each other; what is no answer changes nothing."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from plumbline.models import adapters
from plumbline.models.load import load_model, load_tokenizer
from plumbline.models.policy import VALUES, Policy, token_logp
from plumbline.models.state import learning
from plumbline.params import load_params
from plumbline.store import read_json

PARAMS = load_params(Path("params.yaml")).ppo
LORA = PARAMS.lora.model_copy(update={"rank": 4, "dropout": 0.5})
KINDS = {
    "lora": {"lora": LORA},
    "lora, values separate": {"lora": LORA, "values": "separate"},
    "full": {"lora": None},
    "full, values separate": {"lora": None, "values": "separate"},
}
PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17]]
ANSWERS = [[20, 21, 2], [22, 23, 24, 25, 2], [26]]
FAMILIES = ["llama", "gpt2", "gpt_neox", "t5", "bart"]


def moved(folder, **knobs):
    """A policy whose learning weights are not those that it began with."""
    policy = Policy(load_model(folder), PARAMS.model_copy(update={"temperature": 0.8} | knobs))
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in learning(policy).values():
            weight += 0.05 * torch.randn_like(weight)
    return policy


def by_hand(model, prompt, answer):
    """Log-probabilities of one answer, from all logits of one row without padding."""
    ids = torch.tensor([answer])
    if model.config.is_encoder_decoder:
        shifted = torch.tensor([[model.config.decoder_start_token_id, *answer[:-1]]])
        logits = model(torch.tensor([prompt]), decoder_input_ids=shifted).logits[0]
    else:
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return (logits / 0.8).log_softmax(-1).gather(1, ids.T)[:, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_reference_is_the_stored_model_bit_for_bit_whatever_was_learned(model_folder, family, kind):
    policy = moved(model_folder(family), **KINDS[kind])
    batch = policy.batch(PROMPTS, ANSWERS)
    stored = load_model(model_folder(family))
    stored.set_attn_implementation(policy.model.config._attn_implementation)
    reference = policy.reference_logp(batch)
    with torch.no_grad():
        assert torch.equal(reference, token_logp(policy._logits(stored, batch)[0], batch))
        assert not torch.allclose(reference, policy.read(batch, entropies=False).logp, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_before_anything_is_learned_policy_and_reference_are_equal_bit_for_bit_and_values_zero(
    model_folder, family, kind
):
    policy = Policy(load_model(model_folder(family)), PARAMS.model_copy(update=KINDS[kind]))
    reading = policy.read(policy.batch(PROMPTS, ANSWERS), entropies=False)
    assert torch.equal(reading.logp, policy.reference_logp(policy.batch(PROMPTS, ANSWERS)))
    assert torch.equal(reading.values, torch.zeros(3, 5))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_reading_for_learning_gives_the_very_numbers_of_reading_for_keeps(model_folder, family, kind, precision):
    policy = moved(model_folder(family), **KINDS[kind], precision=precision)
    batch = policy.batch(PROMPTS, ANSWERS)
    with torch.no_grad():
        kept = policy.read(batch, entropies=True)
    now = policy.read(batch, entropies=False)
    assert torch.equal(now.logp.exp(), kept.logp.exp()) and torch.equal(now.logp, kept.logp)
    assert torch.equal(now.values, kept.values) and now.values.abs().sum() > 0
    assert now.logp.requires_grad and now.values.requires_grad


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_stand_at_the_answers_tokens_and_padding_changes_nothing(model_folder, family):
    policy = moved(model_folder(family), lora=None)
    batch = policy.batch(PROMPTS, ANSWERS)
    with torch.no_grad():
        together = policy.read(batch, entropies=True)
        for row, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
            own = by_hand(policy.model, prompt, answer)
            torch.testing.assert_close(together.logp[row, : len(answer)], own, atol=2e-5, rtol=0)
            alone = policy.read(policy.batch([prompt], [answer]), entropies=True)
            for one, all_rows in zip(alone, together, strict=True):
                torch.testing.assert_close(one[0], all_rows[row, : len(answer)], atol=2e-5, rtol=0)
        policy.pad = 33
        refilled = policy.read(policy.batch(PROMPTS, ANSWERS), entropies=True)
    for one, other in zip(together, refilled, strict=True):
        assert torch.equal(one, other) and torch.equal(one[~batch.is_answer], torch.zeros(6))


def test_left_padding_as_others_sample_with_gives_the_same_log_probabilities(model_folder):
    policy = moved(model_folder("llama"), lora=None)
    width = max(map(len, PROMPTS))
    rows = [[0] * (width - len(prompt)) + prompt + answer for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)]
    ids = torch.tensor([row + [0] * (width + 5 - len(row)) for row in rows])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * (len(p) + len(a)) + [0] * (5 - len(a)) for p, a in zip(PROMPTS, ANSWERS, strict=True)])  # fmt: skip
    batch = policy.batch(PROMPTS, ANSWERS)
    with torch.no_grad():
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        logits = policy.model(ids, attention_mask=mask, position_ids=positions).logits[:, width - 1 : -1]
        law = (logits / 0.8).log_softmax(-1).gather(2, batch.answers[..., None])[..., 0]
        mine = policy.read(batch, entropies=False).logp
    torch.testing.assert_close(law[batch.is_answer], mine[batch.is_answer], atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_values_reach_the_trunk_only_where_it_is_shared_and_the_policy_never_reaches_separate_values(
    model_folder, kind
):
    policy = moved(model_folder("llama"), **KINDS[kind])
    own = {id(weight) for weight in policy.value_weights().values()}
    batch = policy.batch(PROMPTS, ANSWERS)
    policy.read(batch, entropies=False).values.sum().backward()
    reached = any(weight.grad is not None for weight in learning(policy).values() if id(weight) not in own)
    assert reached == ("separate" not in kind)
    policy.zero_grad(set_to_none=True)
    policy.read(batch, entropies=False).logp.sum().backward()
    assert all(weight.grad is None for weight in policy.value_weights().values())
    assert all(weight.grad is not None for weight in learning(policy).values() if id(weight) not in own)


def test_a_saved_policy_is_an_adapter_as_others_load_it_and_its_values_lie_beside(model_folder, tmp_path):
    policy = moved(model_folder("t5"), lora=LORA, values="separate")
    policy.save(model_folder("t5"), tmp_path, ["chat"])
    model = load_model(model_folder("t5"))
    adapter = adapters.load(model, model_folder("t5"), tmp_path)
    saved = {name: weight.clone() for name, weight in adapters.adapter_weights(model, adapter).items()}
    assert all(torch.equal(saved[name], each) for name, each in adapters.adapter_weights(policy.model, policy.adapter).items())  # fmt: skip
    with torch.no_grad():
        for prompt, answer, logp in zip(PROMPTS, ANSWERS, policy.read(policy.batch(PROMPTS, ANSWERS), entropies=False).logp, strict=True):  # fmt: skip
            torch.testing.assert_close(by_hand(model, prompt, answer), logp[: len(answer)], atol=2e-5, rtol=0)
    assert set(load_file(tmp_path / VALUES)) == set(policy.value_weights())
    assert read_json(tmp_path / adapters.ABOUT)["tasks"] == ["chat"]


def test_a_policy_all_of_whose_weights_learned_is_saved_with_its_tokenizer(model_folder, tmp_path):
    policy = moved(model_folder("llama"), lora=None)
    policy.save(model_folder("llama"), tmp_path, ["chat"])
    saved, own = load_tokenizer(tmp_path / "model"), load_tokenizer(model_folder("llama"))
    assert saved.get_vocab() == own.get_vocab() and saved.chat_template == own.chat_template
    assert torch.equal(
        load_model(tmp_path / "model").get_output_embeddings().weight, policy.model.get_output_embeddings().weight
    )


@pytest.mark.parametrize("kind", ["lora", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_in_bfloat16_the_logits_themselves_are_not_rounded(model_folder, family, kind):
    policy = moved(model_folder(family), **KINDS[kind], precision="bfloat16")
    logits, hidden = policy._logits(policy.model, policy.batch(PROMPTS, ANSWERS))
    head = policy.model.get_output_embeddings()
    exact = torch.nn.functional.linear(hidden.float(), head.weight) / policy.temperature
    torch.testing.assert_close(logits, exact, atol=1e-5, rtol=1e-5)
    assert not torch.equal(logits * policy.temperature, (logits * policy.temperature).to(torch.bfloat16).float())
    assert not torch.is_autocast_enabled("cpu")
    logits.sum().backward()
    assert all(torch.isfinite(weight.grad).all() for weight in learning(policy).values() if weight.grad is not None)
