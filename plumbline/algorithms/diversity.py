"""How much texts repeat themselves and each other, in runs of words."""

from collections.abc import Sequence


def word_runs(text: str, length: int) -> list[tuple[str, ...]]:
    """All runs of `length` words of the text, in order."""
    words = text.split()
    return [tuple(words[start : start + length]) for start in range(len(words) - length + 1)]


def distinct(texts: Sequence[str], length: int) -> float:
    """Share of different runs among all runs of all texts: distinct-n of Li et al. (2016), section 5; 0 without runs.

    It falls as texts get more or longer, so compare equal numbers of answers.
    """
    runs = [run for text in texts for run in word_runs(text, length)]
    return len(set(runs)) / len(runs) if runs else 0.0


def repetition(texts: Sequence[str], length: int) -> float:
    """Mean over texts of the share of runs that the same text has said before; a text without runs repeats nothing.

    seq-rep-n of Welleck et al. (2020), section 6.
    """
    shares = [1 - len(set(runs)) / len(runs) if (runs := word_runs(text, length)) else 0.0 for text in texts]
    return sum(shares) / len(shares)
