"""Adapters: what they leave alone, what they change, and that nothing depends on which others are there."""

import json
import shutil
from contextlib import suppress

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from plumbline.errors import ArtifactError, PlumblineError
from plumbline.models.adapters import (
    Choice,
    SoftWords,
    adapter_weights,
    attach,
    folded,
    load,
    lora_layers,
    merge,
    probe_of,
    save,
    trainable,
)
from plumbline.models.encode import answer_losses, mean_loss
from plumbline.models.generate import generate
from plumbline.models.load import load_model
from plumbline.models.tuning import tune
from plumbline.params import Lora, Prompt, Tuning
from plumbline.store import digest
from tests.models.examples import examples

FAMILIES = ["llama", "qwen2", "gpt2", "gpt_neox", "t5", "bart"]
TWO = ["llama", "t5"]
TRAINING = Tuning(
    seed=1, epochs=1.0, batch=8, micro_batch=8, length_power=1.0, learning_rate=2.0e-2, warmup=0.1, weight_decay=0.0,
    gradient_clip=1.0, precision="float32", gradient_checkpointing=False, checkpoint_every=0,
)  # fmt: skip
LORA = Lora(
    kind="lora", tasks=["t"], start="base", rank=4, alpha=8, dropout=0.0, targets="attention+mlp",
)  # fmt: skip
PROMPT = Prompt(kind="prompt", tasks=["t"], start="base", tokens=5, init="order 3 of the copper kettle")
PROMPTS = ["order 17 of the", "order", "order 300 of the copper kettle arrives on", "order 9 of"]
KINDS = pytest.mark.parametrize("settings", [LORA, PROMPT], ids=["lora", "prompt"])


