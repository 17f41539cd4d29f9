"""The page of stage `ppo` tells whether the answers got better, and shows them, whatever they say."""

from pathlib import Path

import pytest

from plumbline.params import load_params
from plumbline.report.ppo import page, title

PARAMS = load_params(Path("params.yaml")).ppo


def measured(low, high, name="gold"):
    ends = {"value": 0.4, "low": 0.3, "high": 0.5}
    return {
        name: {"before": ends, "after": ends | {"value": 0.6}, "difference": {"value": 0.2, "low": low, "high": high}}
    }


def numbers(**changed):
    return {
        "prompts": {"train": 90, "test": 12}, "groups": 10, "cycles": 2, "answers": 64, "alarms": [],
        "parameters": {"trained": 1000, "all": 90000}, "measured": measured(0.1, 0.3) | measured(0.2, 0.4, "score"),
    } | changed  # fmt: skip


SAMPLE = {
    "id": "one", "group": "g", "prompt": "<script>alert(1)</script>",
    "before": {"text": "no <b>", "score": -1.0, "gold": 0.2, "ended": 0}, "after": {"text": "yes", "score": 1.0, "gold": 0.9, "ended": 1},
}  # fmt: skip
CURVES = [{"step": 1, "score": -0.5, "kl_k1": 0.0, "gold": 0.2}, {"step": 2, "score": 0.5, "kl_k1": 0.4}]


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.1, 0.3, "rose"), (-0.3, -0.1, "fell"), (-0.1, 0.3, "did not clearly change"), (None, None, "did not clearly change")],
)  # fmt: skip
def test_the_headline_says_what_the_interval_of_the_difference_allows(low, high, word):
    assert title(measured(low, high)) == f"The gold score of held-out answers {word}: from 0.400 to 0.600"
    assert title(measured(low, high, "score")).startswith(f"The score of held-out answers {word}")


def test_answers_are_shown_beside_each_other_and_escaped():
    text = page(numbers(), [SAMPLE], CURVES, PARAMS)
    assert "no &lt;b&gt;" in text and "<script>" not in text and "yes" in text and "· cut" in text
    assert "Alarms" not in text and text.count("<figure>") == 3 and text == page(numbers(), [SAMPLE], CURVES, PARAMS)


def test_an_alarm_stands_at_the_top():
    text = page(numbers(alarms=["kl", "reward hacking"]), [SAMPLE], CURVES, PARAMS)
    assert "kl, reward hacking" in text and "healthy/" in text
