"""Formats: what each makes of a row, and what it says of a row that is no use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline.data.fields import BadRow, clean, look_up
from plumbline.data.files import Record
from plumbline.data.formats import check_columns, draft
from plumbline.data.rankings import dense_ranks
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
    assert made.opinions == {"": {(0, 1): 1}}
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


def test_several_people_may_rank_in_one_row():
    people = [{"rater": "ann", "ranks": [1, 2, 3]}, {"rater": 7, "ranks": [2, 1, 2]}]
    row = {"prompt": "Why?", "completions": ["a", "b", "c"], "rankings": people}
    made = parsed("ranked", row)
    assert made.opinions == {"ann": {(0, 1): 1, (0, 2): 1, (1, 2): 1}, "7": {(0, 1): -1, (0, 2): 0, (1, 2): 1}}
    assert made.ranks == [2, 1, 3]  # mean places 0.375, 0.25 and 0.875
    assert refused("ranked", row | {"rankings": [*people, people[0]]}).startswith("ranks: one rater gives two")
    assert refused("ranked", row | {"rankings": [{"ranks": [1, 2]}]}) == "ranks: 2 ranks for 3 completions"
    assert refused("ranked", row | {"rankings": ["ann"]}).startswith("type: rankings is not a list of objects")
    assert refused("ranked", row | {"rankings": []}) == "missing: nobody has ranked the completions"
    assert refused("ranked", {"prompt": "Why?", "completions": ["a", "b"]}) == "missing: ranks is not given"


def test_a_text_prompt_reads_like_the_examples_of_its_task_where_the_task_has_such_templates():
    row = {"prompt": "Where is it?", "completions": ["a", "b"], "ranks": [1, 2]}
    assert parsed("ranked", row, task="reply").family == "reply"
    assert parsed("ranked", row, task="reply").fields == {"prompt": "Where is it?"}
    assert parsed("ranked", row, task="summarise").fields == parsed("ranked", row).fields == {"0 user": "Where is it?"}


def test_six_preferences_rank_four_completions_taken_from_columns():
    row = {"q": "Why?", "p 1": "a", "p 2": "b", "p 3": "c", "p 4": "d", "better": [1, 1, 0, 2, 2, 2]}
    columns = {"prompt": "q", "completions": ["p 1", "p 2", "p 3", "p 4"], "preference": "better"}
    made = parsed("compared", row, **columns)
    assert made.answers == ["a", "b", "c", "d"]
    assert made.opinions == {"": {(0, 1): 1, (0, 2): 1, (0, 3): 0, (1, 2): -1, (1, 3): -1, (2, 3): -1}}
    assert made.ranks == [1, 3, 2, 1]
    assert refused("compared", row | {"better": [1, 2]}, **columns) == "ranks: 2 preferences for 6 pairs of completions"
    assert refused("compared", row | {"p 3": True}, **columns) == "type: completions.2 is true or false, not text"
    assert refused("compared", row | {"p 3": "a"}, **columns) == "same: two completions are the same text"


def test_a_pair_may_be_judged_by_one_person_or_by_a_column_for_each():
    row = {
        "prompt": "Why?",
        "one": "a",
        "two": "b",
        "ann": 1,
        "bob": "2",
        "cy": None,
        "winner": "model_b",
        "rater": "dan",
    }
    several = parsed("compared", row, completions=["one", "two"], preference=["ann", "bob", "cy"])
    assert several.opinions == {"ann": {(0, 1): 1}, "bob": {(0, 1): -1}}
    assert several.ranks == [1, 1]
    single = parsed("compared", row, completions=["one", "two"], preference="winner")
    assert single.opinions == {"dan": {(0, 1): -1}}
    nobody = row | {"ann": None, "bob": None}
    assert refused("compared", nobody, completions=["one", "two"], preference=["ann", "bob"]).startswith(
        "missing: nobody"
    )


@pytest.mark.parametrize("value", ["better", 3, -1, 1.0, True, {}])
def test_a_preference_of_another_kind_is_refused(value):
    row = {"prompt": "Why?", "completions": ["a", "b"], "preference": value}
    assert refused("compared", row).startswith("type: a preference is")


def test_a_prompt_of_several_columns_leaves_out_the_blank_ones():
    row = {"a": "Rewrite.", "b": "Hi", "completions": ["x", "y"], "preference": 1}
    assert parsed("compared", row, prompt=["a", "b"]).fields == {"0 user": "Rewrite.\n\nHi"}
    assert parsed("compared", row | {"b": ""}, prompt=["a", "b"]).fields == {"0 user": "Rewrite."}


def label_studio(kind, value, **annotation):
    result = {"id": "x", "type": kind, "from_name": "pw", "to_name": "one", "value": value}
    return {
        "id": 1,
        "completed_by": {"id": 3, "email": "ann@post.example"},
        "was_cancelled": False,
        "result": [result],
    } | annotation


def test_label_studio_gives_pairs_and_leaves_out_what_was_cancelled():
    row = {
        "id": 17,
        "data": {"question": "Why?", "left": "a", "right": "b"},
        "annotations": [
            label_studio("pairwise", {"selected": "left"}),
            label_studio("pairwise", {"selected": "right"}, completed_by=9),
            label_studio("pairwise", {"selected": "right"}, completed_by=10, was_cancelled=True),
            {"completed_by": 11, "result": [{"type": "choices", "value": {"choices": ["Unclear"]}}]},
        ],
    }
    columns = {"prompt": "question", "completions": ["left", "right"]}
    made = parsed("label_studio", row, **columns)
    assert (made.id, made.fields, made.answers) == ("17", {"0 user": "Why?"}, ["a", "b"])
    assert made.opinions == {"ann@post.example": {(0, 1): 1}, "9": {(0, 1): -1}}
    assert refused("label_studio", row | {"annotations": []}, **columns).startswith("missing: nobody")
    assert refused("label_studio", row | {"data": None}, **columns).startswith("type: data is not an object")
    assert refused("label_studio", row | {"annotations": None}, **columns).startswith("type: annotations")
    strange = row | {"annotations": [label_studio("pairwise", {"selected": "both"})]}
    assert refused("label_studio", strange, **columns) == "type: annotations.0 selects 'both', and not left or right"
    twice = row | {"annotations": [label_studio("pairwise", {"selected": "left"})] * 2}
    assert "ann@post.example ranks the completions twice in annotations.1" in refused("label_studio", twice, **columns)


@pytest.mark.parametrize("ranker", [["z", "x", "y"], {"rank": ["z", "x", "y"], "_": []}, {"_": ["z", "x", "y"]}])
def test_label_studio_gives_rankings_of_items(ranker):
    items = [{"id": "x", "title": "1", "body": "a"}, {"id": "y", "body": "b"}, {"id": "z", "body": "c"}]
    row = {"data": {"prompt": "Why?", "items": items}, "annotations": [label_studio("ranker", {"ranker": ranker})]}
    made = parsed("label_studio", row, completions="items")
    assert (made.answers, made.ranks) == (["a", "b", "c"], [2, 3, 1])


def test_what_label_studio_left_unranked_is_left_out():
    row = {"data": {"prompt": "Why?", "items": ["a", "b", "c"]}}
    partial = label_studio("ranker", {"ranker": {"rank": ["c", "b"], "_": ["a"]}})
    made = parsed("label_studio", row | {"annotations": [partial]}, completions="items")
    assert (made.answers, made.ranks) == (["b", "c"], [2, 1])
    for ranker in ({"good": ["a"], "bad": ["b"]}, {}, None, {"rank": "abc"}):
        bad = row | {"annotations": [label_studio("ranker", {"ranker": ranker})]}
        assert refused("label_studio", bad, completions="items").startswith("type: annotations.0 has")
    for ranker in (["a", "q"], ["a", "a"], ["a"], [None, "a"], [{}, "a"]):
        bad = row | {"annotations": [label_studio("ranker", {"ranker": ranker})]}
        assert refused("label_studio", bad, completions="items").startswith("ranks: annotations.0")


ARGILLA = {"prompt": "Why?", "reply-1": "a", "reply-2": "b", "reply-3": "c"}
IN_RANKS = [{"value": "reply-2", "rank": 1}, {"value": "reply-1", "rank": 2}, {"value": "reply-3", "rank": 2}]


@pytest.mark.parametrize(
    "row",
    [
        {"fields": ARGILLA, "responses": {"ranking": [{"user_id": "u1", "status": "submitted", "value": IN_RANKS}]}},
        {
            "fields": ARGILLA,
            "responses": [
                {"user_id": "u1", "status": "submitted", "values": {"ranking": {"value": IN_RANKS}}},
                {"user_id": "u2", "status": "discarded", "values": {"ranking": {"value": IN_RANKS}}},
                {"user_id": "u3", "status": "submitted", "values": {}},
            ],
        },
        {
            **ARGILLA,
            "ranking": [
                {
                    "user_id": "u1",
                    "status": "submitted",
                    "value": {"rank": [2, 1, 2], "value": ["reply-1", "reply-2", "reply-3"]},
                }
            ],
        },
    ],
)
def test_argilla_gives_rankings_in_every_version_of_its_exports(row):
    made = parsed("argilla", row, completions=["reply-1", "reply-2", "reply-3"])
    assert (made.fields, made.answers, made.ranks) == ({"0 user": "Why?"}, ["a", "b", "c"], [2, 1, 2])
    assert list(made.opinions) == ["u1"]


def test_argillas_flat_records_hold_names_from_best_to_worst():
    flat = {
        **ARGILLA,
        "order.responses": [["reply-3", "reply-1", "reply-2"], ["reply-1", "reply-2", "reply-3"]],
        "order.responses.users": ["u1", "u2"],
        "order.responses.status": ["submitted", "draft"],
    }
    columns = {"completions": ["reply-1", "reply-2", "reply-3"], "ranking": "order"}
    made = parsed("argilla", flat, **columns)
    assert (made.opinions.keys(), made.ranks) == ({"u1"}, [2, 3, 1])
    assert "different lengths" in refused("argilla", flat | {"order.responses.users": ["u1"]}, **columns)
    assert refused("argilla", flat | {"order.responses": [["reply-9", "reply-1"], None]}, **columns).startswith(
        "ranks: order.0 ranks 'reply-9'"
    )
    assert refused("argilla", flat | {"order.responses": [3, None]}, **columns).startswith("type: the value of order.0")
    assert refused("argilla", ARGILLA, **columns) == "missing: nobody has ranked the completions"
    assert refused("argilla", ARGILLA).startswith("missing: map `completions`")


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
