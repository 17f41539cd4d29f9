"""Stage `reward`: learn to score answers from people's votes.

reads    start  the model whose layers read the answers: artifacts/instruct or artifacts/base
         data   rankings_train.jsonl, rankings_validation.jsonl, rankings_test.jsonl
         world  of the world's own replies gold.jsonl, the scores that they deserve, for measuring only
writes   out   model/ (the scorer with its scale), curves.csv, calibration.csv, scores.jsonl, metrics.json, report.html
maths    plumbline/algorithms/preference.py, plumbline/models/ranking.py, plumbline/metrics/pairs.py
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plumbline.checkpoints import resumable
from plumbline.curves import TrainingCurve
from plumbline.errors import ArtifactError, DataError
from plumbline.params import Reward
from plumbline.rows import Ranking, gold_of, read_rows, write_rows
from plumbline.stage import run_stage
from plumbline.store import need, unfinished
from plumbline.tracking import track

if TYPE_CHECKING:
    from plumbline.algorithms.preference import Votes
    from plumbline.metrics.pairs import Table

SPLITS = ("train", "validation", "test")
CURVES = ("step", "loss", "accuracy", "learning_rate", "validation_loss", "validation_accuracy")


def reward(params: Reward, *, start: Path, data: Path, world: Path, out: Path) -> Path:
    """Train a scorer that puts the better answer above the worse one, and measure it on held-out rankings."""
    need(data, stage="prepare")
    need(start, "base.json" if params.start == "base" else "model", stage=params.start)
    rankings = {split: rankings_of(data / f"rankings_{split}.jsonl") for split in SPLITS}
    test = rankings["test"]
    inputs = {"start": start if params.start == "base" else start / "model", "data": data}
    gold = None
    if all(row.source_file.startswith("world/") for row in test):
        inputs["world"] = need(world, "gold.jsonl", stage="world")
        gold = gold_of(world / "gold.jsonl", [row.id for row in test], "gold")

    import torch

    from plumbline.algorithms.preference import normalised
    from plumbline.metrics.pairs import measure
    from plumbline.models.precision import on_this_machine
    from plumbline.models.ranking import encoded, train_scorer, votes_and_ranks
    from plumbline.models.scorer import new_scorer, raw_scores, save_scorer
    from plumbline.models.tuning import step_count
    from plumbline.report.reward import page

    params = on_this_machine(params, "reward")
    with (
        resumable("reward", params, params.checkpoint_every, **inputs) as checkpoints,
        track("reward", params, checkpoints) as run,
        unfinished(out) as folder,
    ):
        for name, path in inputs.items():
            run.input(name, path)
        scorer = new_scorer(inputs["start"], params.lora, params.seed)
        curve = TrainingCurve(run, step_count(params, len(rankings["train"])), CURVES)
        train_scorer(scorer, rankings["train"], rankings["validation"], params, curve.report, checkpoints)
        save_scorer(
            scorer, inputs["start"], folder / "model", encoded(scorer, rankings["validation"]), params.micro_batch
        )

        answers = encoded(scorer, test)
        raw = raw_scores(scorer, answers, params.micro_batch)
        scaled = [normalised(torch.tensor(own, dtype=torch.float64), scorer.scale).tolist() for own in raw]
        lengths = [[float(len(ids) - 1) for ids in each.completions] for each in answers]
        votes, ranks = votes_and_ranks(test)
        numbers = {
            "prompts": {split: len(each) for split, each in rankings.items()},
            "votes": {
                split: round(sum(pair.votes for row in each for pair in row.pairs)) for split, each in rankings.items()
            },
            "groups": len({row.group for row in test}),
            "parameters": {
                "trained": sum(weight.numel() for weight in scorer.parameters() if weight.requires_grad),
                "all": sum(weight.numel() for weight in scorer.parameters()),
            },
            "scale": scorer.scale._asdict(),
            **measure(
                raw,
                votes,
                ranks,
                [row.group for row in test],
                lengths,
                gold,
                resamples=params.resamples,
                seed=params.seed,
            ),
            **curve.results(),
        }
        wrong = wrong_pairs(test, raw, votes, gold, params.shown_pairs)
        (folder / "report.html").write_text(page(numbers, wrong, curve.points(), params), encoding="utf-8")
        write_table(folder / "calibration.csv", numbers["calibration"])
        write_rows(folder / "scores.jsonl", score_rows(test, scaled, lengths, gold))
        curve.write(folder / "curves.csv")
        run.model(folder / "model")
        run.artifact(folder / "report.html")
        run.finish(folder, **numbers)
    return out


def rankings_of(path: Path) -> list[Ranking]:
    """The rankings of a split, of which at least one must put a completion above another."""
    if not path.exists():
        raise ArtifactError(
            f"{path}: no such file; give prepare.sources one of a format of preferences, such as ranked or "
            "chosen_rejected, and run `dvc repro prepare`"
        )
    rows = read_rows(path, Ranking)
    if not any(map(decided, rows)):
        what = "people are divided evenly on every pair" if rows else "no rows"
        raise DataError(f"{path}: {what}; raise its share of the splits in params.yaml, or add rankings")
    return rows


def decided(row: Ranking) -> bool:
    """Whether most people find one of its completions better than another."""
    votes = {(pair.better, pair.worse): pair.votes for pair in row.pairs}
    return any(number > votes.get((worse, better), 0) for (better, worse), number in votes.items())


def wrong_pairs(
    rows: Sequence[Ranking], scores: "Table", votes: "Votes", gold: "Table | None", count: int
) -> list[dict[str, Any]]:
    """The most confidently wrong pairs, to read: what was asked, both answers, and what people and scorer said."""
    from plumbline.metrics.pairs import most_wrong

    return [
        {
            "prompt": rows[each.prompt].prompt,
            "better": rows[each.prompt].completions[each.better],
            "worse": rows[each.prompt].completions[each.worse],
            "gold": [gold[each.prompt][place] for place in (each.better, each.worse)] if gold else None,
            **{name: getattr(each, name) for name in ("predicted", "agreeing", "people")},
        }
        for each in most_wrong(scores, votes, count)
    ]


def score_rows(
    rows: Sequence[Ranking], scores: "Table", lengths: "Table", gold: "Table | None"
) -> list[dict[str, Any]]:
    """One line per held-out completion: its score, its length in tokens, its rank, its votes, its gold score.

    Of its votes, those for it and those for the completions beside it.
    """
    return [
        {
            "id": row.id,
            "group": row.group,
            "completion": text,
            "score": scores[number][place],
            "length": int(lengths[number][place]),
            "rank": row.ranks[place],
            "votes_for": sum(pair.votes for pair in row.pairs if pair.better == place),
            "votes_against": sum(pair.votes for pair in row.pairs if pair.worse == place),
            "gold": gold[number][place] if gold else None,
        }
        for number, row in enumerate(rows)
        for place, text in enumerate(row.completions)
    ]


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of like keys as CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        lines.writeheader()
        lines.writerows(rows)


if __name__ == "__main__":
    run_stage(reward)
