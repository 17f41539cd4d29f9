"""Equal and nearly equal texts: the laws of MinHash, and near-duplicates against a slow exact search."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbline.data.duplicates import HASHES, band_width, fingerprint, near_duplicates, normalise, shingles, signatures

WORDS = [f"word{number}" for number in range(3000)]


def runs(text):
    """Word 5-grams as Python sets of tuples."""
    words = normalise(text).split()
    return {tuple(words[start : start + 5]) for start in range(max(1, len(words) - 4))}


def exact(one, other):
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


def edited(text, edits, draw):
    words = text.split()
    for _ in range(edits):
        words[draw.randrange(len(words))] = draw.choice(WORDS)
    return " ".join(words)


@pytest.fixture(scope="module")
def texts():
    draw = random.Random("texts")
    sources = [" ".join(draw.choices(WORDS, k=draw.randint(40, 120))) for _ in range(300)]
    return sources, [edited(text, number % 12, draw) for number, text in enumerate(sources)]


def test_layout_case_and_punctuation_do_not_make_texts_differ_but_signs_and_decimals_do():
    assert normalise("  The KETTLE,\n(broken) is “new”! ") == "the kettle broken is new"
    assert fingerprint("Hello, there") == fingerprint("hello\tthere.")
    for one, other in [("5-3", "5+3"), ("-5", "5"), ("3.5", "35"), ("a b", "ab"), ("?", "!")]:
        assert fingerprint(one) != fingerprint(other), (one, other)
    assert fingerprint("a", "b") != fingerprint("a b")


@given(st.text(), st.text())
def test_normalising_does_nothing_twice_and_equal_texts_have_equal_shingles(one, other):
    assert normalise(normalise(one)) == normalise(one)
    if normalise(one) == normalise(other):
        assert fingerprint(one) == fingerprint(other)


@given(st.text(alphabet="ab c", min_size=1).filter(str.strip), st.text(alphabet="ab c", min_size=1).filter(str.strip))
def test_the_number_of_shingles_and_of_those_shared_are_those_of_sets_of_words(one, other):
    assert len(shingles(one)) == len(runs(one))
    assert np.intersect1d(shingles(one), shingles(other)).size == len(runs(one) & runs(other))


def test_signatures_agree_in_about_the_jaccard_share_of_places(texts):
    one, other = (signatures([shingles(text) for text in side], seed=1) for side in texts)
    estimated = (one == other).mean(axis=1)
    jaccard = np.array([exact(*pair) for pair in zip(*texts, strict=True)])
    assert np.abs(estimated - jaccard).max() < 5 * np.sqrt(0.25 / HASHES)
    assert abs((estimated - jaccard).mean()) < 0.01


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.85, 1.0])
def test_near_duplicates_are_those_of_an_exact_search(texts, threshold):
    held_out, train = texts
    found = near_duplicates(train, held_out, threshold, seed=3)
    expected = {place for place, pair in enumerate(zip(train, held_out, strict=True)) if exact(*pair) >= threshold}
    assert set(found) == expected
    assert all(other == place for place, (other, _) in found.items())
    assert all(
        similarity == pytest.approx(exact(train[place], held_out[place])) for place, (_, similarity) in found.items()
    )


def test_the_banding_misses_at_most_one_pair_in_a_thousand_at_the_threshold():
    for threshold in np.linspace(0.3, 1.0, 50):
        width = band_width(threshold)
        assert width == 1 or (1 - threshold**width) ** (HASHES // width) <= 1e-3


def test_nothing_is_near_nothing():
    assert near_duplicates([], ["a text"], 0.5, seed=1) == {}
    assert near_duplicates(["a text"], [], 0.5, seed=1) == {}


def test_a_text_shorter_than_a_shingle_is_near_its_equal_alone():
    assert near_duplicates(["My parcel is late!"], ["my parcel is late", "my parcel is here"], 0.85, seed=1) == {
        0: (0, 1.0)
    }
