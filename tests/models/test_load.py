import json
import shutil

import pytest
import torch

from plumbline.errors import ArtifactError
from plumbline.models.load import POINTER, architecture, describe, load_model, load_tokenizer, resolve
from plumbline.store import read_json, write_json


@pytest.fixture
def folder(tmp_path, model_folder):
    return shutil.copytree(model_folder("llama"), tmp_path / "model")


@pytest.mark.parametrize(
    ("family", "kind"),
    [("llama", "causal"), ("qwen2", "causal"), ("gpt2", "causal"), ("gpt_neox", "causal"), ("t5", "seq2seq"), ("bart", "seq2seq")],
)  # fmt: skip
def test_every_supported_family_loads_with_its_architecture(model_folder, family, kind):
    assert architecture(model_folder(family)) == kind
    assert not load_model(model_folder(family)).training


def test_a_pointer_leads_to_the_weights_and_holds_them_to_their_digest(folder, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    write_json(base / POINTER, describe(folder))
    load_model(base)
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit: safetensors itself would not notice
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match="not the weights that stage base saw"):
        load_model(base)


def break_config(folder):
    (folder / "config.json").write_text("{")


def remove_config(folder):
    (folder / "config.json").unlink()


def foreign_class(folder):
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"architectures": ["ViTForImageClassification"]})


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


def pickle_only(folder):
    remove_weights(folder)
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")


def truncate(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def other_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"intermediate_size": 64})


def other_depth(folder):
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"num_hidden_layers": 3})


def empty_weights(folder):
    (folder / "model.safetensors").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_config, "damaged"),
        (remove_config, "no config.json"),
        (foreign_class, "ViTForImageClassification"),
        (remove_weights, "no weights"),
        (pickle_only, "may run code"),
        (truncate, "cannot be loaded"),
        (empty_weights, "cannot be loaded"),
        (other_shape, "weights are missing or of another shape"),
        (other_depth, "weights are missing or of another shape"),
    ],
)
def test_a_damaged_model_is_refused_in_one_line(folder, damage, says):
    damage(folder)
    with pytest.raises(ArtifactError, match=says) as caught:
        load_model(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_tokenizer_is_refused_in_one_line(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ArtifactError, match="tokenizer cannot be read") as caught:
        load_tokenizer(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_that_went_away_are_named(folder, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    write_json(base / POINTER, describe(folder))
    remove_weights(folder)
    with pytest.raises(ArtifactError, match="weights are gone"):
        load_model(base)


@pytest.mark.parametrize("source", ["nothing-like-it", "/nowhere/at/all", "./nowhere", "a/b/c"])
def test_a_source_that_is_nothing_is_refused_with_what_there_is(tmp_path, source):
    (tmp_path / "causal").mkdir()
    with pytest.raises(ArtifactError, match=r"no such folder.*causal"):
        resolve(source, "main", tmp_path)


def test_an_unavailable_hub_model_says_what_to_do_offline(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ArtifactError, match="offline, copy the model into a folder"):
        resolve("nobody/no-such-model", "main", tmp_path)


def test_own_models_go_by_their_name(tmp_path):
    (tmp_path / "causal").mkdir()
    assert resolve("causal", "main", tmp_path) == tmp_path / "causal"


def test_bfloat16_weights_load_as_float32(folder):
    model = load_model(folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    assert {weight.dtype for weight in load_model(folder).parameters()} == {torch.float32}


def test_a_tokenizer_without_a_pad_token_pads_by_its_end_token(folder):
    settings = read_json(folder / "tokenizer_config.json")
    assert load_tokenizer(folder).pad_token_id != load_tokenizer(folder).eos_token_id
    write_json(folder / "tokenizer_config.json", {name: each for name, each in settings.items() if name != "pad_token"})
    assert load_tokenizer(folder).pad_token_id == load_tokenizer(folder).eos_token_id


def test_a_tokenizer_without_an_end_token_ends_by_its_separator_and_one_without_either_is_refused(folder):
    settings = read_json(folder / "tokenizer_config.json")
    del settings["eos_token"]
    write_json(folder / "tokenizer_config.json", settings | {"sep_token": "<|user|>"})
    tokenizer = load_tokenizer(folder)
    assert tokenizer.eos_token_id == tokenizer.convert_tokens_to_ids("<|user|>") is not None
    write_json(folder / "tokenizer_config.json", settings)
    with pytest.raises(ArtifactError, match="has no end token"):
        load_tokenizer(folder)
