"""The gates: what must hold of the rows before anything is trained on them, checked by Great Expectations.

One suite per kind of row, and one for the sources. The page of results is rendered here, because Great
Expectations' own pages load scripts from other hosts.
"""

import html
import logging
import os
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from plumbline.data.duplicates import fingerprint, near_duplicates
from plumbline.data.rankings import dense_ranks
from plumbline.data.rendering import Rendered
from plumbline.data.selection import KINDS, LATER, content_of
from plumbline.data.splits import SPLITS
from plumbline.params import Architecture, Prepare
from plumbline.rows import Reject

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

NAMED = 5  # failing rows in a message; the page has them all
CELL = 200  # characters of a value on the page
Table = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Check:
    """What one expectation found: the failing rows by file and line, each with the value that fails."""

    suite: str
    expectation: str
    columns: str
    meaning: str
    rows: int
    failing: list[tuple[str, str]]

    @property
    def passed(self) -> bool:
        return not self.failing


def gate_tables(
    rows: Sequence[Rendered],
    architecture: Architecture,
    read: Mapping[str, int],
    rejected: Mapping[str, int],
    params: Prepare,
) -> dict[str, list[dict[str, Any]]]:
    """What the gates look at: a table for each kind of row, and one of the sources, of which counts are given."""
    tables: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for row in rows:
        draft = row.draft
        columns = {
            **row.row().model_dump(),
            "split": row.split,
            "text": draft.source_text,
            "fingerprint": fingerprint(draft.source_text),
            "content": content_of(draft),
            "prompt_tokens": row.prompt_tokens,
            "answer_tokens": row.answer_tokens,
            "tokens": row.length(architecture),
            "references": len(draft.answers),
        }
        if draft.opinions is not None:
            columns |= ranking_columns(draft.answers, draft.ranks)
        tables[draft.kind].append(columns)
    sources = [{"source_file": path, "source_line": 0, "rejected": rejected.get(path, 0) / read[path]} for path in read]
    return {**{kind: measured(table, params) for kind, table in tables.items()}, "source": sources}


def measured(rows: Table, params: Prepare) -> list[dict[str, Any]]:
    """The rows of one kind with what concerns several of them: where group and text stand, and the nearest leak.

    Rows have `split`, `group`, `fingerprint` and `text`. Leaks are searched anew, by other hashes than those that
    removed them, so that a pair which escaped once is found here.
    """
    splits: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        splits["group", row["group"]].add(row["split"])
        splits["text", row["fingerprint"]].add(row["split"])
    leaks = dict.fromkeys(range(len(rows)), 0.0)
    for split, later in LATER.items():
        places = [place for place, row in enumerate(rows) if row["split"] == split]
        texts = [rows[place]["text"] for place in places]
        against = [row["text"] for row in rows if row["split"] in later]
        found = near_duplicates(texts, against, params.near_duplicate, params.seed + 1)
        leaks |= {places[place]: similarity for place, (_, similarity) in found.items()}
    return [
        {
            **row,
            "splits_of_group": len(splits["group", row["group"]]),
            "splits_of_text": len(splits["text", row["fingerprint"]]),
            "leak": leaks[place],
        }
        for place, row in enumerate(rows)
    ]


