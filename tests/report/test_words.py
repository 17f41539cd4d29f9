"""Which words of an answer are its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline.report.words import Piece, nearest, word_differences

texts = st.lists(st.sampled_from("the kettle drips Drips. a , 48213".split()), max_size=12).map(" ".join)


@given(texts, texts)
def test_the_pieces_hold_every_word_of_the_answer_in_order(reference, answer):
    pieces = word_differences(reference, answer)
    assert " ".join(piece.text for piece in pieces if piece.kind != "missing") == answer
    assert sum(len(piece.text.split()) for piece in pieces if piece.kind != "extra") == len(reference.split())


@given(texts)
def test_an_equal_answer_has_no_differences(text):
    assert {piece.kind for piece in word_differences(text, text)} <= {"same"}


def test_case_and_punctuation_are_no_difference_but_a_digit_is():
    assert word_differences("Order 48213 is late.", "order 48231 is late") == [
        Piece("same", "order"),
        Piece("missing", "48213"),
        Piece("extra", "48231"),
        Piece("same", "is late"),
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_an_answer_is_compared_with_the_reference_it_is_nearest_to(order):
    assert nearest(["a lamp broke", "the kettle drips"][::order], "my kettle drips") == "the kettle drips"
