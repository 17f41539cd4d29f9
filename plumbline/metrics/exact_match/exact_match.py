"""Exact match after SQuAD normalisation, best over the references, as a metric module."""

from typing import Any

import datasets
import evaluate

from plumbline.metrics.score import exact_match

DESCRIPTION = (
    "Share of the answers that equal a reference after SQuAD normalisation (case, punctuation, articles, spaces)."
)
INPUTS = """
Args:
    predictions: list of answers
    references: list of lists of references
    aggregate: mean over the rows (default), or False for a list with one score a row
Returns: exact_match, between 0 and 1
"""


class ExactMatch(evaluate.Metric):
    """`ExactMatch().compute(predictions=[...], references=[[...], ...], aggregate=True)`"""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="Rajpurkar et al. (2016), SQuAD: 100,000+ Questions for Machine Comprehension of Text",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("string"))}
            ),
        )

    def _compute(self, predictions: list[str], references: list[list[str]], aggregate: bool = True) -> dict[str, Any]:
        scores = [exact_match(answer, texts) for answer, texts in zip(predictions, references, strict=True)]
        return {"exact_match": sum(scores) / len(scores) if aggregate else scores}
