"""Which words of an answer are the reference's, which are its own, and which of the reference's it lacks."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple


class Piece(NamedTuple):
    """A run of words: `same` in both, `extra` in the answer alone, `missing` from it."""

    kind: str
    text: str


def word_differences(reference: str, answer: str) -> list[Piece]:
    """The answer as pieces in reading order, with the reference's missing words where they belong.

    Words are compared without case and punctuation, as the scores compare them.
    """
    wanted, given = words(reference), words(answer)
    pieces = []
    for kind, first, last, start, end in matcher(wanted, given).get_opcodes():
        if kind == "equal":
            pieces.append(Piece("same", " ".join(given[start:end])))
            continue
        if first < last:
            pieces.append(Piece("missing", " ".join(wanted[first:last])))
        if start < end:
            pieces.append(Piece("extra", " ".join(given[start:end])))
    return pieces


def nearest(references: Sequence[str], answer: str) -> str:
    """The reference that shares most words in order with the answer; the first of equals."""
    return max(references, key=lambda reference: matcher(words(reference), words(answer)).ratio())


def matcher(wanted: Sequence[str], given: Sequence[str]) -> SequenceMatcher[str]:
    return SequenceMatcher(None, [bare(word) for word in wanted], [bare(word) for word in given], autojunk=False)


def words(text: str) -> list[str]:
    return text.split()


def bare(word: str) -> str:
    """The word without case and punctuation, or the word itself where nothing else is left."""
    return re.sub(r"\W", "", word).lower() or word
