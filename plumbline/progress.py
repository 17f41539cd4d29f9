"""How far a stage is, for a person to follow: one line that rewrites itself, or a line now and then in a log."""

import sys
import time

INTERVAL = {True: 0.2, False: 5.0}  # seconds between two lines, on a terminal and elsewhere


class Progress:
    """The progress of one loop of `total` steps.

    >>> progress = Progress(300, "steps")
    >>> progress.show(120, loss=0.71234)        # 120/300 steps   40 %   loss 0.7123   0:12 left
    """

    def __init__(self, total: int, unit: str) -> None:
        self.total = total
        self.unit = unit
        self.started = time.monotonic()
        self._shown = self.started
        self._terminal = sys.stdout.isatty()

    def show(self, done: int, **figures: float) -> None:
        """Tell that `done` of the steps are done, with the figures of the moment. Cheap enough for every step."""
        now = time.monotonic()
        last = done >= self.total
        if not last and now - self._shown < INTERVAL[self._terminal]:
            return
        self._shown = now
        line = self.line(done, now - self.started, figures)
        if self._terminal:
            print(f"\r\x1b[K{line}", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)

    def line(self, done: int, seconds: float, figures: dict[str, float]) -> str:
        """`done` steps after `seconds` seconds, in words."""
        parts = [f"{done:,}/{self.total:,} {self.unit}", f"{100 * done // max(self.total, 1):3d} %"]
        parts += [f"{name.replace('_', ' ')} {number(value)}" for name, value in figures.items()]
        if done >= self.total:
            parts.append(f"in {clock(seconds)}")
        elif done:
            parts.append(f"{clock(seconds / done * (self.total - done))} left")
        return "   ".join(parts)


def number(value: float) -> str:
    """A figure in four digits, or with thousands set apart where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, or hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
