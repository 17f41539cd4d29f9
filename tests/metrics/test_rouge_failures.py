"""docs/rouge_failures.md says what this code computes."""

import re
from pathlib import Path

import numpy as np
import pytest

from plumbline.metrics.score import bleu, bleu_parts, bleu_signature, rouge

PAGE = (Path(__file__).parents[2] / "docs" / "rouge_failures.md").read_text(encoding="utf-8")
REFERENCE = "It is cold outside"
TEA = "I am very happy to say that I am drinking a warm cup of tea."


def nltk_bleu(answer, reference):
    """Unstandardised: NLTK's sentence BLEU on words split at spaces, kept to check the much-copied numbers."""
    from nltk.translate.bleu_score import sentence_bleu

    return sentence_bleu([reference.split()], answer.split())


def computed(answer, column):
    """The number that belongs in a column of the page."""
    if column.startswith("NLTK"):
        return nltk_bleu(answer, TEA)
    if column.startswith("sacreBLEU"):
        return float(bleu(np.array(bleu_parts(answer, [TEA])))) / 100
    kind, part = column.rsplit(" ", 1)
    return getattr(rouge(answer, [REFERENCE], stemmer=False)[kind.replace("ROUGE-", "rouge")], part.lower())


def cells():
    """Every number in the page's tables: (answer, column, number as printed)."""
    header = None
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            header = None
        elif header is None:
            header = [cell.strip() for cell in line.strip("|").split("|")]
        elif not set(line) <= set("|-"):
            answer, *numbers = [cell.strip() for cell in line.strip("|").split("|")]
            yield from ((answer, column, number) for column, number in zip(header[1:], numbers, strict=True))


@pytest.mark.parametrize(("answer", "column", "printed"), list(cells()), ids=" · ".join)
def test_every_number_of_the_page_is_the_codes(answer, column, printed):
    assert f"{computed(answer, column):.3f}" == printed


def test_the_page_has_its_five_tables():
    assert len(list(cells())) == 6 + 6 + 6 + 3 + 6


def test_the_numbers_in_the_text_are_right_too():
    answer, reference = "It is very cold outside".split(), REFERENCE.split()
    run = max(
        length
        for length in range(len(reference) + 1)
        for start in range(len(reference) - length + 1)
        if f" {' '.join(reference[start : start + length])} " in f" {' '.join(answer)} "
    )
    recall, precision = run / len(reference), run / len(answer)
    f = 2 * precision * recall / (precision + recall)
    assert f"recall {recall:.3f}, precision {precision:.3f}, F {f:.3f}" in PAGE
    unclipped = sum(word in reference for word in "cold cold cold cold".split()) / 4
    assert re.search(rf"be found in the reference and the precision be {unclipped:.3f}", PAGE.replace("\n", " "))
    assert bleu_signature([TEA], [[TEA]]) in PAGE
