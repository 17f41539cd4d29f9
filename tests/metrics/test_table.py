"""From per-row scores to a table with intervals and paired differences."""

import pytest

from plumbline.metrics.table import METRICS, contributions, differences, intervals, score_rows

REFERENCES = [["the kettle drips since monday"], ["a lamp was sent today"], ["the order is late again"]] * 4
GOOD = [texts[0] for texts in REFERENCES]
POOR = ["the kettle", "", "order order order"] * 4
GROUPS = [f"dialogue {number // 2}" for number in range(12)]
LOSSES = [(2.0, 4), (3.0, 3), (6.0, 6)] * 4
DRAWS = {"resamples": 200, "seed": 3}


@pytest.fixture(scope="module")
def parts():
    return {
        name: contributions(score_rows(answers, REFERENCES, LOSSES, stemmer=False), REFERENCES)
        for name, answers in (("good", GOOD), ("poor", POOR))
    }


def test_perfect_answers_score_full_marks_without_width(parts):
    table = intervals(parts["good"], GROUPS, **DRAWS)
    assert table["rougeL"] == table["exact_match"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert table["bleu"] == {"value": 100.0, "low": 100.0, "high": 100.0}


def test_loss_is_per_token_and_not_per_row(parts):
    assert intervals(parts["good"], GROUPS, **DRAWS)["loss"]["value"] == pytest.approx(11 / 13, abs=1e-6)


def test_a_model_against_itself_differs_by_exactly_nothing(parts):
    table = differences(parts["poor"], parts["poor"], GROUPS, **DRAWS)
    assert set(table) == set(METRICS)
    assert all(numbers == {"value": 0.0, "low": 0.0, "high": 0.0} for numbers in table.values())


def test_swapping_the_models_turns_the_difference_round(parts):
    one, other = (differences(parts[a], parts[b], GROUPS, **DRAWS) for a, b in (("good", "poor"), ("poor", "good")))
    for name in METRICS:
        assert one[name]["value"] == pytest.approx(-other[name]["value"])
        assert one[name]["low"] == pytest.approx(-other[name]["high"], abs=2e-6)
    assert one["rougeL"]["low"] > 0


def test_rows_whose_references_cannot_be_scored_are_left_out_and_not_counted_as_zero():
    references = [["refund"], ["a new kettle today"]]
    scores = score_rows(["refund", "a new kettle today"], references, [(1.0, 1), (0.0, 0)], stemmer=False)
    table = intervals(contributions(scores, references), ["one", "two"], **DRAWS)
    assert table["rouge2"] == {"value": 1.0, "low": None, "high": None}  # one row left: one group
    assert table["loss"]["value"] == 1.0  # the row without tokens has no loss


def test_a_task_of_labels_has_no_bleu():
    references = [["refund"], ["return"]]
    scores = score_rows(["refund", "it is not a refund at all"], references, [(1.0, 1), (1.0, 1)], stemmer=False)
    table = intervals(contributions(scores, references), ["one", "two"], **DRAWS)
    assert table["bleu"] == table["rouge2"] == {"value": None, "low": None, "high": None}
    assert table["exact_match"]["value"] == 0.5
