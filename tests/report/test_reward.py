import re
from pathlib import Path

import pytest
import torch

from plumbline.metrics.pairs import measure
from plumbline.params import load_params
from plumbline.report.reward import page, people, title, verdict

PARAMS = load_params(Path("params.yaml")).reward
CURVES = [
    {"step": 0, "validation_loss": 0.7, "validation_accuracy": 0.5},
    {
        "step": 1,
        "loss": 0.6,
        "accuracy": 0.6,
        "learning_rate": 1e-3,
        "validation_loss": 0.5,
        "validation_accuracy": 0.7,
    },
]
WRONG = [
    {"prompt": "<|user|>\nWhere is it?", "better": "Here <b>& now</b>.", "worse": "No.", "gold": [1.0, 0.25],
     "predicted": 0.987, "agreeing": 2.0, "people": 3.0},
]  # fmt: skip


def numbers(prompts=30, gold=True, right=True):
    """Two of three people order the three answers as the scorer does, the third turns the first two around."""
    scores = [[1.0, 0.0, -1.0] if right else [-1.0, 0.0, 1.0]] * prompts
    votes = torch.tensor([[[0.0, 2, 3], [1, 0, 3], [0, 0, 0]]] * prompts)
    ranks = torch.tensor([[1, 2, 3]] * prompts)
    lengths = [[5.0, 9.0, 7.0]] * prompts
    groups = [str(number) for number in range(prompts)]
    return {
        "prompts": {"train": 100, "validation": 10, "test": prompts},
        "votes": {"train": 900, "validation": 90, "test": 9 * prompts},
        "groups": prompts,
        "parameters": {"trained": 10, "all": 1000},
        "scale": {"mean": 0.5, "deviation": 2.0},
        **measure(scores, votes, ranks, groups, lengths, scores if gold else None, resamples=100, seed=1),
    }


def test_the_title_and_the_verdict_say_what_the_numbers_say():
    assert title(numbers()) == "The scorer agrees with 88.9\xa0% of people's votes on held-out pairs"
    assert "clearly more than chance or length explain" in verdict(numbers())
    assert "not clearly more" in verdict(numbers(right=False))
    assert "too few" in verdict(numbers(prompts=1))


def test_people_are_counted_as_they_are():
    assert people(2.0, 3.0) == "2 of 3 people"
    assert people(2.5, 3.0) == "2.5 of 3 people (a tie is half a vote)"
    assert people(1.0, 1.0) == "The one person asked"


def test_every_number_that_matters_is_on_the_page():
    text = page(numbers(), WRONG, CURVES, PARAMS)
    for expected in ("longer wins", "shorter wins", "random", "gold score", "88.9\xa0%", "100.0\xa0%",
                     "the length in tokens", "98.7\xa0% sure", "2 of 3 people preferred the first", "gold 0.25",
                     "900 votes", "validation_accuracy"):  # fmt: skip
        assert expected in text
    assert text.count("<svg") == 6


def test_text_of_people_is_escaped_and_nothing_is_loaded():
    text = page(numbers(), WRONG, CURVES, PARAMS)
    assert "Here &lt;b&gt;&amp; now&lt;/b&gt;." in text and "<b>& now" not in text and "&lt;|user|&gt;" in text
    assert not re.search(r"<(script|link|img|iframe)|https?://|url\(", text)


@pytest.mark.parametrize("prompts", [1, 30])
def test_a_page_without_gold_scores_wrong_pairs_or_intervals_is_whole_too(prompts):
    text = page(numbers(prompts, gold=False), [], CURVES, PARAMS)
    assert "There is none" in text and "gold" not in text.split("How it was measured")[0]


def test_equal_results_give_equal_bytes_whatever_the_clock_said():
    timed = [each | {"tokens_per_second": float(number)} for number, each in enumerate(CURVES)]
    assert page(numbers(), WRONG, CURVES, PARAMS) == page(numbers(), WRONG, timed, PARAMS)
