"""Whether a model is better: laws of the comparison on held-out rows."""

import json

import pytest

from plumbline.errors import ArtifactError
from plumbline.promotion import Evaluation, Scored, compare, difference, read_evaluation
from plumbline.rows import write_rows
from plumbline.store import write_json

SETTINGS = {"decoding": "greedy", "max_new_tokens": 8, "stemmer": False}
DRAWS = {"resamples": 500, "seed": 1}


def evaluation(scores: dict[str, list[float | None]], settings=SETTINGS, rows="abc") -> Evaluation:
    """A model with these scores on rows of tasks, two rows to a group."""
    scored = tuple(
        Scored(task, f"{task}-{number:03}", f"{task}-{number // 2}", score)
        for task, values in sorted(scores.items())
        for number, score in enumerate(values)
    )
    return Evaluation(rows, settings, dict.fromkeys(sorted(scores), "rougeL"), scored)


ALTERNATING = [0.2, 0.6] * 20


def better(scores, by):
    return [score + by for score in scores]


def test_a_model_is_not_better_than_itself():
    own = evaluation({"summarise": ALTERNATING})
    assert not compare(own, own, **DRAWS).better


def test_a_clearly_better_model_wins_and_the_same_pair_the_other_way_round_is_worse():
    high, low = evaluation({"summarise": better(ALTERNATING, 0.2)}), evaluation({"summarise": ALTERNATING})
    assert compare(high, low, **DRAWS).better
    verdict = compare(low, high, **DRAWS)
    assert not verdict.better and verdict.reason.startswith("worse than the champion: −0.200 a row")


def test_a_difference_whose_interval_holds_zero_decides_nothing():
    mixed = evaluation({"summarise": [0.9, 0.0] * 2 + [0.2, 0.6] * 18})
    verdict = compare(mixed, evaluation({"summarise": ALTERNATING}), **DRAWS)
    assert not verdict.better and verdict.reason.startswith("not clearly better")


def test_what_is_won_over_all_does_not_pay_for_a_task_that_is_lost():
    before = {"intent": [0.5] * 10, "summarise": ALTERNATING}
    after = {"intent": [0.3] * 10, "summarise": better(ALTERNATING, 0.2)}
    verdict = compare(evaluation(after), evaluation(before), **DRAWS)
    assert not verdict.better and "worse on intent" in verdict.reason


def test_the_rows_of_one_source_are_too_few_to_tell():
    one, other = evaluation({"summarise": [0.1, 0.2]}), evaluation({"summarise": [0.8, 0.9]})
    assert "too few" in compare(other, one, **DRAWS).reason


def test_what_makes_a_row_hard_for_both_cancels():
    """Paired: a constant gain has an interval without width, however much the rows differ."""
    gain = difference(evaluation({"t": better(ALTERNATING, 0.1)}), evaluation({"t": ALTERNATING}), None, **DRAWS)
    assert gain.low == pytest.approx(0.1) and gain.high == pytest.approx(0.1)


def test_a_row_that_cannot_be_scored_counts_for_neither():
    some = evaluation({"t": [None, *better(ALTERNATING, 0.1)]}), evaluation({"t": [None, *ALTERNATING]})
    assert difference(*some, None, **DRAWS).value == pytest.approx(0.1)


@pytest.mark.parametrize("other", [{"rows": "abd"}, {"settings": {**SETTINGS, "max_new_tokens": 9}}])
def test_evaluations_of_other_rows_or_settings_have_another_key_and_are_not_subtracted(other):
    one, two = evaluation({"t": ALTERNATING}), evaluation({"t": ALTERNATING}, **other)
    assert one.key != two.key
    with pytest.raises(ValueError, match="other rows"):
        difference(one, two, None, **DRAWS)


def test_an_evaluation_is_the_same_after_a_journey_as_json():
    own = evaluation({"t": [None, *ALTERNATING]})
    assert Evaluation.from_json(json.loads(json.dumps(own.as_json()))) == own


@pytest.fixture
def folder(tmp_path):
    """What evaluate leaves: an adapter is compared on its own task, not on those that show what it forgot."""
    lines = [
        {"id": f"{task}-{number}", "task": task, "group": "g", "prompt": "?", "references": ["a"], "model": model,
         "exact_match": 1.0, "rougeL": 0.5}
        for model in ("instruct", "terse") for task in ("intent", "summarise") for number in range(3)
    ]  # fmt: skip
    write_rows(tmp_path / "answers.jsonl", lines)
    metrics = {"intent": {"metric": "exact_match"}, "summarise": {"metric": "rougeL"}}
    numbers = {
        "scores": {"intent": {"instruct": {}}, "summarise": {"instruct": {}, "terse": {}}},
        "forgetting": {"instruct": metrics, "terse": metrics},
        "settings": {**SETTINGS, "seed": 3},
    }
    write_json(tmp_path / "metrics.json", numbers)
    return tmp_path


def test_a_model_is_judged_on_its_own_tasks_by_the_first_metric_of_each(folder):
    terse, instruct = (read_evaluation(folder, name) for name in ("terse", "instruct"))
    assert [(each.id, each.score) for each in terse.scored] == [(f"summarise-{n}", 0.5) for n in range(3)]
    assert {(each.task, each.score) for each in instruct.scored} == {("intent", 1.0), ("summarise", 0.5)}
    with pytest.raises(ArtifactError, match="no scores of lengthy"):
        read_evaluation(folder, "lengthy")


def test_any_change_of_what_was_asked_or_accepted_makes_them_other_rows_but_their_order_does_not(folder):
    before = read_evaluation(folder, "terse").key
    lines = (folder / "answers.jsonl").read_text().splitlines()
    (folder / "answers.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    assert read_evaluation(folder, "terse").key == before
    for field, value in {"prompt": "!", "references": ["a", "b"], "group": "h", "id": "summarise-9"}.items():
        rows = [json.loads(line) for line in lines]
        rows[-1][field] = value
        write_rows(folder / "answers.jsonl", rows)
        assert read_evaluation(folder, "terse").key != before, field
