import json

import pytest

from plumbline.errors import ArtifactError, DataError
from plumbline.rows import Thumb, read_rows, write_rows

THUMB = Thumb(id="1", group="g", prompt="p", completion="c", liked=True, source_file="f", source_line=1)


def test_rows_come_back_as_they_were(tmp_path):
    rows = [THUMB, THUMB.model_copy(update={"completion": 'ü\n"\u2028'})]
    assert write_rows(tmp_path / "rows.jsonl", rows) == 2
    assert read_rows(tmp_path / "rows.jsonl", Thumb) == rows


@pytest.mark.parametrize(
    ("change", "field"),
    [({"liked": "maybe"}, "liked"), ({"prompt": None}, "prompt"), ({"more": 1}, "more"), ({"id": 3}, "id")],
)
def test_a_bad_row_names_file_line_and_field(tmp_path, change, field):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in (THUMB.model_dump(), THUMB.model_dump() | change)))
    with pytest.raises(DataError, match=rf"rows\.jsonl:2: {field}: "):
        read_rows(path, Thumb)


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(ArtifactError, match="dvc repro"):
        read_rows(tmp_path / "rows.jsonl", Thumb)