def disturbed(model, adapter, seed):
    """Give an adapter weights of some size, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in adapter_weights(model, adapter).values():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
    return adapter


def outputs(model, tokenizer, adapters=None):
    """Loss and tokens of some rows, and the answers to some prompts."""
    chosen = Choice(model, adapters) if adapters else None
    losses = answer_losses(model, tokenizer, examples(4), batch=3, adapters=chosen)
    answers = generate(model, tokenizer, PROMPTS, batch=3, max_new_tokens=6, adapters=chosen)
    return [nats for nats, _ in losses], answers


@pytest.fixture
def saved(model_folder, tokenizer, tmp_path):
    """`saved(family, name, settings)` is the folder of an adapter with some effect."""

    def make(family, name, settings, seed=1):
        model = load_model(model_folder(family))
        adapter = disturbed(model, attach(model, tokenizer, name, settings, seed), seed)
        (tmp_path / name).mkdir()
        save(model, adapter, model_folder(family), tmp_path / name, tasks=settings.tasks)
        return tmp_path / name

    return make


@KINDS
@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_the_adapter_alone_and_leaves_every_weight_of_the_base_as_it_was(
    model_folder, tokenizer, family, settings
):
    model, base = load_model(model_folder(family)), load_model(model_folder(family)).state_dict()
    adapter = attach(model, tokenizer, "t", settings, 0)
    before = [weight.clone() for weight in trainable(model)]
    assert sum(map(torch.numel, before)) == sum(w.numel() for w in adapter_weights(model, adapter).values())
    tune(model, tokenizer, examples(16), examples(2), TRAINING, lambda *_: None, adapters=Choice(model, adapter))
    assert any(not torch.equal(old, new) for old, new in zip(before, trainable(model), strict=True))
    now = {name.replace(".base_layer", "").replace(".words.", "."): each for name, each in model.state_dict().items()}
    assert all(torch.equal(now[name], weight) for name, weight in base.items())
    assert all(weight.grad is None for weight in model.parameters() if not weight.requires_grad)


@KINDS
@pytest.mark.parametrize("family", TWO)
def test_training_an_adapter_lowers_the_held_out_loss(model_folder, tokenizer, family, settings):
    model, seen = load_model(model_folder(family)), []
    adapter = Choice(model, attach(model, tokenizer, "t", settings, 0))
    # a model of random weights can be told little by its input alone
    rate, goal = (2.0e-2, 0.95) if settings is LORA else (0.5, 0.995)
    params = TRAINING.model_copy(update={"learning_rate": rate})
    held_out = examples(208)[200:]
    tune(model, tokenizer, examples(200), held_out, params, lambda _, values: seen.append(values), adapters=adapter)
    before, *_, after = (values["validation_loss"] for values in seen if "validation_loss" in values)
    assert after < goal * before
    assert after == pytest.approx(mean_loss(answer_losses(model, tokenizer, held_out, batch=4, adapters=adapter)))


def test_recomputing_activations_changes_nothing(model_folder, tokenizer):
    results = []
    for recompute in (False, True):
        model = load_model(model_folder("llama"))
        adapter = Choice(model, attach(model, tokenizer, "t", LORA, 0))
        params = TRAINING.model_copy(update={"gradient_checkpointing": recompute})
        tune(model, tokenizer, examples(16), examples(2), params, lambda *_: None, adapters=adapter)
        results.append(torch.cat([weight.detach().flatten() for weight in trainable(model)]))
    assert torch.allclose(*results, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fresh_lora_changes_nothing_whatever_its_targets(model_folder, tokenizer, family):
    for targets, least in (("attention", 2), ("attention+mlp", 4)):
        model = load_model(model_folder(family))
        plain = outputs(model, tokenizer)
        adapter = attach(model, tokenizer, "t", LORA.model_copy(update={"targets": targets}), 0)
        assert len(lora_layers(model)) >= least
        assert outputs(model, tokenizer, adapter) == plain


@pytest.mark.parametrize("family", TWO)
def test_a_fresh_soft_prompt_is_as_if_its_text_stood_before_the_prompt(model_folder, tokenizer, family):
    model = load_model(model_folder(family))
    text = "order 3 of the copper kettle"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    adapter = attach(model, tokenizer, "t", PROMPT.model_copy(update={"init": text, "tokens": len(ids)}), 0)
    rows = [row.model_copy(update={"prompt": f" and {row.prompt}"}) for row in examples(3)]
    spoken = [row.model_copy(update={"prompt": text + row.prompt}) for row in rows]
    assert tokenizer(spoken[0].prompt).input_ids == ids + tokenizer(rows[0].prompt).input_ids
    written = answer_losses(model, tokenizer, spoken, batch=3)
    assert answer_losses(model, tokenizer, rows, batch=3, adapters=Choice(model, adapter)) == written


def test_a_text_that_is_too_short_or_too_long_for_a_soft_prompt_is_repeated_or_cut(model_folder, tokenizer):
    ids = tokenizer(PROMPT.init, add_special_tokens=False).input_ids
    for tokens in (2, 2 * len(ids) + 1):
        model = load_model(model_folder("llama"))
        adapter = attach(model, tokenizer, "t", PROMPT.model_copy(update={"tokens": tokens}), 0)
        expected = (ids * 3)[:tokens]
        words = model.get_input_embeddings().weight
        assert torch.equal(adapter_weights(model, adapter)["prompt_embeddings"], words[expected])


def test_a_random_soft_prompt_is_made_of_words_and_the_seed_draws_them(model_folder, tokenizer):
    drawn = []
    for seed in (1, 1, 2):
        model = load_model(model_folder("llama"))
        adapter = attach(model, tokenizer, "t", PROMPT.model_copy(update={"init": "random"}), seed)
        drawn.append(adapter_weights(model, adapter)["prompt_embeddings"].detach())
    words = load_model(model_folder("llama")).get_input_embeddings().weight
    assert all((words == vector).all(dim=1).any() for vector in drawn[0])
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@KINDS
@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_comes_back_from_its_folder_as_it_was_saved(model_folder, tokenizer, tmp_path, family, settings):
    model = load_model(model_folder(family))
    adapter = disturbed(model, attach(model, tokenizer, "t", settings, 0), 3)
    save(model, adapter, model_folder(family), tmp_path)
    other = load_model(model_folder(family))
    assert outputs(other, tokenizer, load(other, model_folder(family), tmp_path)) == outputs(model, tokenizer, adapter)
    assert not trainable(other)


# PEFT 0.21 asks transformers 5.23 for a property under its old name
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@KINDS
@pytest.mark.parametrize("family", TWO)
def test_peft_itself_reads_the_folder_and_gives_the_same_outputs(model_folder, tokenizer, saved, family, settings):
    folder = saved(family, "t", settings)
    model = load_model(model_folder(family))
    choice = Choice(model, load(model, model_folder(family), folder))
    theirs = peft.PeftModel.from_pretrained(load_model(model_folder(family)), folder)
    ids = tokenizer(PROMPTS[2], add_special_tokens=False, return_tensors="pt").input_ids
    ours_ids = torch.tensor(choice.prefixed(ids.tolist()))
    decoder = {"decoder_input_ids": ids[:, :4]} if family == "t5" else {}
    with torch.inference_mode(), choice.batch([0]):
        ours = model(input_ids=ours_ids, **decoder).logits
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids), **decoder).logits
    assert torch.allclose(ours, expected, atol=1e-5)


def test_equal_adapters_are_equal_bytes(model_folder, tokenizer, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        model = load_model(model_folder("gpt2"))
        save(model, attach(model, tokenizer, "t", LORA, 5), model_folder("gpt2"), tmp_path / place)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_several_adapters_in_one_batch_are_answered_as_one_by_one(model_folder, tokenizer, saved, family):
    model, base = load_model(model_folder(family)), model_folder(family)
    first, second = (load(model, base, saved(family, name, LORA, seed)) for name, seed in (("one", 1), ("two", 2)))
    short = PROMPT.model_copy(update={"tokens": 2})
    third, fourth = (
        load(model, base, saved(family, name, settings, 3)) for name, settings in (("three", PROMPT), ("four", short))
    )
    rows = [examples(1)[0]] * 6
    prompts = [PROMPTS[2]] * 6
    choices = [first, None, third, second, fourth, first]
    mixed = Choice(model, choices)
    together = answer_losses(model, tokenizer, rows, batch=6, adapters=mixed)
    answers = generate(model, tokenizer, prompts, batch=6, max_new_tokens=6, adapters=mixed)
    for row, adapter in enumerate(choices):
        alone = Choice(model, [adapter])
        assert together[row] == pytest.approx(answer_losses(model, tokenizer, rows[:1], batch=1, adapters=alone)[0])
        assert answers[row] == generate(model, tokenizer, prompts[:1], batch=1, max_new_tokens=6, adapters=alone)[0]
    assert together[0] == pytest.approx(together[5]) and len({round(nats, 5) for nats, _ in together}) == 5


@pytest.mark.parametrize("family", TWO)
def test_what_other_adapters_are_loaded_changes_nothing_and_none_leaves_the_base(
    model_folder, tokenizer, saved, family
):
    folder = saved(family, "one", LORA)
    alone = load_model(model_folder(family))
    plain = outputs(alone, tokenizer)
    expected = outputs(alone, tokenizer, load(alone, model_folder(family), folder))
    model = load_model(model_folder(family))
    load(model, model_folder(family), saved(family, "two", PROMPT))
    load(model, model_folder(family), saved(family, "three", LORA, 9))
    assert outputs(model, tokenizer, load(model, model_folder(family), folder)) == expected
    assert outputs(model, tokenizer, [None] * len(PROMPTS)) == plain


def test_another_base_is_refused_by_the_digest_of_its_weights(model_folder, tokenizer, saved, tmp_path):
    folder = saved("llama", "t", LORA)
    other = shutil.copytree(model_folder("llama"), tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    weights["model.norm.weight"][0] += 0.01
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(ArtifactError, match=r"made for other weights than those of .*other") as caught:
        load(load_model(other), other, folder)
    assert len(str(caught.value).splitlines()) == 1


def damage_cut(folder):
    whole = (folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(whole[: len(whole) // 2])


def damage_shape(folder):
    config = json.loads((folder / "adapter_config.json").read_text()) | {"r": 3}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def damage_lost_weight(folder):
    weights = load_file(folder / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, folder / "adapter_model.safetensors")


def damage_not_json(folder):
    (folder / "adapter.json").write_text("{")


def damage_lost_file(folder):
    (folder / "adapter_config.json").unlink()


@pytest.mark.parametrize("damage", [damage_cut, damage_shape, damage_lost_weight, damage_not_json, damage_lost_file])
def test_a_damaged_adapter_is_refused_in_one_line_that_names_it(model_folder, saved, damage):
    folder = saved("llama", "t", LORA)
    damage(folder)
    with pytest.raises(ArtifactError) as caught:
        load(load_model(model_folder("llama")), model_folder("llama"), folder)
    assert len(str(caught.value).splitlines()) == 1 and str(folder) in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_merged_model_is_a_plain_one_with_the_same_outputs(model_folder, tokenizer, saved, tmp_path, family):
    model = load_model(model_folder(family))
    adapter = load(model, model_folder(family), saved(family, "t", LORA))
    expected = outputs(model, tokenizer, adapter)
    assert merge(model, adapter, probe_of(model, tokenizer, PROMPTS)) < 1e-3
    assert not lora_layers(model)
    losses, answers = outputs(model, tokenizer)
    assert losses == pytest.approx(expected[0], rel=1e-4) and answers == expected[1]
    model.save_pretrained(tmp_path / "merged")
    again, _ = outputs(load_model(tmp_path / "merged"), tokenizer)
    assert again == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_folded_into_the_weights_a_lora_says_and_learns_what_it_does_beside_them(
    model_folder, tokenizer, saved, family
):
    model = load_model(model_folder(family)).double()  # so that rounding hides nothing
    adapter = load(model, model_folder(family), saved(family, "t", LORA))
    probe = probe_of(model, tokenizer, PROMPTS)
    own = {name: weight.requires_grad_(True) for name, weight in adapter_weights(model, adapter).items()}
    weights = {name: weight.clone() for name, weight in model.named_parameters()}

    def pass_through():
        logits = model(**probe).logits
        return logits, torch.autograd.grad(logits.log_softmax(-1)[..., 7].sum(), list(own.values()))

    beside = pass_through()
    with suppress(KeyboardInterrupt), folded(model, adapter):
        within = pass_through()
        assert any(not torch.equal(weight, weights[name]) for name, weight in model.named_parameters())
        assert all(weight.requires_grad == (".lora_" in name) for name, weight in model.named_parameters())
        raise KeyboardInterrupt  # however the block ends
    torch.testing.assert_close(within, beside)
    assert all(gradient.abs().max() > 0 for gradient in within[1])
    again = pass_through()
    assert torch.equal(again[0], beside[0]) and all(map(torch.equal, again[1], beside[1]))
    assert all(torch.equal(weight, weights[name]) for name, weight in model.named_parameters())


def test_weights_too_coarse_to_take_the_update_are_left_alone(model_folder, tokenizer, saved):
    model = load_model(model_folder("llama"), "bfloat16")
    adapter = load(model, model_folder("llama"), saved("llama", "t", LORA))
    weights = {name: weight.clone() for name, weight in model.named_parameters()}
    with folded(model, adapter):
        assert all(torch.equal(weight, weights[name]) for name, weight in model.named_parameters())


def test_dropout_is_off_in_a_lora_that_was_loaded(model_folder, tokenizer, saved):
    model = load_model(model_folder("llama"))
    adapter = load(model, model_folder("llama"), saved("llama", "t", LORA.model_copy(update={"dropout": 0.5})))
    assert merge(model, adapter, probe_of(model, tokenizer, PROMPTS)) < 1e-3


def test_a_merge_that_would_change_the_outputs_is_refused_and_leaves_the_model_as_it_was(
    model_folder, tokenizer, saved
):
    model = load_model(model_folder("llama"), "bfloat16")  # too coarse for the update
    adapter = load(model, model_folder("llama"), saved("llama", "t", LORA))
    before = outputs(model, tokenizer, adapter)
    with pytest.raises(PlumblineError, match="merging would move a log-probability") as caught:
        merge(model, adapter, probe_of(model, tokenizer, PROMPTS))
    assert len(str(caught.value).splitlines()) == 1
    assert outputs(model, tokenizer, adapter) == before


def test_a_soft_prompt_cannot_be_merged(model_folder, tokenizer, saved):
    model = load_model(model_folder("llama"))
    adapter = load(model, model_folder("llama"), saved("llama", "t", PROMPT))
    with pytest.raises(PlumblineError, match="cannot be merged"):
        merge(model, adapter, probe_of(model, tokenizer, PROMPTS))


def test_under_autocast_a_lora_casts_no_more_than_its_products_do(model_folder, tokenizer, saved):
    """PEFT's own cast into the LoRA's float32 would be undone at once: the results are the same to the bit."""
    model = load_model(model_folder("llama"))
    load(model, model_folder("llama"), saved("llama", "t", LORA))
    probe = probe_of(model, tokenizer, PROMPTS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        without = model(**probe).logits
        for layer in lora_layers(model):
            assert not layer.cast_input_dtype_enabled
            layer.cast_input_dtype_enabled = True
        assert torch.equal(model(**probe).logits, without)


def test_a_soft_prompt_has_the_same_gradient_every_time(model_folder, tokenizer):
    """On two threads too, and though every ordinary token looks up a vector that is not used."""
    words = load_model(model_folder("llama")).get_input_embeddings()
    soft = SoftWords(words)
    torch.manual_seed(3)
    prefix = soft.add("t", torch.randn(8, words.embedding_dim))
    ids = torch.cat([torch.tensor(prefix).repeat(64, 1), torch.randint(words.num_embeddings, (64, 120))], 1)
    weights = torch.randn(*ids.shape, words.embedding_dim)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        gradients = [torch.autograd.grad((soft(ids) * weights).sum(), soft.prompts["t"])[0] for _ in range(20)]
    finally:
        torch.set_num_threads(threads)
    assert gradients[0].any() and all(torch.equal(each, gradients[0]) for each in gradients)
