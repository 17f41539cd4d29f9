"""What each pre-training objective hides from the model: nothing, spans, or single tokens. Pure functions on ids."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def noise_spans(
    length: int, noise_share: float, mean_span: float, generator: torch.Generator
) -> Bool[Tensor, " length"]:
    """True where a token is hidden: about `noise_share` of `length` tokens in spans of `mean_span` on average.

    The first token is never hidden, and two hidden spans never touch. Raffel et al. (2020), section 3.1.4.
    """
    noise = min(max(round(length * noise_share), 1), length - 1)
    spans = min(max(round(noise / mean_span), 1), noise, length - noise)
    hidden = random_partition(noise, spans, generator)
    kept = random_partition(length - noise, spans, generator)
    lengths = torch.stack([kept, hidden], dim=1).flatten()
    return torch.repeat_interleave(torch.tensor([False, True]).repeat(spans), lengths)


def random_partition(total: int, parts: int, generator: torch.Generator) -> Int[Tensor, " parts"]:
    """`parts` positive integers that sum to `total`, every such list equally likely."""
    cuts = torch.randperm(total - 1, generator=generator)[: parts - 1].sort().values + 1
    edges = torch.cat([torch.tensor([0]), cuts, torch.tensor([total])])
    return edges.diff()


def span_corruption(
    ids: Int[Tensor, " length"], hidden: Bool[Tensor, " length"], sentinels: Int[Tensor, " sentinels"], end: int
) -> tuple[Int[Tensor, " source"], Int[Tensor, " target"]]:
    """Source and target of T5's objective: each hidden span becomes one sentinel; the target spells the spans out.

    ids      a b c d e f g,  hidden  . . x x . x .
    source   a b <0> e <1> g <end>
    target   <0> c d <1> f <end>
    """
    before = torch.cat([torch.tensor([False]), hidden[:-1]])
    starts = hidden & ~before
    number = starts.cumsum(0) - 1
    if int(starts.sum()) > len(sentinels):
        raise ValueError(f"{int(starts.sum())} spans, but only {len(sentinels)} sentinels")
    source = torch.where(starts, sentinels[number.clamp(min=0)], ids)[~hidden | starts]
    # In the target every span start is written twice: its sentinel, then the token itself.
    doubled = torch.repeat_interleave(torch.arange(len(ids)), 1 + starts.long())
    first = torch.cat([torch.tensor([True]), doubled.diff() != 0])
    spelled = torch.where(first & starts[doubled], sentinels[number[doubled].clamp(min=0)], ids[doubled])
    target = spelled[hidden[doubled]]
    ending = torch.tensor([end])
    return torch.cat([source, ending]), torch.cat([target, ending])


def mask_tokens(
    ids: Int[Tensor, "batch length"],
    may_hide: Bool[Tensor, "batch length"],
    share: float,
    mask: int,
    vocabulary: int,
    generator: torch.Generator,
) -> tuple[Int[Tensor, "batch length"], Bool[Tensor, "batch length"]]:
    """The ids with `share` of the tokens hidden, and True where the model has to predict.

    Of the chosen tokens 80 % become the mask token, 10 % a random token and 10 % stay. Devlin et al. (2019), 3.1.
    """
    chosen = (torch.rand(ids.shape, generator=generator) < share) & may_hide
    fate = torch.rand(ids.shape, generator=generator)
    random_ids = torch.randint(vocabulary, ids.shape, generator=generator)
    hidden = torch.where(chosen & (fate < 0.8), mask, ids)
    return torch.where(chosen & (fate >= 0.9), random_ids, hidden), chosen
