"""From answers to a table: each metric of each model on one task with its interval, and models against each other."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from plumbline.algorithms.bootstrap import Interval, Statistic, bootstrap, paired_difference, ratio
from plumbline.metrics.score import bleu, bleu_is_defined

# What each metric makes of the sum of the rows' contributions.
METRICS: dict[str, Statistic] = {
    "rouge1": ratio,
    "rouge2": ratio,
    "rougeL": ratio,
    "rougeLsum": ratio,
    "bleu": bleu,
    "exact_match": ratio,
    "token_f1": ratio,
    "loss": ratio,
}

Contributions = dict[str, list[Sequence[float] | None]]


def score_rows(
    answers: Sequence[str], references: Sequence[Sequence[str]], losses: Sequence[tuple[float, int]], *, stemmer: bool
) -> dict[str, list[Any]]:
    """Every score of every row: name -> one value a row, None where a row's references cannot be scored.

    `losses` are the rows' sums of -log p and their numbers of tokens. The metric modules compute the scores; beside
    the model classes, which an evaluation has loaded anyway, importing them costs 0.3 s.
    """
    from plumbline.metrics.bleu.bleu import Bleu
    from plumbline.metrics.exact_match.exact_match import ExactMatch
    from plumbline.metrics.rouge.rouge import Rouge
    from plumbline.metrics.token_f1.token_f1 import TokenF1

    given = {"predictions": list(answers), "references": [list(texts) for texts in references], "aggregate": False}
    return {
        **Rouge(keep_in_memory=True).compute(**given, stemmer=stemmer),
        "bleu_parts": Bleu(keep_in_memory=True).compute(**given)["bleu_parts"],
        **ExactMatch(keep_in_memory=True).compute(**given),
        **TokenF1(keep_in_memory=True).compute(**given),
        "nats": [nats for nats, _ in losses],
        "tokens": [tokens for _, tokens in losses],
    }


def contributions(scores: Mapping[str, Sequence[Any]], references: Sequence[Sequence[str]]) -> Contributions:
    """What each row of one task adds to the sums that the metrics are made of; None where it adds to none."""
    loss = list(zip(scores["nats"], scores["tokens"], strict=True))
    rows = len(references)
    parts: Contributions = {
        "bleu": list(scores["bleu_parts"]) if bleu_is_defined(references) else [None] * rows,
        "loss": [each if each[1] else None for each in loss],
    }
    for name in METRICS:
        if name not in parts:
            parts[name] = [None if score is None else (score, 1) for score in scores[name]]
    return {name: parts[name] for name in METRICS}


def intervals(
    parts: Contributions, groups: Sequence[str], *, resamples: int, seed: int
) -> dict[str, dict[str, float | None]]:
    """Each metric in `parts` of one model on one task: {value, low, high}."""
    table = {}
    for name in parts:
        statistic = METRICS[name]
        scored = [index for index, part in enumerate(parts[name]) if part is not None]
        rows = np.array([parts[name][index] for index in scored], dtype=float)
        table[name] = rounded(
            bootstrap(rows, [groups[index] for index in scored], statistic, resamples=resamples, seed=seed)
        )
    return table


def differences(
    first: Contributions, second: Contributions, groups: Sequence[str], *, resamples: int, seed: int
) -> dict[str, dict[str, float | None]]:
    """Each metric of `first` minus that of `second`, paired on the rows that both have: {value, low, high}."""
    table = {}
    for name in first:
        statistic = METRICS[name]
        pairs = zip(first[name], second[name], strict=True)
        both = [index for index, pair in enumerate(pairs) if None not in pair]
        ours, theirs = (np.array([parts[name][index] for index in both], dtype=float) for parts in (first, second))
        chosen = [groups[index] for index in both]
        table[name] = rounded(paired_difference(ours, theirs, chosen, statistic, resamples=resamples, seed=seed))
    return table


def rounded(interval: Interval) -> dict[str, float | None]:
    """Six digits: what differs beyond them is the order in which a machine adds."""
    return {
        end: None if number is None else round(number, 6) + 0.0  # no negative zero
        for end, number in interval._asdict().items()
    }
