"""The short form of benchmarks/kills.py: real stages, killed at random moments, end as if nothing had happened."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
CASES = ("ppo causal", "reward seq2seq", "adapt lora")


def test_stages_that_are_killed_ten_times_end_in_the_same_bytes_with_every_point_once(tmp_path):
    command = [sys.executable, "-m", "benchmarks.kills", "--kills", "10", "--no-controls", "--results", str(tmp_path)]
    command += ["--only", ",".join(CASES)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLUMBLINE_")}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.iterdir()
    found = json.loads(file.read_text())
    summary = found["summary"]
    assert set(found["undisturbed"]) == set(CASES) and found["runs"][0]["case"] == "ppo causal"
    assert summary["kills"] >= 10 and summary["runs"] == summary["runs_equal"] >= 3
    assert summary["kills_with_a_half_written_checkpoint"] and summary["kills_of_a_life_that_went_on"]
