"""All doors at once; ten times in benchmarks/doors.py."""

from benchmarks.doors import is_good, rounds


def test_two_runs_with_other_knobs_and_dvc_repro_at_once_all_end_well():
    (outcome,) = rounds(1)
    assert is_good(outcome), outcome
