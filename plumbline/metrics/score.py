"""Scores of one answer against its references, as plain functions; the metric modules beside this file serve them.

A score whose references leave nothing to compare is None, never 0: ROUGE-2 of one-word references, for example.
That depends on the references alone, so every model is scored on the same rows.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU

ROUGE_KINDS = {"rouge1": 1, "rouge2": 2, "rougeL": 1, "rougeLsum": 1}  # with the tokens that a reference needs
BLEU_ORDER = 4  # longest n-gram
BLEU_PARTS = 2 + 2 * BLEU_ORDER  # length of answer and of reference, matches and n-grams of each order

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


class Overlap(NamedTuple):
    """ROUGE of one answer: shares of the answer's tokens, of the reference's, and their harmonic mean."""

    precision: float
    recall: float
    f: float


def rouge(answer: str, references: Sequence[str], *, stemmer: bool) -> dict[str, Overlap | None]:
    """ROUGE-1, -2, -L and -Lsum, each against the reference that gives the highest F. Lin (2004).

    Computed by rouge_score, whose numbers equal the Perl original's. `rougeLsum` compares sentence by sentence;
    sentences end at line breaks and after `.`, `!` or `?` (no download of a splitter). Tokens are runs of a-z and
    0-9 after lower-casing: a reference without any cannot be scored.
    """
    scorer = rouge_scorer(stemmer)
    usable = [(reference, len(rouge_tokens(reference))) for reference in references]
    scores = [(scorer.score(by_sentence(reference), by_sentence(answer)), length) for reference, length in usable]
    best: dict[str, Overlap | None] = {}
    for kind, needed in ROUGE_KINDS.items():
        candidates = [Overlap(*each[kind]) for each, length in scores if length >= needed]
        best[kind] = max(candidates, key=lambda overlap: overlap.f, default=None)
    return best


@cache
def rouge_scorer(stemmer: bool) -> "RougeScorer":
    """Imports nltk (1.7 s), hence late; the tokenizer is given so that nothing is looked up or downloaded."""
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    return RougeScorer(list(ROUGE_KINDS), tokenizer=DefaultTokenizer(stemmer))


def rouge_tokens(text: str) -> list[str]:
    """The tokens that ROUGE sees, before stemming."""
    return re.findall(r"[a-z0-9]+", text.lower())


def by_sentence(text: str) -> str:
    """The text with one sentence a line."""
    return SENTENCE_END.sub("\n", text)


def bleu_parts(answer: str, references: Sequence[str]) -> list[int]:
    """What one row adds to corpus BLEU: answer length, closest reference length, matches and n-grams of orders 1-4.

    Corpus BLEU is a function of the sum of these, not a mean over rows, so resampling works on them.
    """
    score = sacrebleu_scorer().corpus_score([answer], [[reference] for reference in references])
    return [score.sys_len, score.ref_len, *score.counts, *score.totals]


@cache
def sacrebleu_scorer() -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU

    return BLEU()


def bleu(totals: Float[np.ndarray, "... 10"]) -> Float[np.ndarray, "..."]:
    """Corpus BLEU (0-100) of summed `bleu_parts`, for any number of corpora at once. Papineni et al. (2002).

    As sacreBLEU with its defaults: geometric mean of the four clipped precisions times the brevity penalty, where the
    k-th order without a match counts 1 / 2^k matches ("exp" smoothing); 0 without any match or any 4-gram.
    """
    answer, reference = totals[..., 0], totals[..., 1]
    matches, ngrams = totals[..., 2 : 2 + BLEU_ORDER], totals[..., 2 + BLEU_ORDER :]
    halvings = np.cumsum(matches == 0, axis=-1)
    smoothed = np.where(matches == 0, 0.5**halvings, matches)
    logs = np.log(smoothed / np.maximum(ngrams, 1)).mean(axis=-1)
    brevity = np.minimum(0.0, 1 - reference / np.maximum(answer, 1))
    scored = (matches[..., 0] > 0) & (ngrams[..., -1] > 0)
    return np.where(scored, 100 * np.exp(logs + brevity), 0.0)


def bleu_is_defined(references: Sequence[Sequence[str]]) -> bool:
    """Whether any reference of any row holds a 4-gram. Without one no answer could be right: labels, for example."""
    tokenize = sacrebleu_scorer().tokenizer
    return any(len(tokenize(text).split()) >= BLEU_ORDER for row in references for text in row)


def bleu_signature(answers: Sequence[str], references: Sequence[Sequence[str]]) -> str:
    """sacreBLEU's description of how these rows are scored; it knows the number of references only after scoring."""
    from sacrebleu.metrics.bleu import BLEU

    scorer = BLEU()
    most = max(len(row) for row in references)
    streams: Any = [[row[index] if index < len(row) else None for row in references] for index in range(most)]
    scorer.corpus_score(list(answers), streams)
    return str(scorer.get_signature())


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 when the answer equals a reference after SQuAD normalisation, else 0."""
    return best_over(references, lambda reference: float(normalise(answer) == normalise(reference)))


def token_f1(answer: str, references: Sequence[str]) -> float:
    """F1 of the shared words after SQuAD normalisation, best over the references. Rajpurkar et al. (2016).

    Where one side has no words left, 1 if the other has none either, else 0, as in SQuAD 2.0.
    """
    return best_over(references, lambda reference: shared_f1(normalise(answer).split(), normalise(reference).split()))


def shared_f1(answer: list[str], reference: list[str]) -> float:
    """Harmonic mean of the shares of the answer's and of the reference's words that both have, repetitions clipped."""
    if not answer or not reference:
        return float(answer == reference)
    shared = (Counter(answer) & Counter(reference)).total()
    return 2 * shared / (len(answer) + len(reference))


def best_over(references: Sequence[str], score: Callable[[str], float]) -> float:
    """The highest score over the references."""
    return max(score(reference) for reference in references)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation and English articles, single spaces: SQuAD's normalisation."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())
