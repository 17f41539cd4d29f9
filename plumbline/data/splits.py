"""Which rows are for training, which for validation, which for the test: decided by group, never by row."""

import hashlib
from collections.abc import Hashable, Sequence

SPLITS = ("train", "validation", "test")


def connected(keys: Sequence[Sequence[Hashable]]) -> list[int]:
    """For each row the number of the first row that it is connected with, by shared keys, directly or over others."""
    root = list(range(len(keys)))

    def find(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    first: dict[Hashable, int] = {}
    for row, own in enumerate(keys):
        for key in own:
            one, other = find(row), find(first.setdefault(key, row))
            root[max(one, other)] = min(one, other)
    return [find(row) for row in range(len(keys))]


def joined_groups(groups: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Each row's group once groups that have a text in common are one, named by the least of their names.

    `texts` holds what is compared: fingerprints, so that texts that differ in layout alone are common too.
    """
    roots = connected([(("group", group), ("text", text)) for group, text in zip(groups, texts, strict=True)])
    names: dict[int, str] = {}
    for root, group in zip(roots, groups, strict=True):
        names[root] = min(names.get(root, group), group)
    return [names[root] for root in roots]


def split_of(group: str, seed: int, validation: float, test: float) -> str:
    """The split of a group, drawn by a hash of its name: another row or group never moves it.

    About a share `validation` and `test` of the groups gets into these splits.
    """
    draw = int.from_bytes(hashlib.sha256(f"{seed} {group}".encode()).digest()[:8], "big") / 2**64
    return "test" if draw < test else "validation" if draw < test + validation else "train"
