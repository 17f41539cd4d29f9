"""What a person sees of a run."""

import re
import sys
import threading
import time
from dataclasses import dataclass, field

from plumbline.progress import clock

PROGRESS = re.compile(r"[\d,]+/[\d,]+ ")  # how a line of plumbline.progress begins


@dataclass
class Terminal:
    """Shows the stages as they start, print and end, from several threads, and remembers how each one ended."""

    width: int
    outcomes: dict[str, tuple[str, float]] = field(default_factory=dict)  # stage -> what became of it, seconds
    started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _rewriting: bool = False

    def line(self, stage: str, text: str) -> None:
        """One line that a stage printed. On a terminal, lines of progress take each other's place."""
        self._print(f"{stage:<{self.width}} │ {text}", passing=bool(PROGRESS.match(text)) and sys.stdout.isatty())

    def ended(self, stage: str, outcome: str, seconds: float = 0.0) -> None:
        """`outcome` is ran, cached, failed or stopped."""
        self.outcomes[stage] = (outcome, seconds)
        mark = {"ran": "✓", "cached": "=", "failed": "✗", "stopped": "✗"}[outcome]
        self._print(f"{stage:<{self.width}} {mark} {outcome}" + (f" in {clock(seconds)}" if seconds else ""))

    def table(self, stages: list[str]) -> None:
        """What became of every stage; those that never got their turn are `not run`."""
        self._print("")
        for stage in stages:
            outcome, seconds = self.outcomes.get(stage, ("not run", 0.0))
            self._print(f"  {stage:<{self.width}}  {outcome:<7}  {clock(seconds) if seconds else '':>7}")
        self._print(f"  {'in all':<{self.width}}  {'':<7}  {clock(time.monotonic() - self.started):>7}")

    def _print(self, text: str, passing: bool = False) -> None:
        with self._lock:
            before = "\r\x1b[K" if self._rewriting else ""
            print(before + text, end="" if passing else "\n", flush=True)
            self._rewriting = passing
