"""Templates: data that is whole, and drawn the same way every time."""

from collections import Counter

import pytest

from plumbline.data.templates import choose, fill, load_templates, places

TASKS = ["summarise", "answer", "intent", "sentiment", "extract", "rewrite", "note", "instruction"]


@pytest.mark.parametrize("family", TASKS)
def test_every_task_has_six_templates_or_more_and_no_two_are_the_same(family):
    texts = [text for _, text, _ in load_templates()[family]]
    assert len(texts) >= 6
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("family", [family for family in TASKS if family != "instruction"])
def test_all_templates_of_a_task_have_the_same_places(family):
    assert len({places for _, _, places in load_templates()[family]}) == 1


def test_a_row_always_draws_the_same_template_and_many_rows_draw_them_all():
    fields = {"dialogue": "x"}
    drawn = [choose("summarise", fields, f"7 row-{number}") for number in range(200)]
    assert drawn == [choose("summarise", fields, f"7 row-{number}") for number in range(200)]
    assert len(Counter(drawn)) == len(load_templates()["summarise"])


def test_only_a_template_with_places_for_exactly_the_rows_fields_is_drawn():
    for number in range(50):
        _, text = choose("instruction", {"instruction": "x"}, str(number))
        assert places(text) == {"instruction"}
        _, text = choose("instruction", {"instruction": "x", "input": "y"}, str(number))
        assert places(text) == {"instruction", "input"}
    assert choose("instruction", {"input": "y"}, "1") is None
    assert choose("no such task", {"input": "y"}, "1") is None


def test_braces_in_a_rows_text_are_text():
    assert fill("Say {a}.", {"a": "{b} {0} {a.__class__} %s"}) == "Say {b} {0} {a.__class__} %s."
