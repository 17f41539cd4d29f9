"""Equal and nearly equal texts.

Near-duplicates are found by MinHash with banding (Broder 1997; Leskovec et al., Mining of Massive Datasets, ch. 3),
which proposes pairs, and decided by the exact Jaccard similarity of the two texts' sets of word 5-grams.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

WORDS = 5  # per shingle
HASHES = 128  # per signature
MISSED = 1e-3  # at most this share of the pairs that are just similar enough may escape the banding

PUNCTUATION = ".,;:!?'\"()[]‘’“”…"

Shingles = NDArray[np.uint64]


def normalise(text: str) -> str:
    """The words of a text in lower case with one space between them: case, layout and punctuation do not count.

    Only marks at a word's ends are punctuation: `3.5`, `-3` and `3+5` stay what they are, and so does a text of
    nothing but marks.
    """
    words = (word.strip(PUNCTUATION) for word in text.casefold().split())
    return " ".join(word for word in words if word) or text


def fingerprint(*texts: str) -> str:
    """Sixteen hexadecimal digits that are the same for texts that are the same when normalised."""
    return hashlib.sha256("\0".join(map(normalise, texts)).encode()).hexdigest()[:16]


def shingles(text: str) -> Shingles:
    """Sorted distinct 64-bit hashes of a text's runs of five normalised words; of all its words, if it has fewer."""
    words = normalise(text).split()
    hashes = np.array([word_hash(word) for word in words], dtype=np.uint64)
    width = min(WORDS, len(words))
    count = len(words) - width + 1
    total = np.zeros(count, dtype=np.uint64)
    for place in range(width):  # a polynomial in an odd number, modulo 2**64, so that the order of words counts
        total = total * np.uint64(0x9E3779B97F4A7C15) + hashes[place : place + count]
    return np.unique(total)


@lru_cache(maxsize=2**17)
def word_hash(word: str) -> int:
    """64 bits of a word that are the same on every machine."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def jaccard(one: Shingles, other: Shingles) -> float:
    """Shared over all shingles, 0 to 1."""
    shared = np.intersect1d(one, other, assume_unique=True).size
    return float(shared / (one.size + other.size - shared))


def signatures(sets: Sequence[Shingles], seed: int) -> NDArray[np.uint64]:
    """MinHash signatures, one row of `HASHES` numbers per set; two agree in a share of places close to the Jaccard."""
    random = np.random.Generator(np.random.PCG64(seed))
    factors = random.integers(0, 2**63, HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = random.integers(0, 2**63, HASHES, dtype=np.uint64)
    found = np.empty((len(sets), HASHES), dtype=np.uint64)
    for row, each in enumerate(sets):
        # The high half of a product with an odd number is a good hash; the low bits are not.
        found[row] = ((each[:, None] * factors + offsets) >> np.uint64(32)).min(axis=0)
    return found


def band_width(threshold: float) -> int:
    """How many places of a signature must agree for two texts to be compared.

    As many as possible, for few useless comparisons, while of the pairs at the threshold no more than `MISSED`
    escape: a pair of similarity s escapes b bands of width w with probability (1 - s**w)**b.
    """
    widths = (width for width in (8, 4, 2) if (1 - threshold**width) ** (HASHES // width) <= MISSED)
    return next(widths, 1)


def near_duplicates(
    texts: Sequence[str], against: Sequence[str], threshold: float, seed: int
) -> dict[int, tuple[int, float]]:
    """For each of `texts` that is near one of `against`: the place of the nearest one there and their similarity.

    Near means a Jaccard similarity of at least `threshold`. Equal input gives equal output on every machine.
    """
    sets, others = [shingles(text) for text in texts], [shingles(text) for text in against]
    width = band_width(threshold)
    marks, other_marks = signatures(sets, seed), signatures(others, seed)
    found: dict[int, tuple[int, float]] = {}
    candidates: defaultdict[int, set[int]] = defaultdict(set)
    for start in range(0, HASHES, width):
        buckets: defaultdict[bytes, list[int]] = defaultdict(list)
        for place, mark in enumerate(other_marks[:, start : start + width]):
            buckets[mark.tobytes()].append(place)
        for place, mark in enumerate(marks[:, start : start + width]):
            candidates[place].update(buckets.get(mark.tobytes(), ()))
    for place in range(len(sets)):
        similar = [(jaccard(sets[place], others[other]), -other) for other in candidates[place]]
        best, other = max(similar, default=(0.0, 0))
        if best >= threshold:
            found[place] = (-other, best)
    return found
