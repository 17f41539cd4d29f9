"""Formats: what each makes of a row, and what it says of a row that is no use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline.data.files import Record
from plumbline.data.formats import BadRow, check_columns, clean, dense_ranks, draft, look_up
from plumbline.errors import DataError
from plumbline.params import Source


def parsed(format, content, task="task", **columns):
    source = Source(path="data/rows.jsonl", format=format, task=task, columns=columns, limit=0)
    return draft(Record("data/rows.jsonl", 3, content), source)


def refused(format, content, task="task", **columns):
    with pytest.raises(BadRow) as raised:
        parsed(format, content, task, **columns)
    return str(raised.value)


def test_alpaca_leaves_a_blank_input_away():
    row = {"instruction": "Add.", "input": "2 2", "output": "4"}
    assert parsed("alpaca", row).fields == {"instruction": "Add.", "input": "2 2"}
    for blank in ({"input": ""}, {"input": " \n"}, {"input": None}):
        assert parsed("alpaca", row | blank).fields == {"instruction": "Add."}
    assert parsed("alpaca", row).answers == ["4"]


def test_a_dotted_column_reaches_into_objects_and_lists():
    row = {"instruction": "Add.", "instances": [{"input": "2 2", "output": "4"}], "a.b": "whole name first"}
    made = parsed("alpaca", row, input="instances.0.input", output="instances.0.output")
    assert (made.fields["input"], made.answers) == ("2 2", ["4"])
    assert look_up(row, "a.b") == "whole name first"
    assert "instances.7.output" not in refused("alpaca", row, output="instances.7.output")


def test_a_completion_loses_the_marker_of_its_end_and_its_windows_line_ends():
    row = {"prompt": "a\r\nb", "completion": " 4\r\n5 <|endoftext|>"}
    made = parsed("prompt_completion", row)
    assert (made.fields, made.answers) == ({"prompt": "a\nb"}, ["4\n5"])
    assert refused("prompt_completion", row | {"completion": "<|endoftext|>"}) == "blank: completion is blank"


def test_the_last_message_is_the_answer_and_the_others_are_the_prompt():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "See you"},
    ]
    made = parsed("messages", {"messages": messages})
    assert made.fields == {"0 system": "Be brief.", "1 user": "Hello", "2 assistant": "Hi", "3 user": "Bye"}
    assert made.answers == ["See you"]
    assert "last message is not the assistant's" in refused("messages", {"messages": messages[:-1]})
    assert "no turn of the user" in refused("messages", {"messages": messages[-1:]})
    assert "two turns in a row" in refused("messages", {"messages": [messages[1], *messages[3:]]})
    assert "the role 'bot'" in refused("messages", {"messages": [{"role": "bot", "content": "x"}]})
    assert refused("messages", {"messages": []}) == "blank: messages is an empty list"
    assert refused("messages", {"messages": "Hello"}) == "type: messages is not a list of messages"


def test_conversations_with_the_same_first_turn_are_one_group():
    def talk(first, second):
        turns = [("user", first), ("assistant", "yes"), ("user", second), ("assistant", "no")]
        return parsed("messages", {"messages": [{"role": role, "content": text} for role, text in turns]})

    assert talk("Hello there!", "one").group == talk("hello  there", "two").group
    assert talk("Hello there!", "one").group != talk("Goodbye!", "one").group


def test_several_summaries_are_references_and_the_first_is_the_answer():
    made = parsed("dialogue_summary", {"dialogue": "A: x", "summaries": ["one", "two"]}, summary="summaries")
    assert made.answers == ["one", "two"]
    assert parsed("dialogue_summary", {"dialogue": "A: x", "summary": "one"}).answers == ["one"]


def test_fields_come_from_an_object_or_from_mapped_columns():
    row = {"task": "answer", "fields": {"passage": "p", "question": "q"}, "answer": "a", "references": ["a", "b"]}
    made = parsed("fields", row, task="")
    assert (made.task, made.family, made.fields, made.answers) == ("answer", "answer", row["fields"], ["a", "b"])
    mapped = parsed(
        "fields", {"header": "h", "text": "t", "note": "n"}, "note", section="header", dialogue="text", answer="note"
    )
    assert (mapped.fields, mapped.answers) == ({"section": "h", "dialogue": "t"}, ["n"])


def test_the_common_turns_of_two_transcripts_are_the_prompt():
    before = "\n\nHuman: Hello\n\nAssistant: Hi\n\nHuman: Why?\n\nAssistant:"
    made = parsed("chosen_rejected", {"chosen": before + " Because.", "rejected": before + " Go away."})
    assert made.fields == {"0 user": "Hello", "1 assistant": "Hi", "2 user": "Why?"}
    assert (made.answers, made.ranks, made.kind) == (["Because.", "Go away."], [1, 2], "ranking")
    same = {"chosen": before + " x", "rejected": before + " x "}
    assert refused("chosen_rejected", same) == "same: chosen and rejected are the same text"
    assert "blank" in refused("chosen_rejected", {"chosen": before + " x", "rejected": before})
    other = {"chosen": before + " x", "rejected": before.replace("Why?", "When?") + " y"}
    assert "differ before their last turn" in refused("chosen_rejected", other)
    assert "start with `Human:`" in refused("chosen_rejected", {"chosen": "x", "rejected": "y"})


def test_chosen_and_rejected_may_stand_beside_their_prompt():
    made = parsed("chosen_rejected", {"prompt": "Why?", "chosen": "Because.", "rejected": "No."})
    assert (made.fields, made.answers) == ({"0 user": "Why?"}, ["Because.", "No."])


@pytest.mark.parametrize(
    ("given_ranks", "stored"),
    [([2, 1, 3], [2, 1, 3]), ([1, 1, 2], [1, 1, 2]), ([1, 1, 3], [1, 1, 2]), ([1, 2, 2], [1, 2, 2]), ([1, 1, 1],) * 2],
)
def test_ranks_may_tie_and_may_skip_after_a_tie(given_ranks, stored):
    row = {"prompt": "Why?", "completions": ["a", "b", "c"], "ranks": given_ranks}
    assert parsed("ranked", row).ranks == stored


@pytest.mark.parametrize(
    "ranks", [[0, 1, 2], [1, 2, 4], [2, 2, 3], [1, 2], [-1, 1, 2], ["1", 2, 3], [True, 2, 3], None, 1]
)
def test_ranks_that_are_no_ranking_are_refused(ranks):
    assert "rank" in refused("ranked", {"prompt": "Why?", "completions": ["a", "b", "c"], "ranks": ranks})


@given(st.lists(st.integers(), min_size=1, max_size=8))
def test_renumbering_ranks_keeps_their_order_and_does_nothing_twice(ranks):
    dense = dense_ranks(ranks)
    assert dense_ranks(dense) == dense
    assert set(dense) == set(range(1, len(set(ranks)) + 1))
    for one, first in zip(ranks, dense, strict=True):
        assert [one < other for other in ranks] == [first < second for second in dense]


@pytest.mark.parametrize(
    ("value", "liked"), [(True, True), (1, True), ("Up", True), (False, False), (-1, False), ("no ", False)]
)
def test_a_thumb_is_true_or_false_in_several_spellings(value, liked):
    assert parsed("thumbs", {"prompt": "Why?", "completion": "So.", "liked": value}).liked is liked


@pytest.mark.parametrize("value", ["maybe", 2, 0.5, [], {}])
def test_a_thumb_of_another_kind_is_refused(value):
    assert refused("thumbs", {"prompt": "Why?", "completion": "So.", "liked": value}).startswith("type: liked")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "type: x is null, not text"),
        (7, "type: x is a number, not text"),
        (float("inf"), "type: x is a number, not text"),
        (True, "type: x is true or false, not text"),
        ({}, "type: x is an object, not text"),
        ([], "type: x is a list, not text"),
        (" \r\n\t", "blank: x is blank"),
        ("a\0b", "characters: x holds a NUL character"),
        ("a\ud800b", "characters: x holds half a surrogate pair, which is no Unicode text"),
    ],
)
def test_what_is_not_a_text_is_refused_by_name(value, reason):
    with pytest.raises(BadRow) as raised:
        clean(value, "x")
    assert str(raised.value) == reason


@given(st.text())
def test_a_cleaned_text_is_clean(text):
    try:
        once = clean(text, "x")
    except BadRow:
        return
    assert clean(once, "x") == once
    assert once.strip() == once
    assert "\r" not in once


def test_a_column_that_no_row_has_is_named_with_the_nearest_and_all_that_are_there():
    source = Source(path="data/a.csv", format="dialogue_summary", task="t", columns={"dialogue": "dialog"}, limit=0)
    with pytest.raises(DataError) as raised:
        check_columns([Record("data/a.csv", 2, {"dialogue": "x", "sumary": "y"})], source)
    assert str(raised.value).splitlines() == [
        "data/a.csv: no column dialog (for dialogue); did you mean dialogue? map it in `columns`; "
        "the file has dialogue, sumary",
        "data/a.csv: no column summary (for summary); did you mean sumary? map it in `columns`; "
        "the file has dialogue, sumary",
    ]


def test_a_row_names_itself_by_its_id_or_else_by_its_line():
    assert parsed("thumbs", {"id": 7, "prompt": "a", "completion": "b", "liked": True}).id == "7"
    assert parsed("thumbs", {"prompt": "a", "completion": "b", "liked": True}).id == "data/rows.jsonl:3"
