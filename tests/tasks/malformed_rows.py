"""Malformed sources of rows as data: what is wrong; the file's name and bytes; its format; what the message must say.

Each ends stage `prepare` with one line. Where bytes are None, the test has a builder for the place of that name.
"""

import gzip
import json


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


ALPACA = {"instruction": "Add 2 and 2.", "input": "", "output": "4"}
GOOD = lines(ALPACA)
TALK = "\n\nHuman: Hello\n\nAssistant: Hi"

MALFORMED = [
    # the place
    ("a missing file", "missing.jsonl", None, "alpaca", "no such file"),
    ("a file of a similar name", "near/train.jsonl", None, "alpaca", "did you mean trains.jsonl?"),
    ("a folder", "folder.jsonl", None, "alpaca", "is a folder; name a file in it"),
    ("a link to itself", "loop.jsonl", None, "alpaca", "symbolic links"),
    ("a pipe", "pipe.jsonl", None, "alpaca", "not a regular file"),
    ("a name too long for the disk", "x" * 300 + ".jsonl", None, "alpaca", "File name too long"),
    ("an unknown kind of file", "rows.txt", GOOD, "alpaca", "save it as one of .jsonl, .jsonl.gz, .json, .csv"),
    ("a file without an ending", "rows", GOOD, "alpaca", "not a kind of file that is known"),
    # the bytes
    ("an empty file", "rows.jsonl", b"", "alpaca", "holds no rows"),
    ("blank lines alone", "rows.jsonl", b"\n \r\n\t\n", "alpaca", "holds no rows"),
    ("a mark of byte order alone", "rows.jsonl", b"\xef\xbb\xbf", "alpaca", "holds no rows"),
    ("UTF-16", "rows.jsonl", GOOD.decode().encode("utf-16"), "alpaca", "is UTF-16; save it as UTF-8"),
    ("Latin-1", "rows.jsonl", GOOD + b'{"output": "caf\xe9"}', "alpaca", ":2: byte 16 of the line (0xe9) is not UTF-8"),
    ("a character cut in half", "rows.jsonl", '{"a": "ü'.encode()[:-1], "alpaca", ":1: byte 8 of the line (0xc3)"),
    (
        "an overlong encoding",
        "rows.jsonl",
        b'{"a": "\xc0\xaf"}',
        "alpaca",
        ":1: byte 8 of the line (0xc0) is not UTF-8",
    ),
    ("an encoded surrogate", "rows.jsonl", b'{"a": "\xed\xa0\x80"}', "alpaca", "(0xed) is not UTF-8"),
    ("a line of 17 MB", "rows.jsonl", b'{"a": "' + b"x" * 17 * 2**20 + b'"}', "alpaca", ":1: the line is longer than"),
    ("gzip cut short", "rows.jsonl.gz", gzip.compress(GOOD * 9, mtime=0)[:-9], "alpaca", "not a whole gzip file"),
    ("no gzip at all", "rows.jsonl.gz", GOOD, "alpaca", "not a whole gzip file"),
    ("gzip with a wrong checksum", "rows.jsonl.gz", gzip.compress(GOOD, mtime=0)[:-8] + b"x" * 8, "alpaca", "gzip"),
    ("an empty gzip", "rows.jsonl.gz", gzip.compress(b"", mtime=0), "alpaca", "holds no rows"),
    # one list
    ("an empty list", "rows.json", b"[]", "alpaca", "holds no rows"),
    ("a blank file", "rows.json", b" \n", "alpaca", "holds no rows"),
    ("no list", "rows.json", b'{"a": 1}', "alpaca", "is an object, not a list of rows"),
    ("a list cut short", "rows.json", b'[{"a": 1},', "alpaca", ":1: not JSON"),
    ("a key twice in a list", "rows.json", b'[{"a": 1, "a": 2}]', "alpaca", "the key 'a' stands twice"),
    ("a list nested 100,000 deep", "rows.json", b"[" * 100_000, "alpaca", "nested too deeply"),
    ("a list in Latin-1", "rows.json", b'["caf\xe9"]', "alpaca", ":1: byte 6 of the line (0xe9) is not UTF-8"),
    ("a list of numbers", "rows.json", b"[7]", "alpaca", "the row is a number, not an object"),
    # JSON
    ("JSON cut short", "rows.jsonl", GOOD + GOOD[:-9], "alpaca", ":2: not JSON"),
    ("a brace alone", "rows.jsonl", b"{", "alpaca", ":1: not JSON"),
    ("a trailing comma", "rows.jsonl", b'{"instruction": "x",}', "alpaca", ":1: not JSON"),
    ("single quotes", "rows.jsonl", b"{'instruction': 'x'}", "alpaca", ":1: not JSON"),
    ("two objects on a line", "rows.jsonl", GOOD.strip() + b" " + GOOD, "alpaca", ":1: not JSON (Extra data at column"),
    ("one list over many lines", "rows.jsonl", b"[\n" + GOOD + b"]\n", "alpaca", ":1: not JSON"),
    ("a raw NUL", "rows.jsonl", b'{"instruction": "a\0b"}', "alpaca", ":1: not JSON (Invalid control character"),
    ("a raw tab", "rows.jsonl", b'{"instruction": "a\tb"}', "alpaca", ":1: not JSON (Invalid control character"),
    ("nested 100,000 deep", "rows.jsonl", b"[" * 100_000, "alpaca", ":1: nested too deeply"),
    ("a number of 5,000 digits", "rows.jsonl", b'{"a": ' + b"7" * 5000 + b"}", "alpaca", ":1: holds a number"),
    ("a key twice", "rows.jsonl", b'{"output": "a", "output": "b"}', "alpaca", "the key 'output' stands twice"),
    ("lists as rows", "rows.jsonl", b'["a", "b"]\n', "alpaca", "the row is a list, not an object"),
    ("texts as rows", "rows.jsonl", b'"a"\n', "alpaca", "the row is text, not an object"),
    ("null as a row", "rows.jsonl", b"null\n", "alpaca", "the row is null, not an object"),
    # CSV
    ("a table without rows", "rows.csv", b"instruction,input,output\n", "alpaca", "holds no rows"),
    ("a quote left open", "rows.csv", b'instruction,input,output\n"a,b,c\n', "alpaca", "check the quotes"),
    ("text after a quote", "rows.csv", b'instruction,input,output\n"a"x,b,c\n', "alpaca", "check the quotes"),
    ("a column twice", "rows.csv", b"output,output\na,b\n", "alpaca", "the column 'output' stands twice"),
    ("too few values", "rows.csv", b"instruction,input,output\na,b\n", "alpaca", "2 values for 3 columns"),
    ("too many values", "rows.csv", b"instruction,input,output\na,b,c,d\n", "alpaca", "4 values for 3 columns"),
    ("Latin-1 in a table", "rows.csv", b"instruction,input,output\na,b,caf\xe9\n", "alpaca", ":2: byte 8"),
    (
        "a table split by semicolons",
        "rows.csv",
        b"instruction;input;output\na;b;c\n",
        "alpaca",
        "no column instruction",
    ),
    # Parquet
    ("no Parquet at all", "rows.parquet", GOOD, "alpaca", "not a whole Parquet file"),
    ("Parquet cut short", "rows.parquet", b"PAR1" + b"\0" * 20, "alpaca", "not a whole Parquet file"),
    ("an empty Parquet file", "rows.parquet", b"", "alpaca", "not a whole Parquet file"),
    # columns and types
    ("a misspelt column", "rows.jsonl", lines({**ALPACA, "outptu": "4"} | {"output": None}), "alpaca", "is not given"),
    (
        "a column that is not there",
        "rows.jsonl",
        lines({"instruction": "x", "outputs": "y"}),
        "alpaca",
        "mean outputs?",
    ),
    ("an empty object", "rows.jsonl", b"{}\n", "alpaca", "no column"),
    ("a number for a text", "rows.jsonl", lines(ALPACA | {"output": 4}), "alpaca", "output is a number, not text"),
    (
        "NaN for a text",
        "rows.jsonl",
        lines(ALPACA | {"output": float("nan")}),
        "alpaca",
        "output is a number, not text",
    ),
    ("1e999", "rows.jsonl", b'{"instruction": "x", "output": 1e999}', "alpaca", "output is a number, not text"),
    ("an object for a text", "rows.jsonl", lines(ALPACA | {"output": {}}), "alpaca", "output is an object, not text"),
    ("a blank answer", "rows.jsonl", lines(ALPACA | {"output": " \n"}), "alpaca", "output is blank"),
    ("an escaped NUL", "rows.jsonl", lines(ALPACA | {"output": "a\0"}), "alpaca", "output holds a NUL character"),
    ("half a surrogate pair", "rows.jsonl", lines(ALPACA | {"output": "\ud800"}), "alpaca", "half a surrogate pair"),
    ("no messages", "rows.jsonl", lines({"messages": []}), "messages", "messages is an empty list"),
    ("a message without content", "rows.jsonl", lines({"messages": [{"role": "user"}]}), "messages", "content is null"),
    (
        "a transcript without turns",
        "rows.jsonl",
        lines({"chosen": "a", "rejected": "b"}),
        "chosen_rejected",
        "`Human:`",
    ),
    ("equal replies", "rows.jsonl", lines({"chosen": TALK, "rejected": TALK}), "chosen_rejected", "are the same text"),
    (
        "ranks with a gap",
        "rows.jsonl",
        lines({"prompt": "x", "completions": ["a", "b"], "ranks": [1, 3]}),
        "ranked",
        "[1, 3] is no ranking",
    ),
    (
        "a thumb held sideways",
        "rows.jsonl",
        lines({"prompt": "x", "completion": "y", "liked": "sideways"}),
        "thumbs",
        "write true or false",
    ),
    (
        "a task without a template",
        "rows.jsonl",
        lines({"task": "dance", "fields": {"song": "x"}, "answer": "y"}),
        "fields",
        "every one was rejected",
    ),
]
