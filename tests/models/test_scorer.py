"""A score depends on the prompt, the completion and the weights: not on padding, company, batch or the way to the disk."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from plumbline.errors import ArtifactError, DataError
from plumbline.models.collate import attention, padded
from plumbline.models.scorer import (
    ABOUT,
    HEAD,
    candidate_scores,
    candidates,
    last_attended,
    load_scorer,
    new_scorer,
    raw_scores,
    save_scorer,
    scores,
)
from plumbline.params import LoraSize
from plumbline.store import read_json, write_json

DECODERS = ("llama", "qwen2", "gpt2", "gpt_neox")
FAMILIES = (*DECODERS, "t5", "bart", "bert")
PROMPTS = ["order 3 of the copper kettle", "says Lotte"]
COMPLETIONS = [["arrives on 4 May.", "", "May", "order 3 arrives, says Lotte."], ["on 1 May", "of the kettle arrives"]]
LORA = LoraSize(rank=4, alpha=8, dropout=0.0, targets="attention+mlp")


def scorer_of(model_folder, family, lora=None, seed=1):
    return new_scorer(model_folder(family), lora, seed).eval()


def saved(scorer, start, folder):
    save_scorer(scorer, start, folder, candidates(scorer, PROMPTS, COMPLETIONS), batch=2)
    return folder


def disturbed(scorer):
    """The scorer with all that learns moved, as training would."""
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in scorer.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)
    return scorer


@pytest.mark.parametrize(
    ("family", "kind"), [*((each, "sdpa") for each in FAMILIES), *((each, "eager") for each in DECODERS)]
)
@torch.no_grad()
def test_completions_that_share_a_prompt_have_the_scores_that_they_have_alone(model_folder, family, kind):
    scorer = disturbed(scorer_of(model_folder, family))
    scorer.model.set_attn_implementation(kind)
    together, is_completion = candidate_scores(scorer, candidates(scorer, PROMPTS, COMPLETIONS))
    assert is_completion.tolist() == [[True] * 4, [True, True, False, False]]
    for number, (prompt, completions) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        for place, completion in enumerate(completions):
            alone, _ = candidate_scores(scorer, candidates(scorer, [prompt], [[completion]]))
            assert torch.allclose(together[number, place], alone[0, 0], atol=1e-5)
    assert together[is_completion].unique().numel() == 6


@pytest.mark.parametrize("family", [*DECODERS, "bert"])
@torch.no_grad()
def test_a_row_has_one_score_whatever_the_padding_and_whatever_its_id(model_folder, family):
    scorer = disturbed(scorer_of(model_folder, family))
    batch = candidates(scorer, PROMPTS, COMPLETIONS)
    expected = torch.tensor([score for own in raw_scores(scorer, batch, 2) for score in own])
    rows = [[*each.prompt, *own] for each in batch for own in each.completions]
    for left in (False, True):
        for pad in (scorer.tokenizer.pad_token_id, scorer.tokenizer.eos_token_id):
            found = scorer(padded(rows, pad, left=left), attention(rows, left=left))
            assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
def test_a_tokenizer_whose_pad_is_its_end_changes_no_score(model_folder, family):
    scorer = disturbed(scorer_of(model_folder, family))
    before = scores(scorer, PROMPTS * 2, ["May", "", "on 4 May.", "arrives"], 4)
    scorer.tokenizer.pad_token = scorer.tokenizer.eos_token
    assert scores(scorer, PROMPTS * 2, ["May", "", "on 4 May.", "arrives"], 4) == pytest.approx(before, abs=1e-5)


def test_the_last_attended_place_is_the_last_one_in_the_mask():
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0], [1, 0, 0, 0]])
    assert last_attended(mask).tolist() == [1, 3, 2, 0]


@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
def test_what_follows_an_answer_in_its_row_or_batch_is_not_seen_and_the_prompt_is(model_folder, family):
    scorer = disturbed(scorer_of(model_folder, family))
    first = scores(scorer, PROMPTS[:1], ["May"], 1)
    for company in (["order 399 of the copper kettle arrives"], ["", "Lotte", "Lotte says"]):
        beside = scores(scorer, PROMPTS[:1] * (len(company) + 1), ["May", *company], 1)
        assert beside[0] == pytest.approx(first[0], abs=1e-5)
    assert abs(scores(scorer, PROMPTS[1:], ["May"], 1)[0] - first[0]) > 1e-3


def test_the_size_of_a_batch_and_the_order_of_rows_change_no_score(model_folder):
    scorer = disturbed(scorer_of(model_folder, "llama"))
    prompts, completions = PROMPTS * 10, [f"arrives on {day} May" for day in range(20)]
    expected = scores(scorer, prompts, completions, 8)
    assert scores(scorer, prompts, completions, 1) == pytest.approx(expected, abs=1e-5)
    assert scores(scorer, prompts[::-1], completions[::-1], 2)[::-1] == pytest.approx(expected, abs=1e-5)


def test_the_seed_alone_decides_the_head(model_folder):
    torch.manual_seed(7)
    one = scorer_of(model_folder, "llama", seed=1).head.weight
    torch.manual_seed(8)
    assert torch.equal(one, scorer_of(model_folder, "llama", seed=1).head.weight)
    assert not torch.equal(one, scorer_of(model_folder, "llama", seed=2).head.weight)
    assert torch.equal(one, scorer_of(model_folder, "llama", LORA, seed=1).head.weight)


@pytest.mark.parametrize("family", ["llama", "gpt_neox", "t5", "bert"])
def test_every_weight_that_learns_gets_a_gradient_and_no_other(model_folder, family):
    for lora in (None, LORA):
        scorer = new_scorer(model_folder(family), lora, 1).train()
        disturbed(scorer)  # or the second matrix of a LoRA, which is zero, holds back the first one's gradient
        table, is_completion = candidate_scores(scorer, candidates(scorer, PROMPTS, COMPLETIONS))
        (table * torch.rand(table.shape))[is_completion].sum().backward()
        learning = {name for name, weight in scorer.named_parameters() if weight.requires_grad}
        assert learning == {name for name, weight in scorer.named_parameters() if weight.grad is not None}
        assert {"head.weight", "head.bias"} <= learning


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["llama", "bart", "bert"])
def test_a_scorer_that_is_loaded_again_gives_the_same_scores(model_folder, tmp_path, family, lora):
    scorer = disturbed(scorer_of(model_folder, family, lora))
    folder = saved(scorer, model_folder(family), tmp_path / "model")
    again = load_scorer(folder)
    prompts, completions = [PROMPTS[0]] * 4, COMPLETIONS[0]
    assert scores(again, prompts, completions, 2) == scores(scorer, prompts, completions, 2)
    assert not any(weight.requires_grad for weight in again.parameters()) and not again.training
    assert (folder / "adapter_model.safetensors").exists() == (lora is not None)
    assert (folder / "model.safetensors").exists() == (lora is None)


def test_the_scale_gives_the_reference_answers_mean_nought_and_deviation_one_wherever_it_is_loaded(
    model_folder, tmp_path
):
    scorer = disturbed(scorer_of(model_folder, "llama"))
    raw = torch.tensor(
        [each for own in raw_scores(scorer, candidates(scorer, PROMPTS, COMPLETIONS), 2) for each in own]
    )
    folder = saved(scorer, model_folder("llama"), tmp_path / "model")
    prompts = [prompt for prompt, own in zip(PROMPTS, COMPLETIONS, strict=True) for _ in own]
    found = torch.tensor(scores(load_scorer(folder), prompts, [text for own in COMPLETIONS for text in own], 2))
    assert found.mean().item() == pytest.approx(0, abs=1e-5)
    assert found.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert found.argsort().tolist() == raw.argsort().tolist()
    assert read_json(folder / ABOUT)["longest"] == 256


def test_a_row_longer_than_the_model_reads_is_refused_and_not_cut(model_folder):
    with pytest.raises(DataError, match=r"the scorer reads 256.*max_tokens"):
        scores(scorer_of(model_folder, "llama"), ["order"], ["May " * 300], 1)


def damage(folder, what):
    match what:
        case "head of another width":
            save_file({"weight": torch.zeros(1, 8), "bias": torch.zeros(1)}, folder / HEAD)
        case "truncated head":
            (folder / HEAD).write_bytes((folder / HEAD).read_bytes()[:20])
        case "no adapter":
            (folder / "adapter.json").unlink()
        case "another base":
            about = read_json(folder / ABOUT)
            about["base"]["weights"] = {"model.safetensors": "0" * 64}
            write_json(folder / ABOUT, about)


@pytest.mark.parametrize("what", ["head of another width", "truncated head", "no adapter", "another base"])
def test_a_damaged_scorer_is_refused_in_one_line(model_folder, tmp_path, what):
    folder = saved(scorer_of(model_folder, "llama", LORA), model_folder("llama"), tmp_path / "model")
    damage(folder, what)
    with pytest.raises(ArtifactError, match=r"run `dvc repro (-f )?reward`") as caught:
        load_scorer(folder)
    assert len(str(caught.value).splitlines()) == 1


def test_a_lora_whose_base_has_changed_is_refused(model_folder, tmp_path):
    start = shutil.copytree(model_folder("llama"), tmp_path / "start")
    folder = saved(scorer_of(model_folder, "llama", LORA), start, tmp_path / "model")
    shutil.copy(model_folder("qwen2") / "model.safetensors", start / "model.safetensors")
    with pytest.raises(ArtifactError, match="made for other weights"):
        load_scorer(folder)


@pytest.mark.parametrize("family", ["llama", "bart", "bert"])
def test_an_answer_that_grew_too_long_when_it_was_encoded_again_is_scored_by_its_beginning(model_folder, family):
    scorer = disturbed(scorer_of(model_folder, family))
    prompt, answer = PROMPTS[0], "order 3 of the copper kettle arrives on 4 May. " * 40
    scorer.longest = len(candidates(scorer, [prompt], [[""]])[0].prompt) + 12
    (cut,) = candidates(scorer, [prompt], [[answer, "May"]], cut=True)
    (short,) = candidates(scorer, [prompt], [["order 3 of the copper kettle", "May"]])
    room = scorer.longest - (1 if scorer.architecture == "seq2seq" else len(cut.prompt))
    assert len(cut.completions[0]) == room and cut.completions[1] == short.completions[1]
    assert cut.completions[0][-1] == scorer.tokenizer.eos_token_id
    assert cut.completions[0][:6] == short.completions[0][:6]
    both = scores(scorer, [prompt, prompt], [answer, f"{answer}no"], 2, cut=True)
    assert both[0] == pytest.approx(both[1], abs=1e-5)
    scorer.longest = len(cut.prompt) - 1  # where no cut would help
    with pytest.raises(DataError, match=r"lower prepare\.max_tokens"):
        scores(scorer, [prompt], ["May"], 1, cut=True)
