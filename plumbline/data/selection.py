"""Which rows are used, and in which split each stands. Whatever is left out is told to `reject`, with the reason."""

from collections.abc import Callable
from dataclasses import replace

from plumbline.data.duplicates import fingerprint, near_duplicates
from plumbline.data.formats import Draft
from plumbline.data.rendering import Rendered
from plumbline.data.splits import joined_groups, split_of
from plumbline.errors import DataError
from plumbline.params import Prepare

KINDS = ("example", "ranking", "thumb")
LATER = {"train": ("validation", "test"), "validation": ("test",)}  # splits that a row of this one must not repeat


def content_of(draft: Draft) -> str:
    """A fingerprint of all that a row teaches."""
    opinion = [str(draft.opinions), str(draft.liked)]
    return fingerprint(draft.kind, draft.task, draft.source_text, *draft.answers, *opinion)


def without_repeats(rows: list[Rendered], reject: Callable[[Draft, str], None]) -> list[Rendered]:
    """The rows without those whose id, or whose texts and answers, stood in an earlier one.

    Comes after rendering: rows that differ only in a part that was cut away are the same to the model.
    """
    ids: dict[tuple[str, str], Draft] = {}
    contents: dict[str, Draft] = {}
    kept = []
    for row in rows:
        draft, content = row.draft, content_of(row.draft)
        if other := ids.get((draft.kind, draft.id)):
            reject(
                draft, f"id: {draft.id} is the id of {other.place} too; without a column `id`, rows go by their lines"
            )
        elif other := contents.get(content):
            reject(draft, f"duplicate: of {other.place}")
        else:
            ids[draft.kind, draft.id] = contents[content] = draft
            kept.append(row)
    return kept


def split_rows(rows: list[Rendered], params: Prepare) -> list[Rendered]:
    """Each row with its group and its split. Groups that have a text in common count as one."""
    groups = joined_groups([row.draft.group for row in rows], [fingerprint(row.draft.source_text) for row in rows])
    return [
        replace(row, group=group, split=split_of(group, params.seed, params.validation, params.test))
        for row, group in zip(rows, groups, strict=True)
    ]


def without_leaks(rows: list[Rendered], params: Prepare, reject: Callable[[Draft, str], None]) -> list[Rendered]:
    """The rows without those of train that nearly repeat a held-out row, and of validation a row of test."""
    leaking = set()
    for kind in KINDS:
        for split, later in LATER.items():
            own = [row for row in rows if row.split == split and row.draft.kind == kind]
            others = [row for row in rows if row.split in later and row.draft.kind == kind]
            texts, against = [row.draft.source_text for row in own], [row.draft.source_text for row in others]
            found = near_duplicates(texts, against, params.near_duplicate, params.seed)
            for place, (other, similarity) in found.items():
                like = others[other]
                reject(
                    own[place].draft, f"near-duplicate: {similarity:.2f} like the {like.split} row {like.draft.place}"
                )
                leaking.add(id(own[place]))
    return [row for row in rows if id(row) not in leaking]


def require_rows(rows: list[Rendered], params: Prepare) -> None:
    """DataError when a split that has a share has no row, for each kind of row there is."""
    shares = {"train": 1.0, "validation": params.validation, "test": params.test}
    for kind in KINDS:
        own = [row for row in rows if row.draft.kind == kind]
        for split, share in shares.items():
            if share and own and not any(row.split == split for row in own):
                groups = len({row.group for row in own})
                raise DataError(
                    f"prepare: no {kind} for {split} among {len(own)} rows in {groups} groups; give more rows, or "
                    f"change the share or prepare.seed"
                )
    if not rows:
        raise DataError("prepare: no row is left; every one was rejected as too long, repeated or without a template")
