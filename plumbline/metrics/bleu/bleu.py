"""Corpus BLEU by sacreBLEU as a metric module, with the signature that makes it comparable."""

from typing import Any

import datasets
import evaluate
import numpy

from plumbline.metrics.score import bleu, bleu_is_defined, bleu_parts, bleu_signature

DESCRIPTION = "Corpus BLEU (0-100) as sacreBLEU computes it (Post 2018), with its signature."
INPUTS = """
Args:
    predictions: list of answers, not tokenised
    references: list of lists of references, not tokenised
    aggregate: the corpus' score (default), or False for what each row adds to it
Returns: bleu (None when no reference has four tokens) and signature; or with aggregate=False, bleu_parts: a list a row
    of answer length, closest reference length, matches and n-grams of orders 1-4, whose sum decides the score.
"""


class Bleu(evaluate.Metric):
    """`Bleu().compute(predictions=[...], references=[[...], ...], aggregate=True)`"""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="Papineni et al. (2002), BLEU; Post (2018), A Call for Clarity in Reporting BLEU Scores",
            inputs_description=INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.List(datasets.Value("string"))}
            ),
        )

    def _compute(self, predictions: list[str], references: list[list[str]], aggregate: bool = True) -> dict[str, Any]:
        parts = [bleu_parts(answer, texts) for answer, texts in zip(predictions, references, strict=True)]
        signature = bleu_signature(predictions, references)
        if not aggregate:
            return {"bleu_parts": parts, "signature": signature}
        defined = bleu_is_defined(references)
        return {"bleu": float(bleu(numpy.sum(parts, axis=0))) if defined else None, "signature": signature}
