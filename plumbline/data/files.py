"""Read a file of rows, or a data set of the hub, into records that know their file and line.

JSON lines (plain or gzip), a JSON list, CSV and Parquet. A file that cannot be read as rows ends the run with DataError, one line
per problem; a single row that is no use (a list where an object belongs, a key that stands twice) becomes a record
with a `problem`, for the rejects.
"""

import csv
import difflib
import gzip
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from plumbline.errors import DataError

LONGEST_LINE = 16 * 2**20  # bytes; a longer one is a file of another kind, and would fill the memory
MOST_PROBLEMS = 10  # listed of one file
SHOWN = 200  # characters of a rejected row


@dataclass(frozen=True)
class Record:
    """One row as it stands in its file. `problem` says why it cannot be used, where that is known already.

    `source` is the place of its source in `prepare.sources`, of which several may read one file.
    """

    file: str
    line: int
    content: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    problem: str = ""
    source: int = 0


class TwiceError(Exception):
    """A key stands twice in one JSON object."""


def read_records(path: Path, name: str, limit: int) -> list[Record]:
    """The rows of a file, the first `limit` of them if `limit` is not 0.

    `name` is what records and messages call the file. Raises DataError when it is missing, empty, of an unknown
    kind, damaged, or not text in UTF-8.
    """
    readers: dict[str, Callable[[Path, str], Iterator[Record]]] = {
        ".jsonl": read_json_lines,
        ".jsonl.gz": read_json_lines,
        ".json": read_json,
        ".csv": read_csv,
        ".parquet": read_parquet,
    }
    suffix = next((suffix for suffix in readers if path.name.endswith(suffix)), None)
    if suffix is None:
        raise DataError(f"{name}: not a kind of file that is known; save it as one of {', '.join(readers)}")
    try:
        if path.is_dir():
            raise DataError(f"{name}: is a folder; name a file in it")
        if path.exists() and not path.is_file():
            raise DataError(f"{name}: is not a regular file; copy its rows into one")
        records = list(islice(readers[suffix](path, name), limit or None))
    except FileNotFoundError:
        raise DataError(f"{name}: no such file{nearest(path)}") from None
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise DataError(f"{name}: not a whole gzip file; copy or download it again") from None
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({os.strerror(error.errno or 0)}); check the file") from None
    if not records:
        raise DataError(f"{name}: holds no rows; fill it, or take it out of prepare.sources")
    return records


def nearest(path: Path) -> str:
    """What to say after "no such file": the file of its folder with the nearest name, or what to do instead."""
    there = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, there, n=1)
    return f"; did you mean {near[0]}?" if near else "; put it there, or correct the path in prepare.sources"


def lines(path: Path, name: str) -> Iterator[tuple[int, str | DataError]]:
    """Number and text of each line, its end included; DataError in the text's place where it is not UTF-8."""
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise DataError(
                    f"{name}:{number}: the line is longer than {LONGEST_LINE:,} bytes; write one row a line"
                )
            if number == 1 and line[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise DataError(f"{name}: is UTF-16; save it as UTF-8")
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                wrong = f"byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not UTF-8"
                yield number, DataError(f"{name}:{number}: {wrong}; save the file as UTF-8")


def read_json_lines(path: Path, name: str) -> Iterator[Record]:
    """One record for each line that is not blank. DataError lists the lines that are not JSON."""
    problems: list[str] = []
    for number, line in lines(path, name):
        if isinstance(line, DataError):
            problems.append(str(line))
        elif line.strip():
            try:
                record = json_record(line, name, number)
            except DataError as error:
                problems.append(str(error))
            if not problems:  # after the first one, the rest is only read to list them all
                yield record
        if len(problems) == MOST_PROBLEMS:
            problems.append(f"{name}: and perhaps more; only the first {MOST_PROBLEMS} problems are listed")
            break
    if problems:
        raise DataError("\n".join(problems))


def json_record(line: str, name: str, number: int) -> Record:
    """The record of one line of JSON; DataError when it is not JSON."""
    shown = line.strip()[:SHOWN]
    try:
        content = json.loads(line, object_pairs_hook=once)
    except TwiceError as error:
        return Record(name, number, text=shown, problem=f"twice: the key {error.args[0]!r} stands twice")
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name}:{number}: not JSON ({error.msg} at column {error.colno}); one whole object belongs on each line"
        ) from None
    except RecursionError:
        raise DataError(f"{name}:{number}: nested too deeply; a row's fields are texts, numbers and lists") from None
    except ValueError:  # Python refuses to read integers of more than 4,300 digits
        raise DataError(f"{name}:{number}: holds a number of thousands of digits; write it as text") from None
    if not isinstance(content, dict):
        return Record(name, number, text=shown, problem=f"type: the row is {kind_of(content)}, not an object")
    return Record(name, number, content, shown)


