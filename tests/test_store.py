import pytest

from plumbline.errors import ArtifactError
from plumbline.store import digest, need, read_json, unfinished, write_json


def test_a_folder_takes_its_name_only_when_whole(tmp_path):
    out = tmp_path / "artifacts/stage"
    with unfinished(out) as folder:
        (folder / "rows").write_text("1")
        assert not out.exists()
    assert (out / "rows").read_text() == "1"
    assert [entry.name for entry in out.parent.iterdir()] == ["stage"]


def test_a_failure_leaves_nothing_behind_and_the_last_result_in_place(tmp_path):
    out = tmp_path / "stage"
    with unfinished(out) as folder:
        (folder / "rows").write_text("old")
    with pytest.raises(FileNotFoundError), unfinished(out) as folder:
        (folder / "half").write_text((folder / "nothing").read_text())
    assert (out / "rows").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["stage"]


def test_a_new_result_replaces_the_old_one_whole(tmp_path):
    out = tmp_path / "stage"
    for name in ("a", "b"):
        with unfinished(out) as folder:
            (folder / name).touch()
    assert [entry.name for entry in out.iterdir()] == ["b"]


def test_a_digest_knows_names_and_contents_but_not_order_or_time(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    for folder, names in (("one", "ab"), ("two", "ba")):
        for name in names:
            (tmp_path / folder / name).write_text(name)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    (tmp_path / "two/a").rename(tmp_path / "two/c")
    assert digest(tmp_path / "one") != digest(tmp_path / "two")


def test_what_is_missing_is_named_with_the_stage_that_makes_it(tmp_path):
    with pytest.raises(ArtifactError, match="dvc repro prepare"):
        need(tmp_path / "nowhere", stage="prepare")
    with pytest.raises(ArtifactError, match=r"train\.jsonl is missing.*dvc repro -f prepare"):
        need(tmp_path, "train.jsonl", stage="prepare")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1,"])
def test_damaged_json_is_one_line(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="damaged") as caught:
        read_json(tmp_path / "a.json")
    assert len(str(caught.value).splitlines()) == 1


def test_json_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1.5, "a": ["ü"]})
    assert read_json(tmp_path / "a.json") == {"a": ["ü"], "b": 1.5}
