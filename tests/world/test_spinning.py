"""Templates with choices."""

import random

import pytest

from plumbline.world.spinning import fill, plural, spin


def forms(template):
    return {spin(template, random.Random(f"form {draw}")) for draw in range(200)}


def test_every_combination_of_the_choices_appears_and_no_other():
    assert forms("{a|b {c|d}} <slot>{|!}") == {
        f"{first} <slot>{sign}" for first in ("a", "b c", "b d") for sign in ("", "!")
    }


def test_an_empty_choice_leaves_no_space_behind():
    assert forms("one {two|} three {four|}.") == {
        "one two three four.",
        "one three four.",
        "one two three.",
        "one three.",
    }


def test_wrapped_lines_join_while_paragraphs_lists_and_tables_keep_their_lines():
    template = """wrapped
        text

        - one
        - two

        ¦ a ¦ b ¦
        ¦ 1 ¦ 2 ¦"""
    assert forms(template) == {"wrapped text\n\n- one\n- two\n\n| a | b |\n| 1 | 2 |"}


def test_steps_are_numbered_from_one_whichever_are_chosen():
    assert forms("* first\n* {second|2nd}\n* third") == {
        "1. first\n2. second\n3. third",
        "1. first\n2. 2nd\n3. third",
    }


@pytest.mark.parametrize("template", ["{a|b", "a|b", "a}", "{a}}"])
def test_braces_that_do_not_match_are_refused(template):
    with pytest.raises(ValueError, match="brace"):
        spin(template, random.Random("any"))


def test_slots_are_filled_and_an_unknown_one_is_refused():
    assert fill("<a> and <a>", {"a": "b"}) == "b and b"
    with pytest.raises(KeyError):
        fill("<a>", {})


def test_one_takes_no_plural():
    assert (plural(1, "day"), plural(2, "day"), plural(0, "day")) == ("1 day", "2 days", "0 days")
