import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

PLACEHOLDER = "▁"  # stands for the space, as in Llama's tokenizer


@settings(max_examples=200, deadline=None)
@given(text=st.text().filter(lambda text: PLACEHOLDER not in text and "<" not in text))
def test_any_text_comes_back_unchanged(tokenizer, text):
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids) == text


def test_digits_stay_single_so_that_unseen_numbers_can_be_copied(tokenizer):
    assert len(tokenizer("48213", add_special_tokens=False).input_ids) == 5


def test_pad_and_end_are_two_tokens(tokenizer):
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_chat_template_ends_only_what_the_assistant_says(tokenizer):
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "<|user|>\na\n<|assistant|>\nb</s>\n<|user|>\nc\n<|assistant|>\n"


@pytest.mark.parametrize("token", ["<|user|>", "</s>", "<extra_id_95>"])
def test_special_tokens_are_one_id(tokenizer, token):
    assert len(tokenizer(token, add_special_tokens=False).input_ids) == 1