def read_json(path: Path, name: str) -> Iterator[Record]:
    """One record for each row of a list, as annotation tools export it; its number stands for the line."""
    text = []
    for _, line in lines(path, name):
        if isinstance(line, DataError):
            raise line
        text.append(line)
    if not "".join(text).strip():
        return
    try:
        content = json.loads("".join(text), object_pairs_hook=once)
    except TwiceError as error:
        raise DataError(f"{name}: the key {error.args[0]!r} stands twice in one object; take one out") from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{name}:{error.lineno}: not JSON ({error.msg} at column {error.colno}); copy it again"
        ) from None
    except (RecursionError, ValueError):
        raise DataError(f"{name}: nested too deeply, or with a number of thousands of digits") from None
    if not isinstance(content, list):
        raise DataError(f"{name}: is {kind_of(content)}, not a list of rows; name a file of rows")
    for number, row in enumerate(content, 1):
        shown = json.dumps(row, ensure_ascii=False)[:SHOWN]
        if isinstance(row, dict):
            yield Record(name, number, row, shown)
        else:
            yield Record(name, number, text=shown, problem=f"type: the row is {kind_of(row)}, not an object")


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are known to differ."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise TwiceError(next(key for key in keys if keys.count(key) > 1))
    return content


def read_csv(path: Path, name: str) -> Iterator[Record]:
    """One record for each row below the header; a row may span lines and is named by its first."""

    def decoded() -> Iterator[str]:
        for _, line in lines(path, name):
            if isinstance(line, DataError):
                raise line
            yield line

    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(decoded(), strict=True)
    try:
        header = next(reader, [])
        repeated = sorted({column for column in header if header.count(column) > 1})
        if repeated:
            raise DataError(f"{name}:1: the column {repeated[0]!r} stands twice; rename one")
        line = reader.line_num + 1
        for values in reader:
            shown = ",".join(values)[:SHOWN]
            if values and len(values) != len(header):
                problem = f"columns: {len(values)} values for {len(header)} columns; quote commas within a value"
                yield Record(name, line, text=shown, problem=problem)
            elif values:
                yield Record(name, line, dict(zip(header, values, strict=True)), shown)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}:{reader.line_num}: not CSV ({error}); check the quotes") from None


def read_parquet(path: Path, name: str) -> Iterator[Record]:
    """One record for each row; its number stands for the line."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            yield from table_records(rows, name)
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).split("\n")[0].split(". ")[0][:120]
        raise DataError(f"{name}: not a whole Parquet file ({reason}); write or download it again") from None


def read_hub(source: str, limit: int) -> list[Record]:
    """The rows of a data set of the hub, named `hub:owner/name:split` or `hub:owner/name/config:split`.

    Reads the local cache where the set is there. Raises DataError when the name is malformed, or when the set, its
    config or its split is not to be had, as it is without a network.
    """
    name, _, split = source.removeprefix("hub:").partition(":")
    parts = name.split("/")
    if not split or len(parts) not in (2, 3) or not all(parts):
        raise DataError(f"{source}: write hub:owner/name:split or hub:owner/name/config:split")
    from datasets import disable_progress_bars, load_dataset

    disable_progress_bars()
    try:
        table = load_dataset("/".join(parts[:2]), *parts[2:], split=split)
    except Exception as error:  # the hub's client raises a dozen unrelated kinds; all mean: not available
        reason = next(iter(str(error).splitlines()), "")[:160] or type(error).__name__
        raise DataError(
            f"{source}: the data hub does not give it ({reason}); check name and network, or save its rows as a file "
            "under data/ and name that"
        ) from None
    records = list(islice(table_records(table, source), limit or None))
    if not records:
        raise DataError(f"{source}: holds no rows; name another split")
    return records


def table_records(rows: Any, name: str) -> Iterator[Record]:
    """Records of the rows of a table, numbered from 1."""
    for number, content in enumerate(rows, 1):
        yield Record(name, number, content, json.dumps(content, ensure_ascii=False, default=str)[:SHOWN])


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), "null" if value is None else f"a {type(value).__name__}")
