"""Does a policy that learns from a scorer get better, or only please it? Over-optimisation, as Gao et al. (2023) measure it.

    python -m benchmarks.overoptimisation                # 3 scorers with 4 policies each, about 25 minutes on one core
    python -m benchmarks.overoptimisation --healthy 10   # the default run with ten other seeds: does any alarm ring?

Trains a scorer on each number of rankings, and by each of them a policy at each KL coefficient, through the stages `reward`
and `ppo` themselves. Fewer rankings are passed over more often: by the root of how many times fewer they are. All else is
as in params.yaml. Reads the folders of `world`, `prepare`, `instruct` and `reward`, so run the pipeline first; writes
nothing there, nor into the project's MLflow.

Leaves benchmarks/results/overoptimisation__<machine>__<date>__<commit>.json and docs/overoptimisation/overoptimisation.svg,
or benchmarks/results/healthy__... Ends with 1 where no alarm rang without a price of drift and on the fewest rankings, or
where one rang in a healthy run.
"""

import argparse
import csv
import math
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from benchmarks.record import RESULTS, record
from plumbline.algorithms.alarms import smoothed
from plumbline.params import Params, Ppo, load_params
from plumbline.report.charts import Line, lines
from plumbline.rows import Ranking, read_rows, write_rows
from plumbline.store import read_json
from tasks.ppo import ppo
from tasks.reward import reward

SIZES = (60, 240, 0)  # rankings to train a scorer on; 0 for all
COEFFICIENTS = (0.0, 0.05, 0.2, 0.8)  # score per nat
CYCLES = 24
ARTIFACTS = Path("artifacts")
DATA, WORLD, POLICY, REWARD = (ARTIFACTS / stage for stage in ("prepare", "world", "instruct", "reward"))
KEPT = ("score", "gold", "kl_k1", "kl_error", "length", "ended", "entropy", "repetition", "distinct")  # of every cycle
STYLE = Path("plumbline/report/style.css")
WIDTH, HEIGHT, GAP, TOP = 520, 240, 20, 40  # pixels: of a chart, between charts, for the names above


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--healthy", type=int, default=0, help="so many runs of the default, in place of the matrix")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rankings to learn from; 0 for all")
    parser.add_argument("--coefficients", type=float, nargs="+", default=COEFFICIENTS, help="score per nat")
    parser.add_argument("--cycles", type=int, default=CYCLES, help="of the matrix")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path, default=Path("docs/overoptimisation/overoptimisation.svg"))
    chosen = parser.parse_args()
    params = load_params(Path("params.yaml"))
    with TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ |= {"MLFLOW_TRACKING_URI": f"sqlite:///{root}/mlflow.db", "PLUMBLINE_CHECKPOINTS": f"{root}/kept"}
        if chosen.healthy:
            for runs in healthy(params.ppo, chosen.healthy, root):
                file = record(chosen.results, "healthy", {"runs": runs})
            print(file)
            return int(any(run["alarms"] for run in runs))
        chosen.plot.parent.mkdir(parents=True, exist_ok=True)
        for result in matrix(params, chosen.sizes, chosen.coefficients, chosen.cycles, root):  # each has one run more
            file = record(chosen.results, "overoptimisation", result)
            chosen.plot.write_text(plot(result["runs"]), encoding="utf-8")
    print(file)
    loose = min(result["runs"], key=lambda run: (run["coefficient"], run["rankings"]))
    return int(not loose["alarms"])


def matrix(
    params: Params, sizes: Sequence[int], coefficients: Sequence[float], cycles: int, root: Path
) -> Iterator[dict[str, Any]]:
    """A scorer of each size, and by each a policy at each coefficient; all that was measured, after every policy."""
    rows = read_rows(DATA / "rankings_train.jsonl", Ranking)
    random.Random(params.reward.seed).shuffle(rows)
    result: dict[str, Any] = {"cycles": cycles, "scorers": [], "runs": []}
    for size in sizes:
        few = rows[: size or len(rows)]
        passes = params.reward.epochs * math.sqrt(len(rows) / len(few))
        out = reward(
            params.reward.model_copy(update={"epochs": passes, "checkpoint_every": 0}),
            start=ARTIFACTS / params.reward.start,
            data=cut(few, root / f"prepare-{len(few)}"),
            world=WORLD,
            out=root / f"reward-{len(few)}",
        )
        found = read_json(out / "metrics.json")
        about = {"rankings": len(few), "passes": passes, "accuracy": found["accuracy"]["scorer"]}
        result["scorers"].append(about | {"correlation": found["correlation"]})
        for coefficient in coefficients:
            price = params.ppo.kl.model_copy(update={"coefficient": coefficient, "control": "fixed"})
            knobs = params.ppo.model_copy(update={"kl": price, "cycles": cycles})
            run = learned(knobs, out, root / f"ppo-{len(few)}-{coefficient}")
            result["runs"].append({"rankings": len(few), "coefficient": coefficient, **run})
            print(told(f"{len(few)} rankings, {coefficient:g} a nat", run), flush=True)
            yield result


