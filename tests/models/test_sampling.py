"""Answers are drawn from the model's own law, one answer not minding the others; and they stop where they end."""

from collections import Counter

import pytest
import torch

from plumbline.models.encode import token_ids
from plumbline.models.generate import generate
from plumbline.models.load import load_model
from plumbline.models.sampling import Roomy, inverse, sample

FAMILIES = ["llama", "qwen2", "gpt2", "gpt_neox", "t5", "bart"]
TEXTS = [f"order {number} of the copper kettle"[: 9 + 2 * number] for number in range(10)]
NEVER = -1  # an end token that no model says


def answers(model, tokenizer, texts=TEXTS, **changed):
    settings = {"end": NEVER, "pad": 0, "max_new_tokens": 9, "temperature": 1.0, "batch": 4} | changed
    generator = torch.Generator().manual_seed(settings.pop("seed", 0))
    return sample(model, token_ids(tokenizer, texts), generator=generator, **settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_probabilities_that_are_drawn_from_are_those_of_a_pass_over_the_whole_answer(
    model_folder, tokenizer, family
):
    model = load_model(model_folder(family))
    for prompt, each in zip(token_ids(tokenizer, TEXTS), answers(model, tokenizer, temperature=0.7), strict=True):
        ids = torch.tensor([each.ids])
        if model.config.is_encoder_decoder:
            start = torch.tensor([[model.config.decoder_start_token_id]])
            logits = model(torch.tensor([prompt]), decoder_input_ids=torch.cat([start, ids[:, :-1]], 1)).logits[0]
        else:
            logits = model(torch.cat([torch.tensor([prompt]), ids], 1)).logits[0, len(prompt) - 1 : -1]
        law = (logits / 0.7).log_softmax(-1)
        assert len(each.ids) == len(each.logp) == 9 and not each.ended
        torch.testing.assert_close(torch.tensor(each.logp), law.gather(1, ids.T)[:, 0], atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bart"])
def test_near_temperature_zero_the_answer_is_the_greedy_one(model_folder, tokenizer, family):
    model = load_model(model_folder(family))
    said = answers(model, tokenizer, temperature=1e-4, end=tokenizer.eos_token_id)
    texts = [tokenizer.decode(each.ids, skip_special_tokens=True).strip() for each in said]
    assert texts == generate(model, tokenizer, TEXTS, batch=4, max_new_tokens=9)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bart"])
def test_rows_that_share_a_batch_or_leave_it_do_not_change_an_answer(model_folder, tokenizer, family):
    model = load_model(model_folder(family))
    often = Counter(token for each in answers(model, tokenizer, max_new_tokens=30) for token in each.ids[2:])
    end = often.most_common(1)[0][0]
    alone, together = (answers(model, tokenizer, batch=batch, end=end, max_new_tokens=30) for batch in (1, 10))
    assert [each.ids for each in alone] == [each.ids for each in together]
    lengths = {len(each.ids) for each in alone if each.ended}
    assert len(lengths) >= 2 and min(lengths) < 20  # some left early


def test_an_answer_ends_with_its_first_end_token_or_is_cut(model_folder, tokenizer):
    model = load_model(model_folder("llama"))
    endless = answers(model, tokenizer, max_new_tokens=12)
    end = endless[0].ids[4]
    for whole, each in zip(endless, answers(model, tokenizer, max_new_tokens=12, end=end), strict=True):
        length = whole.ids.index(end) + 1 if end in whole.ids else 12
        assert each.ids == whole.ids[:length] and each.ended == (end in whole.ids)


def test_tokens_come_as_often_as_their_probabilities_say(model_folder, tokenizer):
    model = load_model(model_folder("llama"))
    said = answers(model, tokenizer, ["order 7"] * 3000, max_new_tokens=1, batch=3000)
    logits = model(torch.tensor(token_ids(tokenizer, ["order 7"]))).logits[0, -1].detach()
    counts = torch.bincount(torch.tensor([each.ids[0] for each in said]), minlength=len(logits))
    half = logits.softmax(-1).argsort()[len(logits) // 2 :]  # the likelier half of the vocabulary
    share, seen = float(logits.softmax(-1)[half].sum()), float(counts[half].sum() / 3000)
    assert abs(share - seen) < 4 * (share * (1 - share) / 3000) ** 0.5
    assert (counts > 0).sum() > 400


def test_a_uniform_number_falls_on_the_token_whose_share_of_the_line_it_is_in():
    law = torch.tensor([[0.2, 0.0, 0.5, 0.3]]).log().expand(6, 4)
    draws = torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71, 1 - 1e-12], dtype=torch.float64)
    assert inverse(law, draws).tolist() == [0, 0, 2, 2, 3, 3]


def test_the_same_seed_gives_the_same_answers_and_another_seed_others(model_folder, tokenizer):
    model = load_model(model_folder("t5"))
    assert answers(model, tokenizer) == answers(model, tokenizer) != answers(model, tokenizer, seed=1)


def test_a_cache_with_room_holds_what_it_was_given_also_beyond_its_room():
    torch.manual_seed(0)
    keys, values = torch.randn(2, 3, 9, 4), torch.randn(2, 3, 9, 4)
    layer = Roomy(room=2)
    for start, end in ((0, 3), (3, 4), (4, 5), (5, 6), (6, 9)):
        held = layer.update(keys[:, :, start:end], values[:, :, start:end])
        assert torch.equal(held[0], keys[:, :, :end]) and torch.equal(held[1], values[:, :, :end])
    layer.batch_select_indices(torch.tensor([1]))
    assert torch.equal(layer.keys, keys[1:]) and layer.get_seq_length() == 9
