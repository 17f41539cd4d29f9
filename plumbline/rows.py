"""The rows that travel between stages as JSON lines, and the one way to read and write them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plumbline.errors import ArtifactError, DataError


class Row(BaseModel):
    """A frozen row; an unknown or missing field is refused by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Example(Row):
    """One instruction with its answer, rendered for the model that will be trained on it.

    `prompt` holds the text exactly as the model sees it, special tokens included; `answer` is bare text, to
    which training adds the end token. `references` are the acceptable answers; evaluation takes the best.
    """

    id: str
    task: str
    group: str = Field(description="rows of one group never stand on both sides of a split")
    prompt: str
    answer: str
    references: list[str] = Field(min_length=1)
    template: str
    source_file: str
    source_line: int


class Preference(Row):
    """How many people find one completion of a ranking better than another; both are places in its list.

    A tie is half a vote each way, so a pair on which people differ or tie stands twice, once each way round.
    """

    better: int = Field(ge=0)
    worse: int = Field(ge=0)
    votes: float = Field(gt=0)


class Ranking(Row):
    """Completions of one prompt, the ranks that people gave them together, and every pair with its votes.

    Of `ranks` 1 is best, equal numbers are ties. A reward model learns from `pairs`, which hold all that each person
    said; `raters` are the people, "" for one without a name.
    """

    id: str
    task: str
    group: str
    prompt: str
    completions: list[str] = Field(min_length=2)
    ranks: list[int] = Field(min_length=2)
    pairs: list[Preference] = Field(min_length=1)
    raters: list[str] = Field(min_length=1)
    source_file: str
    source_line: int


class Thumb(Row):
    """One completion that a person liked (True) or disliked (False)."""

    id: str
    group: str
    prompt: str
    completion: str
    liked: bool
    source_file: str
    source_line: int


class Reject(Row):
    """A row that could not be used, where it came from and why."""

    file: str
    line: int
    reason: str
    text: str = Field(description="the first 200 characters of the row")


RowType = TypeVar("RowType", bound=Row)


def read_rows(path: Path, row_type: type[RowType]) -> list[RowType]:
    """Every row of a JSON-lines file that an earlier stage wrote.

    Raises ArtifactError when the file is missing, DataError naming file, line and field when a row is malformed.
    """
    return list(iterate_rows(path, row_type))


def iterate_rows(path: Path, row_type: type[RowType]) -> Iterator[RowType]:
    """As `read_rows`, one row at a time."""
    try:
        lines = path.open(encoding="utf-8")
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; run the stage that writes it (dvc repro)") from None
    with lines:
        for number, line in enumerate(lines, 1):
            try:
                yield row_type.model_validate_json(line)
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"]) or "row"
                raise DataError(f"{path}:{number}: {field}: {first['msg']}") from None


def of_tasks(path: Path, tasks: Sequence[str], knob: str) -> list[Example]:
    """The examples of `tasks` in a file, or all when none is named; DataError when there are none, naming the knob."""
    rows = read_rows(path, Example)
    known = sorted({row.task for row in rows})
    if missing := sorted(set(tasks) - set(known)):
        raise DataError(f"{path}: no rows of task {missing[0]} ({knob}); it has {', '.join(known) or 'no rows'}")
    kept = [row for row in rows if not tasks or row.task in tasks]
    if not kept:
        raise DataError(f"{path}: no rows; raise its share of the splits in params.yaml, or add rows")
    return kept


def gold_of(path: Path, ids: Sequence[str], column: str) -> list[Any] | None:
    """A column of the world's gold.jsonl for the rows of these ids, in their order; for measuring only.

    None without such a file, or where some of the rows are not the world's.
    """
    if not path.exists():
        return None
    known = {row["id"]: row[column] for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    return [known[each] for each in ids] if all(each in known for each in ids) else None


def write_rows(path: Path, rows: Iterable[Row | dict[str, Any]]) -> int:
    """Write one JSON object a line, in UTF-8, and return how many. Equal rows give equal bytes everywhere."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            content = row.model_dump() if isinstance(row, Row) else row
            file.write(json.dumps(content, ensure_ascii=False) + "\n")
            count += 1
    return count
