"""Stage `prepare`: from files of people's rows to rows that a model can be trained on, and the proof that it may be.

reads    base   the tokenizer that lengths are counted with       world  the invented world's rows
         rows   the folder of the user's own row files
writes   out    train.jsonl, validation.jsonl, test.jsonl (examples), rankings_*.jsonl and thumbs_*.jsonl where there
                are such sources, rejects.jsonl, metrics.json, gates.json, gates.html
maths    plumbline/data/duplicates.py, plumbline/data/rankings.py, plumbline/data/splits.py
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from plumbline.data.fields import BadRow
from plumbline.data.files import Record, read_hub, read_records
from plumbline.data.formats import Draft, check_columns, draft
from plumbline.data.gates import as_json, failures, gate_tables, page, run_gates
from plumbline.data.merging import merged, rankings_of_thumbs
from plumbline.data.rankings import alpha
from plumbline.data.rendering import Rendered, render
from plumbline.data.selection import require_rows, split_rows, without_leaks, without_repeats
from plumbline.data.splits import SPLITS
from plumbline.errors import DataError, ParamsError
from plumbline.models.load import architecture, context_of, load_tokenizer
from plumbline.params import Prepare, Source
from plumbline.rows import Reject, write_rows
from plumbline.stage import run_stage
from plumbline.store import need, unfinished, write_json
from plumbline.tracking import track

PREFIXES = {"example": "", "ranking": "rankings_", "thumb": "thumbs_"}


def prepare(params: Prepare, *, base: Path, world: Path, rows: Path, out: Path) -> Path:
    """Read, check, render, split and gate the rows of every source; what cannot be used is named in the rejects."""
    folders = {"world": world, "data": rows}
    failed_page = out.with_name(f"{out.name}.gates.html")
    rejects: list[Reject] = []

    def reject(row: Draft | Record, reason: str) -> None:
        for record in row.records if isinstance(row, Draft) else [row]:
            rejects.append(Reject(file=record.file, line=record.line, reason=reason, text=record.text))

    with track("prepare", params) as run, unfinished(out) as folder:
        kind, tokenizer, context = architecture(base), load_tokenizer(base), context_of(base)
        if context and params.max_tokens > context:
            raise ParamsError(
                f"prepare.max_tokens ({params.max_tokens}) must be at most what the base reads ({context})"
            )
        read: Counter[str] = Counter()
        drafts: list[Draft] = []
        for number, source in enumerate(params.sources):
            records = [replace(record, source=number) for record in records_of(source, folders)]
            if not source.path.startswith("hub:"):
                run.input(f"source_{number}", located(source.path, folders))
            read[source.path] += len(records)
            drafts += drafts_of(records, source, reject)

        drafts = merged(drafts, params.ties == "keep", reject)
        rendered = without_repeats(render(drafts, tokenizer, kind, params, reject), reject)
        ready = without_leaks(split_rows(rendered, params), params, reject)
        ready += rankings_of_thumbs(ready)
        require_rows(ready, params)
        rejects.sort(key=lambda each: (each.file, each.line))
        rejected = Counter(each.file for each in rejects)

        checks = run_gates(gate_tables(ready, kind, read, rejected, params), params)
        if problems := failures(checks):
            failed_page.write_text(page(checks, rejects), encoding="utf-8")
            raise DataError("\n".join([*problems, f"the page of all results is {failed_page}"]))
        failed_page.unlink(missing_ok=True)

        write_splits(folder, ready)
        write_rows(folder / "rejects.jsonl", rejects)
        write_json(folder / "gates.json", as_json(checks))
        (folder / "gates.html").write_text(page(checks, rejects), encoding="utf-8")
        run.artifact(folder / "gates.html")
        run.artifact(folder / "rejects.jsonl")
        run.finish(folder, **counts(ready, read, rejects))
    return out


def located(path: str, folders: Mapping[str, Path]) -> Path:
    """Where a source's file is: its first part names one of the folders that the stage reads."""
    first, _, rest = path.partition("/")
    return folders[first] / rest


