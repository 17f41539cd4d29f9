"""Wording: texts with choices, from which a seed draws one of thousands of forms.

A template is text in which `{one|another|}` stands for one of its alternatives (nested as deep as needed, an
empty one leaves nothing) and `<name>` for a value that is filled in afterwards. Line breaks inside a
paragraph are spaces, so templates can be wrapped where they are written; a blank line ends a paragraph, and
lines that start with `- `, `* ` (a numbered step) or `¦ ` (a row of a table) stay lines.
"""

import random
import re
from collections.abc import Callable
from functools import lru_cache

Parsed = tuple["str | tuple[Parsed, ...]", ...]  # a str is text, a tuple holds the alternatives

SLOT = re.compile(r"<(\w+)>")


@lru_cache(4096)  # articles put templates together, so there is no end of them
def parse(template: str) -> Parsed:
    """The template as nested tuples: text, or a tuple of alternatives, each parsed in turn."""
    lines = re.sub(r"[ \t]*\n[ \t]*", "\n", template.strip())
    parts, end = _parse(re.sub(r"(?<!\n)\n(?![\n*¦-])", " ", lines), 0)
    if end != -1 or len(parts) > 1:
        raise ValueError(f"a bar or closing brace stands outside of braces: {template[:80]!r}")
    return parts[0]


def _parse(text: str, start: int) -> tuple[tuple[Parsed, ...], int]:
    """The alternatives from `start` to the brace that closes them, and where that is (-1: the end of the text)."""
    alternatives: list[Parsed] = []
    parts: list[str | tuple[Parsed, ...]] = []
    position = start
    while position < len(text):
        sign = text[position]
        if sign == "{":
            parts.append(text[start:position])
            inner, position = _parse(text, position + 1)
            if position == -1:
                raise ValueError(f"a brace is not closed: {text[:80]!r}")
            parts.append(inner)
            start = position + 1
        elif sign in "|}":
            parts.append(text[start:position])
            alternatives.append(tuple(part for part in parts if part))
            parts = []
            start = position + 1
            if sign == "}":
                return tuple(alternatives), position
        position += 1
    parts.append(text[start:])
    alternatives.append(tuple(part for part in parts if part))
    return tuple(alternatives), -1


def spin(template: str, rng: random.Random) -> str:
    """One form of the template, with its `<slots>` still open; steps are numbered from 1."""
    out: list[str] = []
    _choose(parse(template), rng.random, out)
    text = re.sub(r" +", " ", "".join(out)).strip()
    text = re.sub(r" ([.,;?!])", r"\1", text).replace("¦", "|")
    if text.startswith("* ") or "\n* " in text:
        lines, number = text.split("\n"), 0
        for index, line in enumerate(lines):
            if line.startswith("* "):
                number += 1
                lines[index] = f"{number}. {line[2:]}"
        text = "\n".join(lines)
    return text


def _choose(parts: Parsed, draw: Callable[[], float], out: list[str]) -> None:
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        else:
            _choose(part[int(draw() * len(part))], draw, out)


def fill(text: str, values: dict[str, str]) -> str:
    """The text with every `<slot>` replaced by its value; an unknown slot is a KeyError."""
    return SLOT.sub(lambda slot: values[slot[1]], text)


def plural(count: int, unit: str) -> str:
    """`1 day`, `30 days`: a whole number with its unit, which is given in the singular."""
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]
