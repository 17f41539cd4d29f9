"""Files of rows: every kind is read alike, and every row knows its line."""

import csv
import gzip
import json

import pytest

from plumbline.data import files
from plumbline.data.files import read_hub, read_records
from plumbline.errors import DataError

ROWS = [
    {"prompt": "Wo liegt Köln?", "completion": "am Rhein"},
    {"prompt": 'Say "a, b"\nand c', "completion": "a, b and c"},
    {"prompt": "🙂", "completion": "a smile"},
]


def write(path, rows):
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv", "rows.parquet"])
def test_the_same_rows_are_read_from_every_kind_of_file(tmp_path, name):
    records = read_records(write(tmp_path / name, ROWS), f"data/{name}", limit=0)
    assert [record.content for record in records] == ROWS
    assert {record.file for record in records} == {f"data/{name}"}


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.csv", "rows.parquet"])
def test_a_limit_takes_the_first_rows(tmp_path, name):
    records = read_records(write(tmp_path / name, ROWS), name, limit=2)
    assert [record.content for record in records] == ROWS[:2]


def test_a_byte_order_mark_and_windows_line_ends_and_blank_lines_are_no_part_of_the_rows(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'\xef\xbb\xbf{"a": "x"}\r\n\r\n  \r\n{"a": "y"}')
    assert [(each.line, each.content) for each in read_records(tmp_path / "rows.jsonl", "rows.jsonl", 0)] == [
        (1, {"a": "x"}),
        (4, {"a": "y"}),
    ]


def test_a_line_separator_of_unicode_within_a_text_does_not_end_the_row(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": "x\u2028y\x85z"}\n', encoding="utf-8")
    assert [each.content for each in read_records(tmp_path / "rows.jsonl", "rows.jsonl", 0)] == [{"a": "x\u2028y\x85z"}]


def test_a_row_of_a_table_that_spans_lines_is_named_by_its_first(tmp_path):
    records = read_records(write(tmp_path / "rows.csv", ROWS), "rows.csv", 0)
    assert [record.line for record in records] == [2, 3, 5]


def test_every_problem_of_a_file_has_its_own_line_and_after_ten_the_rest_is_summed_up(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": "x"}\n{"a"\n\xff\n{"a": "y"}\n')
    with pytest.raises(DataError) as raised:
        read_records(tmp_path / "rows.jsonl", "rows.jsonl", 0)
    assert [line.split(": ")[0] for line in str(raised.value).splitlines()] == ["rows.jsonl:2", "rows.jsonl:3"]
    (tmp_path / "rows.jsonl").write_bytes(b"{\n" * 1000)
    with pytest.raises(DataError) as raised:
        read_records(tmp_path / "rows.jsonl", "rows.jsonl", 0)
    assert len(str(raised.value).splitlines()) == files.MOST_PROBLEMS + 1


def test_a_broken_line_is_found_before_the_limit_and_not_looked_for_after_it(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"a": "x"}\n{"a"\n{"a": "y"}\n')
    assert len(read_records(tmp_path / "rows.jsonl", "rows.jsonl", 1)) == 1
    with pytest.raises(DataError, match=r"rows\.jsonl:2"):
        read_records(tmp_path / "rows.jsonl", "rows.jsonl", 2)


def test_a_row_that_is_no_object_or_repeats_a_key_is_kept_with_its_problem(tmp_path):
    (tmp_path / "rows.jsonl").write_text('[1, 2]\n{"a": 1, "a": 2}\n{"a": "x"}\n')
    problems = [record.problem for record in read_records(tmp_path / "rows.jsonl", "rows.jsonl", 0)]
    assert problems == ["type: the row is a list, not an object", "twice: the key 'a' stands twice", ""]


def test_a_data_set_of_the_hub_is_named_by_owner_name_and_split(tmp_path, monkeypatch):
    (tmp_path / "someone" / "greetings").mkdir(parents=True)  # the hub's client takes a folder of that name first
    write(tmp_path / "someone" / "greetings" / "train.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    records = read_hub("hub:someone/greetings:train", limit=2)
    assert [(each.file, each.line, each.content) for each in records] == [
        ("hub:someone/greetings:train", 1, ROWS[0]),
        ("hub:someone/greetings:train", 2, ROWS[1]),
    ]


@pytest.mark.parametrize(
    "source", ["hub:", "hub:squad", "hub:squad:train", "hub:a/b", "hub:a/b/c/d:train", "hub:a//:b"]
)
def test_a_malformed_name_of_the_hub_is_refused_in_one_line(source):
    with pytest.raises(DataError, match="write hub:owner/name:split") as raised:
        read_hub(source, 0)
    assert len(str(raised.value).splitlines()) == 1


def test_a_data_set_that_is_not_to_be_had_offline_is_refused_in_one_line(monkeypatch):
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="save its rows as a file") as raised:
        read_hub("hub:nobody/nothing:train", 0)
    assert len(str(raised.value).splitlines()) == 1
