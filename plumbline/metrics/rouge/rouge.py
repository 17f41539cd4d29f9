"""ROUGE-1, -2, -L and -Lsum as a metric module, best over the references, from plumbline.metrics.score."""

from typing import Any

import datasets
import evaluate

from plumbline.metrics.score import ROUGE_KINDS, rouge

DESCRIPTION = "ROUGE-1, ROUGE-2, ROUGE-L and ROUGE-Lsum (Lin 2004) by rouge_score, the best over the references."
INPUTS = """
Args:
    predictions: list of answers
    references: list of lists of references
    stemmer: whether Porter stemming comes first (default False)
    aggregate: mean over the rows that can be scored (default), or False for a list with one score a row
Returns: for each kind (rouge1, rouge2, rougeL, rougeLsum) its F, and as <kind>_precision and <kind>_recall the two
    shares behind it; None where no reference has enough tokens.
"""


class Rouge(evaluate.Metric):
    """`Rouge().compute(predictions=[...], references=[[...], ...], stemmer=False, aggregate=True)`"""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="Lin (2004), ROUGE: A Package for Automatic Evaluation of Summaries",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("string"))}
            ),
        )

    def _compute(
        self, predictions: list[str], references: list[list[str]], stemmer: bool = False, aggregate: bool = True
    ) -> dict[str, Any]:
        rows = [rouge(answer, texts, stemmer=stemmer) for answer, texts in zip(predictions, references, strict=True)]
        scores = {}
        for kind in ROUGE_KINDS:
            for part, name in (("f", kind), ("precision", f"{kind}_precision"), ("recall", f"{kind}_recall")):
                scores[name] = [getattr(row[kind], part) if row[kind] else None for row in rows]
        return {name: mean(values) for name, values in scores.items()} if aggregate else scores


def mean(values: list[float | None]) -> float | None:
    """The mean of the values that are not None; None without any."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