def records_of(source: Source, folders: Mapping[str, Path]) -> list[Record]:
    """The rows of a source as they stand in its file."""
    if source.path.startswith("hub:"):
        return read_hub(source.path, source.limit)
    if source.path.startswith("world/"):
        need(folders["world"], stage="world")
    return read_records(located(source.path, folders), source.path, source.limit)


def drafts_of(records: list[Record], source: Source, reject: Callable[[Record, str], None]) -> list[Draft]:
    """The rows of a source in our terms. DataError when none of them can be used: then the mapping is wrong."""
    check_columns(records, source)
    drafts, reasons = [], []
    for record in records:
        try:
            drafts.append(draft(record, source))
        except BadRow as error:
            reject(record, str(error))
            reasons.append(f"line {record.line}: {error}")
    if not drafts:
        unusable = f"none of its {len(records)} rows can be used as format {source.format}"
        raise DataError(f"{source.path}: {unusable}; {reasons[0]}")
    return drafts


def write_splits(folder: Path, rows: list[Rendered]) -> None:
    """A file for each split of each kind of row there is."""
    for kind in sorted({row.draft.kind for row in rows} | {"example"}):
        for split in SPLITS:
            chosen = (row.row() for row in rows if row.draft.kind == kind and row.split == split)
            write_rows(folder / f"{PREFIXES[kind]}{split}.jsonl", chosen)


def counts(rows: list[Rendered], read: Counter[str], rejects: list[Reject]) -> dict[str, Any]:
    """The numbers of the stage. Of each source, rows read are rows used and rows rejected."""
    places = {(record.file, record.line, record.source) for row in rows for record in row.draft.records}
    used = Counter(file for file, _, _ in places)
    rejected = Counter(each.file for each in rejects)
    sources = {path: {"read": count, "used": used[path], "rejected": rejected[path]} for path, count in read.items()}
    assert all(each["read"] == each["used"] + each["rejected"] for each in sources.values()), sources
    tasks: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        tasks[row.draft.task][row.split] += 1
    return {
        "rows": {"read": read.total(), "used": len(places), "rejected": len(rejects)},
        "sources": sources,
        "splits": {split: sum(row.split == split for row in rows) for split in SPLITS},
        "tasks": {task: {split: of_task[split] for split in SPLITS} for task, of_task in tasks.items()},
        "feedback": feedback(rows),
        "rejects": dict(Counter(each.reason.split(":")[0] for each in rejects)),
        "cut": sum(row.cut for row in rows),
        "tokens": {
            "prompt": statistics([row.prompt_tokens for row in rows]),
            "answer": statistics([row.answer_tokens for row in rows]),
        },
    }


def feedback(rows: list[Rendered]) -> dict[str, dict[str, float]]:
    """Of each format of preferences the rows read, the prompts and pairs that they give, verdicts, ties, agreement."""
    found: dict[str, dict[str, float]] = {}
    for format in sorted({row.draft.format for row in rows if row.draft.kind != "example"}):
        own = [row for row in rows if row.draft.format == format]
        opinions = [list(row.draft.opinions.values()) for row in own if row.draft.opinions is not None]
        verdicts = [verdict for people in opinions for each in people for verdict in each.values()]
        agreement = alpha(opinions)
        found[format] = {
            "rows": len({(record.file, record.line) for row in own for record in row.draft.records}),
            "prompts": len(opinions),
            "pairs": sum(len({frozenset(pair) for pair in row.votes()}) for row in own if row.draft.opinions),
            "verdicts": len(verdicts),
            "ties": sum(verdict == 0 for verdict in verdicts),
            **({} if agreement is None else {"agreement": round(agreement, 4)}),
        }
    return found


def statistics(numbers: list[int]) -> dict[str, float]:
    """Mean, 95th percentile (the least number that 95 % do not exceed) and maximum."""
    ordered = sorted(numbers)
    return {
        "mean": round(sum(ordered) / len(ordered), 2),
        "p95": ordered[-(-95 * len(ordered) // 100) - 1],
        "max": ordered[-1],
    }


if __name__ == "__main__":
    run_stage(prepare)
