"""A model's work left out at the positions that nobody reads.

Of a prompt's tokens a caller needs what later tokens see of them, their keys and values; the last layer's feed-forward
part and the LM head are then computed for nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Places = Int[Tensor, " chosen"]


@contextmanager
def logits_at(model: "PreTrainedModel", rows: Places, columns: Places) -> Iterator[list[Tensor]]:
    """Within the block, the model's logits are those at the chosen positions alone, of shape (chosen, vocabulary).

    What the LM head reads there, of shape (chosen, width), is appended to the list.
    """
    read: list[Tensor] = []

    def choose(_head: Any, given: Any) -> tuple[Tensor]:
        read.append(given[0][rows, columns])
        return (read[-1],)

    hook = model.get_output_embeddings().register_forward_pre_hook(choose)
    try:
        with hidden_at(model, rows, columns):
            yield read
    finally:
        hook.remove()


@contextmanager
def hidden_at(model: "PreTrainedModel", rows: Places, columns: Places) -> Iterator[None]:
    """Within the block, a decoder's last hidden states are right at the chosen positions alone.

    Its last layer leaves out its feed-forward part elsewhere. Models that name that part otherwise compute all, and so
    does one that recomputes its activations in the backward pass, when this block is over.
    """
    layers = getattr(model.base_model, "layers", None)
    part = getattr(layers[-1], "mlp", None) if layers else None
    if part is None or model.is_activation_checkpointing:
        yield
        return
    shapes: list[Any] = []

    def choose(_part: Any, given: Any) -> tuple[Tensor]:
        shapes.append(given[0].shape)
        return (given[0][rows, columns][None],)

    def spread(_part: Any, _given: Any, found: Tensor) -> Tensor:
        whole = found.new_zeros(shapes.pop())
        whole[rows, columns] = found[0]
        return whole

    hooks = part.register_forward_pre_hook(choose), part.register_forward_hook(spread)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