def healthy(params: Ppo, runs: int, root: Path) -> Iterator[list[dict[str, Any]]]:
    """The default run again and again, each with another seed; all that was measured, after every run."""
    found: list[dict[str, Any]] = []
    for seed in range(params.seed + 1, params.seed + 1 + runs):
        run = learned(params.model_copy(update={"seed": seed}), REWARD, root / f"ppo-{seed}")
        found.append({"seed": seed, **run})
        print(told(f"seed {seed}", run), flush=True)
        yield found


def cut(rows: Sequence[Ranking], folder: Path) -> Path:
    """A folder like that of `prepare`, with these rankings to train on and its own to validate and test."""
    folder.mkdir()
    write_rows(folder / "rankings_train.jsonl", rows)
    for split in ("validation", "test"):
        (folder / f"rankings_{split}.jsonl").symlink_to((DATA / f"rankings_{split}.jsonl").resolve())
    return folder


def learned(params: Ppo, scorer: Path, out: Path) -> dict[str, Any]:
    """What stage `ppo` measures of a policy that learns from a scorer, with the numbers of every cycle."""
    started = time.monotonic()
    knobs = params.model_copy(update={"checkpoint_every": 0})
    ppo(knobs, policy=POLICY, reward=scorer, data=DATA, world=WORLD, out=out)
    numbers = read_json(out / "metrics.json")
    with (out / "curves.csv").open(encoding="utf-8", newline="") as file:
        cycles = [{name: float(row[name]) for name in KEPT if row[name]} for row in csv.DictReader(file)]
    return {
        "seconds": round(time.monotonic() - started, 1),
        "alarms": numbers["alarms"],
        "measured": numbers["measured"],
        "cycles": cycles,
    }


def told(name: str, run: Mapping[str, Any]) -> str:
    """A run in one line."""
    score, gold, drift = (run["measured"][each] for each in ("score", "gold", "kl_k1"))
    moved = ", ".join(
        f"{what} {each['before']['value']:.3f} to {each['after']['value']:.3f}"
        for what, each in (("score", score), ("gold", gold))
    )
    return f"{name}: {moved}, {drift['after']['value']:.1f} nats, alarms: {', '.join(run['alarms']) or 'none'}"


def plot(runs: Sequence[Mapping[str, Any]]) -> str:
    """Score above, gold score below, against the root of the divergence: a column a scorer, a colour a coefficient."""
    sizes = sorted({run["rankings"] for run in runs})
    coefficients = sorted({run["coefficient"] for run in runs})
    styles = {coefficient: f"series-{place % 5}" for place, coefficient in enumerate(coefficients)}
    parts = [
        f'<g class="curve {style}"><circle cx="{70 + 150 * place}" cy="10" r="5"/></g>'
        f'<text class="label" x="{80 + 150 * place}" y="14">{coefficient:g} a nat</text>'
        for place, (coefficient, style) in enumerate(styles.items())
    ]
    for row, (number, name) in enumerate({"score": "Score", "gold": "Gold score"}.items()):
        frame = Line("frame", "", corners([path(run, number) for run in runs]))
        for column, size in enumerate(sizes):
            curves = [
                Line(styles[run["coefficient"]], f"{run['coefficient']:g} a nat", path(run, number))
                for run in runs
                if run["rankings"] == size
            ]
            title = f"{name}, {'scorer' if number == 'score' else 'policy of the scorer'} of {size:,} rankings"
            chart = lines([frame, *curves], title, "root of the nats from the reference", HEIGHT)
            x, y = column * (WIDTH + GAP), TOP + row * (HEIGHT + TOP)
            parts += [f'<text class="label" x="{x + 58}" y="{y - 6}">{escape(title)}</text>', placed(chart, x, y)]
    width, height = len(sizes) * (WIDTH + GAP) - GAP, 2 * (TOP + HEIGHT)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
        f"<style><![CDATA[{STYLE.read_text(encoding='utf-8')}.frame {{ display: none; }}\n"
        f"svg svg {{ width: {WIDTH}px; height: {HEIGHT}px; }}]]></style>"
        f'<rect width="{width}" height="{height}" style="fill: var(--card)"/>{"".join(parts)}</svg>\n'
    )


def path(run: Mapping[str, Any], number: str) -> list[tuple[float, float]]:
    """A number of every cycle against the root of the divergence, both means over the last five cycles."""
    nats, values = (smoothed(np.array([cycle[name] for cycle in run["cycles"]]), 5) for name in ("kl_k1", number))
    return [(math.sqrt(max(x, 0.0)), y) for x, y in zip(nats.tolist(), values.tolist(), strict=True)]


def corners(paths: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Two points that give every chart of a row the same axes."""
    points = np.array([point for path in paths for point in path])
    return [tuple(points.min(0).tolist()), tuple(points.max(0).tolist())]


def placed(chart: Markup, x: int, y: int) -> str:
    """A chart as a part of a picture."""
    return str(chart).replace("<svg ", f'<svg x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" ', 1)


if __name__ == "__main__":
    sys.exit(main())
