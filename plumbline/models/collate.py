"""Batches of encoded rows as the tensors that transformers' models take."""

from collections.abc import Sequence

import torch
from torch import Tensor

from plumbline.models.encode import IGNORED, Encoded


def padded(rows: Sequence[Sequence[int]], fill: int, *, left: bool = False) -> Tensor:
    """Rows of ids as one tensor of shape (rows, longest), filled up on the right, or on the left."""
    width = max(len(row) for row in rows)
    space = [[fill] * (width - len(row)) for row in rows]
    return torch.tensor([[*gap, *row] if left else [*row, *gap] for row, gap in zip(rows, space, strict=True)])


def attention(rows: Sequence[Sequence[int]], *, left: bool = False) -> Tensor:
    """1 where a row has an id, 0 where it is filled up.

    It comes from the lengths, never from the ids: a tokenizer may use one id for pad and end.
    """
    return padded([[1] * len(row) for row in rows], 0, left=left)


def collate(rows: Sequence[Encoded], pad: int) -> dict[str, Tensor]:
    """input_ids and attention_mask of shape (rows, longest source), labels of shape (rows, longest labels)."""
    sources = [row["input_ids"] for row in rows]
    return {
        "input_ids": padded(sources, pad),
        "attention_mask": attention(sources),
        "labels": padded([row["labels"] for row in rows], IGNORED),
    }
