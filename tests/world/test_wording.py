"""The grammar of wordings."""

import random

import pytest

from plumbline.world.wording import agree, parsed, tidy, with_article, worded


def every_wording(pattern: str, **slots: str) -> set[str]:
    rng = random.Random("wordings")
    return {worded(rng, pattern, slots) for _ in range(200)}


def test_a_choice_stands_for_each_of_its_alternatives_and_an_empty_one_for_nothing() -> None:
    assert every_wording("[good [morning|evening]|hello|], {name}!", name="Ada") == {
        "Good morning, Ada!",
        "Good evening, Ada!",
        "Hello, Ada!",
        ", Ada!",
    }


def test_a_pattern_without_choices_stands_for_itself() -> None:
    assert every_wording("no choice.") == {"No choice."}


def test_values_may_hold_brackets() -> None:
    assert every_wording("a {thing}.", thing="[b|c]") == {"A [b|c]."}


@pytest.mark.parametrize("pattern", ["[a|b", "a|b", "a]", "[a]]", "[[a]"])
def test_a_pattern_with_loose_brackets_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="bracket"):
        parsed(pattern)


def test_tidy_text_has_single_spaces_none_before_a_mark_and_capitals() -> None:
    assert tidy("  so  it is , then .  and  4.90 marks ? yes") == "So it is, then. And 4.90 marks? Yes"


def test_articles_and_verbs_follow_the_noun() -> None:
    assert with_article("refund") == "a refund" and with_article("Ember lamp") == "an Ember lamp"
    assert agree("leaks at the base", plural=False) == "leaks at the base"
    assert agree("leaks at the base", plural=True) == "leak at the base"
    assert agree("does not charge", plural=True) == "do not charge"
    assert agree("came without its poles", plural=True) == "came without their poles"