def suites(params: Prepare) -> "dict[str, list[tuple[str, Expectation]]]":
    """For each kind of table its expectations, each with its meaning in words."""
    import great_expectations.expectations as expect

    def text(column: str) -> "list[tuple[str, Expectation]]":
        return [
            (f"{column} is there", expect.ExpectColumnValuesToNotBeNull(column=column)),
            (f"{column} is text", expect.ExpectColumnValuesToBeOfType(column=column, type_="str")),
            (f"{column} is not blank", expect.ExpectColumnValuesToMatchRegex(column=column, regex=r"\S")),
        ]

    def between(column: str, least: float, most: float, meaning: str) -> "tuple[str, Expectation]":
        return meaning, expect.ExpectColumnValuesToBeBetween(column=column, min_value=least, max_value=most)

    shared: list[tuple[str, Expectation]] = [
        *(each for column in ("id", "group", "prompt", "source_file") for each in text(column)),
        ("the id stands once", expect.ExpectColumnValuesToBeUnique(column="id")),
        ("the split is known", expect.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS))),
        between("prompt_tokens", 1, params.max_tokens, "the prompt has a token and is not longer than max_tokens"),
        between("answer_tokens", 2, params.max_tokens, "the answer has a token besides the end token"),
        between("tokens", 1, params.max_tokens, "the row is not longer than max_tokens"),
        between("splits_of_group", 1, 1, "the group stands in one split"),
        between("splits_of_text", 1, 1, "the text stands in one split"),
        between("leak", 0.0, 0.0, "no row of a later split is a near-duplicate (the number is the similarity)"),
        ("the row stands once", expect.ExpectColumnValuesToBeUnique(column="content")),
    ]
    ranked = expect.ExpectColumnPairValuesToBeEqual(column_A="ranks", column_B="dense_ranks")
    counted = expect.ExpectColumnPairValuesToBeEqual(column_A="completions", column_B="ranked")
    limit = between(
        "rejected", 0.0, params.reject_limit, "no larger share of a source's rows than reject_limit is rejected"
    )
    return {
        "example": [*shared, *text("answer"), *text("task"), between("references", 1, 1000, "there is a reference")],
        "ranking": [
            *shared,
            between("completions", 2, 1000, "there are two completions or more"),
            ("each completion has a rank", counted),
            ("ranks are a permutation, ties allowed", ranked),
        ],
        "thumb": [
            *shared,
            *text("completion"),
            ("liked is true or false", expect.ExpectColumnValuesToBeOfType(column="liked", type_="bool")),
        ],
        "source": [limit],
    }


def ranking_columns(completions: Sequence[str], ranks: Sequence[int]) -> dict[str, Any]:
    """The columns by which a ranking is checked: its ranks must be what they are once renumbered without gaps."""
    return {
        "completions": len(completions),
        "ranked": len(ranks),
        "ranks": str(list(ranks)),
        "dense_ranks": str(dense_ranks(ranks)),
    }


