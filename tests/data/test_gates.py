"""Gates: each stops its own kind of bad row, by file and line, and good rows pass them all."""

import json

import pytest

from plumbline.data import gates
from plumbline.data.gates import Check, failures, measured, page, ranking_columns, run_gates
from plumbline.params import Prepare
from plumbline.rows import Reject

PARAMS = Prepare.model_construct(seed=1, max_tokens=100, near_duplicate=0.8, reject_limit=0.2)


def row(number, split="train", **changes):
    text = " ".join(f"word-{place}-of-{number}" for place in range(16))
    return {
        "id": f"row-{number}",
        "group": f"group-{number}",
        "prompt": f"Summarise: {text}",
        "source_file": "data/rows.jsonl",
        "source_line": number,
        "split": split,
        "text": text,
        "fingerprint": f"text-{number}",
        "content": f"content-{number}",
        "prompt_tokens": 20,
        "answer_tokens": 5,
        "tokens": 25,
        "references": 1,
        "task": "summarise",
        "answer": "so it is",
        **changes,
    }


def example_rows():
    return [row(1), row(2), row(3, "validation"), row(4, "test"), row(5, "test")]


def ranking(number, completions=("a", "b", "c"), ranks=(1, 2, 2), **changes):
    return {**row(number), **ranking_columns(completions, ranks), **changes}


def failed(name, rows, measure=True):
    checks = run_gates({name: measured(rows, PARAMS) if measure else rows}, PARAMS)
    return {(each.meaning, where) for each in checks if not each.passed for where, _ in each.failing}


def test_good_rows_of_every_kind_pass_every_gate():
    thumb = row(1, completion="yes", liked=True)
    tables = {
        "example": measured(example_rows(), PARAMS),
        "ranking": measured([ranking(1), ranking(2, ranks=(3, 1, 2)), ranking(3, ranks=(1, 1, 1))], PARAMS),
        "thumb": measured([thumb], PARAMS),
        "source": [{"source_file": "data/rows.jsonl", "source_line": 0, "rejected": 0.2}],
    }
    checks = run_gates(tables, PARAMS)
    assert failures(checks) == []
    assert {each.suite for each in checks} == set(tables)
    assert len(checks) == sum(len(suite) for suite in gates.suites(PARAMS).values())


@pytest.mark.parametrize(
    ("change", "meaning"),
    [
        ({"prompt": None}, "prompt is there"),
        ({"prompt": 7}, "prompt is text"),
        ({"prompt": " \n"}, "prompt is not blank"),
        ({"answer": ""}, "answer is not blank"),
        ({"task": None}, "task is there"),
        ({"split": "training"}, "the split is known"),
        ({"tokens": 101}, "the row is not longer than max_tokens"),
        ({"prompt_tokens": 0}, "the prompt has a token and is not longer than max_tokens"),
        ({"answer_tokens": 1}, "the answer has a token besides the end token"),
        ({"references": 0}, "there is a reference"),
    ],
)
def test_a_bad_example_is_named_by_file_and_line(change, meaning):
    rows = example_rows()
    rows[1] |= change
    assert (meaning, "data/rows.jsonl:2") in failed("example", rows)


@pytest.mark.parametrize(
    ("column", "meaning"),
    [
        ("id", "the id stands once"),
        ("content", "the row stands once"),
        ("group", "the group stands in one split"),
        ("fingerprint", "the text stands in one split"),
    ],
)
def test_what_two_rows_must_not_share_is_named_with_both(column, meaning):
    rows = example_rows()
    rows[3][column] = rows[0][column]
    assert {(meaning, "data/rows.jsonl:1"), (meaning, "data/rows.jsonl:4")} <= failed("example", rows)


@pytest.mark.parametrize(("place", "other"), [(0, 3), (0, 2), (2, 3)])
def test_a_row_that_nearly_repeats_one_of_a_later_split_is_named(place, other):
    rows = example_rows()
    rows[place]["text"] = rows[other]["text"] + " seventeen"
    [(meaning, where)] = failed("example", rows)
    assert where == f"data/rows.jsonl:{rows[place]['source_line']}"
    assert "near-duplicate" in meaning


@pytest.mark.parametrize("ranks", [(1, 2, 4), (0, 1, 2), (2, 3, 3), (1, 2), (1, 1, 3)])
def test_ranks_that_are_no_dense_ranking_are_named(ranks):
    assert failed("ranking", [ranking(1), ranking(2, ranks=ranks)]) in (
        {("ranks are a permutation, ties allowed", "data/rows.jsonl:2")},
        {("each completion has a rank", "data/rows.jsonl:2")},
    )


def test_a_thumb_that_is_neither_up_nor_down_is_named():
    rows = [row(1, completion="yes", liked=True), row(2, completion="no", liked="down")]
    assert failed("thumb", rows) == {("liked is true or false", "data/rows.jsonl:2")}


def test_a_source_that_loses_more_rows_than_the_limit_is_named():
    sources = [{"source_file": f"data/{share}.jsonl", "source_line": 0, "rejected": share} for share in (0.2, 0.21)]
    [(_, where)] = failed("source", sources, measure=False)
    assert where == "data/0.21.jsonl"


def test_the_message_has_one_line_per_gate_and_sums_up_many_rows():
    failing = [(f"data/rows.jsonl:{number}", "bad\nvalue") for number in range(1, 21)]
    check = Check("example", "expect_column_values_to_be_unique", "id", "the id stands once", 100, failing)
    [line] = failures([check, Check("example", "x", "y", "z", 100, [])])
    assert line.startswith(
        "gate example: expect_column_values_to_be_unique (id): the id stands once: 20 of 100 rows fail"
    )
    assert "data/rows.jsonl:5 (bad value) and 15 more" in line
    assert "\n" not in line


def test_an_error_inside_a_gate_is_no_verdict_on_the_rows():
    rows = [{name: value for name, value in each.items() if name != "tokens"} for each in example_rows()]
    with pytest.raises(RuntimeError, match="did not run"):
        run_gates({"example": measured(rows, PARAMS)}, PARAMS)


def test_the_page_needs_no_other_file_and_shows_rows_as_text():
    checks = [
        Check("example", "expect", "id", "the id stands once", 9, [("data/<b>.jsonl:3", "<script>alert(1)</script>")])
    ]
    rejects = [Reject(file="data/a.jsonl", line=2, reason="blank: <i>", text="")]
    text = page(checks, rejects)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "data/&lt;b&gt;.jsonl:3" in text
    assert "data/a.jsonl:2: blank: &lt;i&gt;" in text
    assert "http" not in text
    assert json.dumps(gates.as_json(checks))
