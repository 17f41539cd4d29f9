"""What a tuning stage reports while it trains: to MLflow, to the terminal, and as the curves.csv of its folder."""

import csv
from collections.abc import Sequence
from pathlib import Path

from plumbline.progress import Progress
from plumbline.tracking import Run

COLUMNS = ("step", "loss", "learning_rate", "validation_loss")


class TrainingCurve:
    """The points of one training of `steps` steps. Its `report` is what a training loop calls.

    The file has these `columns`, the terminal the values that are `shown`, or all.
    """

    def __init__(
        self, run: Run, steps: int, columns: Sequence[str] = COLUMNS, unit: str = "steps", shown: Sequence[str] = ()
    ) -> None:
        self._run, self._columns, self._shown = run, columns, shown
        self._bar = Progress(steps, unit)
        self._points: dict[int, dict[str, float]] = {}

    def report(self, step: int, values: dict[str, float]) -> None:
        """Tell of the values after `step` steps; several reports of one step make one row."""
        self._points.setdefault(step, {}).update(values)
        self._run.step(step, **values)
        self._bar.show(step, **{name: value for name, value in values.items() if name in (self._shown or values)})

    def points(self) -> list[dict[str, float]]:
        """The values of every step that has some, in order."""
        return [{"step": step, **values} for step, values in sorted(self._points.items())]

    def write(self, file: Path) -> None:
        """Write the points as CSV, a step without a value for a column leaving it empty."""
        with file.open("w", newline="") as lines:
            writer = csv.DictWriter(lines, self._columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.points())

    def results(self) -> dict[str, float]:
        """The number of steps, and the validation loss before the first and after the last, in nats."""
        validations = [values["validation_loss"] for values in self._points.values() if "validation_loss" in values]
        return {
            "steps": max(self._points),
            "validation_loss_before": validations[0],
            "validation_loss": validations[-1],
        }
