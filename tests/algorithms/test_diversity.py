import pytest

from plumbline.algorithms.diversity import distinct, repetition


def test_texts_that_never_repeat_are_wholly_distinct_and_without_repetition():
    texts = ["the kettle is on its way", "your refund was sent today"]
    assert distinct(texts, 2) == 1 and repetition(texts, 2) == 0


def test_one_answer_for_all_prompts_lowers_distinct_but_is_no_repetition():
    texts = ["we are sorry for that"] * 4
    assert distinct(texts, 2) == pytest.approx(1 / 4) and repetition(texts, 2) == 0


def test_a_text_that_says_one_word_over_and_over_repeats_itself():
    assert repetition(["thanks " * 6], 1) == pytest.approx(5 / 6)
    assert repetition(["thanks " * 6], 2) == pytest.approx(4 / 5)
    assert repetition(["a b c d", "a a a a"], 1) == pytest.approx((0 + 3 / 4) / 2)


def test_texts_too_short_for_a_run_repeat_nothing_and_have_none_distinct():
    assert repetition(["", "thanks"], 2) == 0 and distinct(["", "thanks"], 2) == 0