def run_gates(tables: Mapping[str, Table], params: Prepare) -> list[Check]:
    """Every expectation of the suites of the tables that have rows. Tables are named as in `suites`."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with warnings.catch_warnings():
        # Great Expectations 1.24 imports modules of the standard library that are on their way out.
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as gx
        import pandas
        from great_expectations.data_context.types.base import ProgressBarsConfig

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        rows = context.data_sources.add_pandas("rows")
        checks = []
        for name, expectations in suites(params).items():
            table = tables.get(name, [])
            if not table:
                continue
            asset = rows.add_dataframe_asset(name).add_batch_definition_whole_dataframe("all")
            # Columns of objects, so that types are those of each value and not of the column.
            batch = asset.get_batch({"dataframe": pandas.DataFrame(list(table), dtype=object)})
            suite = gx.ExpectationSuite(name=name, expectations=[each for _, each in expectations])
            where = {"result_format": "COMPLETE", "unexpected_index_column_names": ["source_file", "source_line"]}
            results = batch.validate(suite, result_format=where).results
            meanings = {signature(each.configuration): meaning for meaning, each in expectations}
            checks += [check(name, result, meanings, len(table)) for result in results]
    return checks


def signature(configuration: Any) -> tuple[str, str]:
    """Type and columns of an expectation."""
    columns = [configuration.kwargs[key] for key in ("column", "column_A", "column_B") if key in configuration.kwargs]
    return configuration.type, ", ".join(columns)


def check(suite: str, result: Any, meanings: Mapping[tuple[str, str], str], rows: int) -> Check:
    """What Great Expectations found, in our terms. An exception inside it is an error of ours, not bad rows."""
    kind, columns = signature(result.expectation_config)
    raised = str(result.exception_info) if "'raised_exception': True" in str(result.exception_info) else ""
    failing = [
        (place(row), "; ".join(str(value)[:CELL] for key, value in row.items() if not key.startswith("source_")))
        for row in result.result.get("unexpected_index_list") or []
    ]
    if raised or (not result.success and not failing):
        raise RuntimeError(f"gate {suite}: {kind} ({columns}) did not run: {raised or result.result}")
    return Check(suite, kind, columns, meanings[kind, columns], rows, failing)


def place(row: Mapping[str, Any]) -> str:
    """File and line; the file alone for a row that stands for all of a file."""
    return f"{row['source_file']}:{row['source_line']}" if row["source_line"] else str(row["source_file"])


def failures(checks: Sequence[Check]) -> list[str]:
    """One line for each failed check."""
    lines = []
    for each in checks:
        if not each.passed:
            named = ", ".join(f"{place} ({value})" if value else place for place, value in each.failing[:NAMED])
            more = f" and {len(each.failing) - NAMED} more" if len(each.failing) > NAMED else ""
            lines.append(
                f"gate {each.suite}: {each.expectation} ({each.columns}): {each.meaning}: "
                f"{len(each.failing)} of {each.rows} rows fail: {named}{more}"
            )
    return [" ".join(line.split()) for line in lines]


def as_json(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """The results as JSON."""
    return [{**asdict(each), "passed": each.passed} for each in checks]


def page(checks: Sequence[Check], rejects: Sequence[Reject]) -> str:
    """The results as one HTML page that needs nothing else: gates, failing rows, and rejects by source and reason."""
    failed = [each for each in checks if not each.passed]
    refusals: defaultdict[tuple[str, str], list[Reject]] = defaultdict(list)
    for reject in rejects:
        refusals[reject.file, reject.reason.split(":")[0]].append(reject)
    verdict = f"{len(failed)} of {len(checks)} gates failed" if failed else f"all {len(checks)} gates passed"
    gates = [
        ("passed" if each.passed else "FAILED", each.suite, each.meaning, each.columns, each.expectation,
         f"{each.rows:,}", f"{len(each.failing):,}")
        for each in sorted(checks, key=lambda each: each.passed)
    ]  # fmt: skip
    failing = [(each.suite, each.meaning, where, value) for each in failed for where, value in each.failing]
    refused = [
        (file, reason, f"{len(rows):,}", f"{rows[0].file}:{rows[0].line}: {rows[0].reason}")
        for (file, reason), rows in sorted(refusals.items())
    ]
    return (
        "<!doctype html>\n<html lang=en><meta charset=utf-8><title>Gates of prepare</title>\n<style>"
        "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}"
        "table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}"
        "td,th{border-bottom:1px solid #ccc;padding:.25rem .6rem;text-align:left;vertical-align:top;"
        "overflow-wrap: break-word}tr.FAILED{background:#fdd}@media(prefers-color-scheme:dark)"
        "{body{background:#181818;color:#ddd}tr.FAILED{background:#522}}</style>\n"
        f"<h1>Gates of prepare: {verdict}</h1>\n"
        + table(("", "suite", "what must hold", "columns", "expectation", "rows", "failing"), gates)
        + (f"<h2>Failing rows</h2>\n{table(('suite', 'what must hold', 'row', 'value'), failing)}" if failing else "")
        + (f"<h2>Rejected rows</h2>\n{table(('source', 'reason', 'rows', 'the first'), refused)}" if refused else "")
        + "</html>\n"
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table; every cell is escaped."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr class={html.escape(row[0]) if row[0] in ('passed', 'FAILED') else 'row'}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>\n"
        for row in rows
    )
    return f"<table>\n<tr>{head}</tr>\n{body}</table>\n"
