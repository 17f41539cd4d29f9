"""ROUGE, BLEU, exact match and token F1 of single answers."""

import json
import math
import socket
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plumbline.metrics.score import (
    BLEU_PARTS,
    ROUGE_KINDS,
    bleu,
    bleu_is_defined,
    bleu_parts,
    bleu_signature,
    exact_match,
    normalise,
    rouge,
    rouge_tokens,
    token_f1,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rouge.json").read_text(encoding="utf-8"))
PERL = Path(__file__).parents[3] / "shared" / "data" / "rouge_golden" / "rouge155_pairs.jsonl"

texts = st.text(alphabet="ab c.1é", max_size=30)
answered = st.text(alphabet="abc", min_size=1, max_size=3)
sentences = st.lists(answered, min_size=1, max_size=12).map(" ".join)


def expected(triple):
    hits, answer, reference = triple
    precision, recall = hits / answer, hits / reference
    return precision, recall, 2 * precision * recall / (precision + recall) if hits else 0.0


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_rouge_counts_what_a_hand_counts(case):
    scores = rouge(case["answer"], [case["reference"]], stemmer=False)
    for kind in ("rouge1", "rouge2", "rougeL"):
        assert scores[kind] == pytest.approx(expected(case[kind]))


def test_summary_level_rouge_takes_the_union_over_the_sentences_of_the_answer():
    case = GOLDEN["summary"]
    assert rouge(case["answer"], [case["reference"]], stemmer=False)["rougeLsum"] == pytest.approx(
        expected(case["rougeLsum"])
    )


@pytest.mark.real
@pytest.mark.skipif(not PERL.exists(), reason="needs ../shared/data")
def test_rouge_equals_the_perl_original_on_its_five_golden_pairs():
    pairs = [json.loads(line) for line in PERL.read_text(encoding="utf-8").splitlines()]
    assert len(pairs) == 5
    for pair in pairs:
        scores = rouge(pair["prediction"], [pair["target"]], stemmer=pair["use_stemmer"])
        for kind in ROUGE_KINDS.keys() & pair.keys():
            golden = pair[kind]
            assert scores[kind] == pytest.approx((golden["precision"], golden["recall"], golden["fmeasure"]), abs=5e-6)


@given(sentences)
@settings(max_examples=30, deadline=None)
def test_an_answer_equal_to_a_reference_scores_one_wherever_it_can_be_scored(text):
    for kind, score in rouge(text, ["zz zz zz", text], stemmer=False).items():
        enough = len(rouge_tokens(text)) >= ROUGE_KINDS[kind]
        assert score == (pytest.approx((1, 1, 1)) if enough else pytest.approx((0, 0, 0)))
    assert exact_match(text, [text]) == token_f1(text, [text]) == 1


@given(texts, st.lists(texts, min_size=1, max_size=3), texts)
@settings(max_examples=50, deadline=None)
def test_another_reference_never_lowers_a_score(answer, references, another):
    fewer, more = (rouge(answer, each, stemmer=False) for each in (references, [*references, another]))
    for kind in ROUGE_KINDS:
        if fewer[kind]:
            assert more[kind].f >= fewer[kind].f
    assert token_f1(answer, [*references, another]) >= token_f1(answer, references)
    assert exact_match(answer, [*references, another]) >= exact_match(answer, references)


@given(texts, texts)
@settings(max_examples=50, deadline=None)
def test_scores_lie_between_zero_and_one_and_f1_is_symmetric(answer, reference):
    for score in rouge(answer, [reference], stemmer=False).values():
        assert score is None or all(0 <= part <= 1 for part in score)
    assert 0 <= token_f1(answer, [reference]) <= 1
    assert token_f1(answer, [reference]) == token_f1(reference, [answer])


def test_a_reference_too_short_for_a_metric_gives_none_and_not_zero():
    scores = rouge("a refund please", ["refund"], stemmer=False)
    assert scores["rouge2"] is None and scores["rouge1"].recall == 1
    assert all(score is None for score in rouge("退款", ["退款"], stemmer=False).values())  # no a-z, no 0-9
    assert not bleu_is_defined([["refund"], ["a new kettle", "exchange"]])
    assert bleu_is_defined([["refund"], ["a new kettle", "it is sent today"]])


def test_an_empty_answer_scores_zero():
    assert all(score == (0, 0, 0) for score in rouge("", ["it is cold"], stemmer=False).values())
    assert exact_match("", ["it is cold"]) == token_f1("", ["it is cold"]) == 0
    assert bleu(np.array(bleu_parts("", ["it is cold outside"]))) == 0


def test_the_stemmer_makes_inflections_equal():
    assert rouge("killing parcels", ["killed parcel"], stemmer=False)["rouge1"].f == 0
    assert rouge("killing parcels", ["killed parcel"], stemmer=True)["rouge1"].f == 1


def test_rouge_reaches_for_no_network_and_no_download(monkeypatch):
    def refused(*_):
        raise AssertionError("scoring opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    assert rouge("One. Two! Three?", ["One. Two! Three?"], stemmer=True)["rougeLsum"].f == 1


@given(st.lists(st.tuples(sentences, st.lists(sentences, min_size=2, max_size=2)), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_corpus_bleu_of_summed_parts_is_sacrebleus(rows):
    from sacrebleu.metrics import BLEU

    answers, references = [answer for answer, _ in rows], [both for _, both in rows]
    ours = bleu(np.sum([bleu_parts(answer, both) for answer, both in rows], axis=0))
    theirs = BLEU().corpus_score(answers, [[both[number] for both in references] for number in range(2)])
    assert ours == pytest.approx(theirs.score, abs=1e-9)


def test_bleu_of_many_corpora_at_once_is_that_of_each():
    parts = np.array(
        [bleu_parts(text, ["it is very cold outside today"]) for text in ("it is cold", "it is very cold")]
    )
    many = bleu(np.stack([parts.sum(axis=0), parts[1], np.zeros(BLEU_PARTS)]))
    assert many.tolist() == [float(bleu(parts.sum(axis=0))), float(bleu(parts[1])), 0.0]


def test_the_signature_knows_the_number_of_references_because_it_is_read_after_scoring():
    assert bleu_signature(["a b c d"], [["a b c d", "a b"]]).startswith("nrefs:2|")
    assert bleu_signature(["a b c d", "a"], [["a b c d", "a b"], ["a"]]).startswith("nrefs:var|")


@pytest.mark.parametrize(
    ("text", "normal"),
    [("The  Kettle!", "kettle"), ("an apple, a day", "apple day"), ("No. 48-213", "no 48213"), ("theory", "theory")],
)
def test_normalisation_is_squads(text, normal):
    assert normalise(text) == normal


def test_token_f1_clips_repetitions_and_compares_empty_with_empty():
    assert token_f1("cold cold cold", ["cold outside"]) == pytest.approx(2 / 5)
    assert token_f1("the", [""]) == 1 and token_f1("cold", ["the"]) == 0
    assert not math.isnan(token_f1("", [""]))
