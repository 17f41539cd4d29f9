import pytest
import torch

from plumbline.models.collate import collate
from plumbline.models.encode import IGNORED, answer_losses, encode, mean_loss, render_prompt
from plumbline.models.load import load_model
from plumbline.rows import Example


def example(prompt: str, answer: str) -> Example:
    return Example(
        id="1", task="t", group="g", prompt=prompt, answer=answer, references=[answer], template="", source_file="",
        source_line=1,
    )  # fmt: skip


ROWS = [example("order 12\n", "the kettle"), example("of the copper kettle on 3 May\n", "yes"), example("x\n", "")]


def test_only_the_answer_and_its_end_token_are_learned(tokenizer):
    row = encode(tokenizer, ROWS[:1], encoder_decoder=False)[0]
    learned = [token for token in row["labels"] if token != IGNORED]
    assert tokenizer.decode(learned) == "the kettle</s>"
    assert row["input_ids"][-len(learned) :] == learned
    assert tokenizer.decode(row["input_ids"][: -len(learned)]) == "order 12\n"


def test_an_encoder_decoder_reads_the_prompt_and_says_the_answer(tokenizer):
    row = encode(tokenizer, ROWS[:1], encoder_decoder=True)[0]
    assert tokenizer.decode(row["labels"]) == "the kettle</s>"
    assert tokenizer.decode(row["input_ids"]) == "order 12\n"


def test_an_empty_answer_still_teaches_the_end_token(tokenizer):
    for encoder_decoder in (False, True):
        row = encode(tokenizer, ROWS[2:], encoder_decoder)[0]
        assert [token for token in row["labels"] if token != IGNORED] == [tokenizer.eos_token_id]


def test_masks_come_from_lengths_even_where_pad_is_the_end_token(tokenizer):
    rows = encode(tokenizer, ROWS, encoder_decoder=False)
    batch = collate(rows, pad=tokenizer.eos_token_id)
    assert batch["attention_mask"].sum(1).tolist() == [len(row["input_ids"]) for row in rows]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "qwen2", "t5", "bart"])
def test_the_loss_of_rows_does_not_depend_on_their_batch(model_folder, tokenizer, family):
    model = load_model(model_folder(family))
    alone = [answer_losses(model, tokenizer, [row], batch=1)[0] for row in ROWS]
    together = answer_losses(model, tokenizer, ROWS, batch=3)
    assert [tokens for _, tokens in together] == [tokens for _, tokens in alone]
    assert [nats for nats, _ in together] == pytest.approx([nats for nats, _ in alone], rel=1e-4)


def test_a_model_that_knows_nothing_loses_the_log_of_its_vocabulary(model_folder, tokenizer):
    model = load_model(model_folder("llama"))
    with torch.no_grad():
        model.lm_head.weight.zero_()
    assert mean_loss(answer_losses(model, tokenizer, ROWS, batch=2)) == pytest.approx(
        torch.log(torch.tensor(float(len(tokenizer)))).item(), rel=1e-5
    )


def test_a_model_without_a_chat_template_gets_plain_text(tokenizer):
    class Plain:
        chat_template = None

    assert render_prompt(Plain(), [{"role": "user", "content": "Hello"}]) == "Hello\n"
