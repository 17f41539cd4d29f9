"""From people's rankings to a reward model: the loss of their pairs, and how well it ranks.

Rank 1 is the best, equal ranks are a tie. A ranking of K completions is all its K (K - 1) / 2 pairs, yet each completion
is scored once: the loss takes the K scores and forms the pairs itself (Ouyang et al. 2022, section 3.5).
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor
from torch.nn.functional import logsigmoid

from plumbline.errors import PlumblineError


class Bin(NamedTuple):
    """Pairs of which the scorer was about equally sure: the mean of what it said, and how often it was right."""

    predicted: float
    observed: float
    pairs: int


class Scale(NamedTuple):
    """Mean and deviation of a scorer's scores of the reference answers."""

    mean: float
    deviation: float


def ranking_loss(
    scores: Float[Tensor, "prompts completions"],
    ranks: Real[Tensor, "prompts completions"],
    is_completion: Bool[Tensor, "prompts completions"],
    *,
    margin: float,
    centring: float,
    keep_ties: bool,
) -> Float[Tensor, " prompts"]:
    """Bradley-Terry loss of each prompt, the mean over its pairs; 0 for a prompt without a pair.

    Pair of i better than j:  -log sigmoid(s_i - s_j - margin (rank_j - rank_i)) + centring (s_i + s_j)^2
    Pair of a tie:            the mean of both orders, so that 1/2 is the target.
    Ouyang et al. (2022) eq. 1; margin by how much better: Touvron et al. (2023) section 3.2.2, and for grades instead of
    ranks give their negatives; centring: Eisenstein et al. (2023) section 2. One loss a prompt, and no mean of them,
    so that the caller can divide by the prompts of the whole batch, however it is split.
    """
    scores = torch.where(is_completion, scores, 0)
    weight = pair_weights(ranks, is_completion, keep_ties)
    distance = ranks[:, None, :] - ranks[:, :, None]
    loss = -logsigmoid(scores[:, :, None] - scores[:, None, :] - margin * distance)
    loss = loss + centring * (scores[:, :, None] + scores[:, None, :]) ** 2
    return (weight * loss).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)


def pair_weights(
    ranks: Real[Tensor, "prompts completions"], is_completion: Bool[Tensor, "prompts completions"], keep_ties: bool
) -> Float[Tensor, "prompts completions completions"]:
    """1 where the completion of the row is better than that of the column; of a kept tie 1/2 in both orders."""
    both = is_completion[:, :, None] & is_completion[:, None, :]
    better = ranks[:, :, None] < ranks[:, None, :]
    tied = (ranks[:, :, None] == ranks[:, None, :]) & ~torch.eye(ranks.shape[1], dtype=torch.bool, device=ranks.device)
    return (better + 0.5 * keep_ties * tied) * both


def leads(
    scores: Float[Tensor, "prompts completions"],
    ranks: Real[Tensor, "prompts completions"],
    is_completion: Bool[Tensor, "prompts completions"],
) -> tuple[Float[Tensor, " pairs"], Real[Tensor, " pairs"]]:
    """Of every untied pair, how far the better completion's score leads, and how many ranks the two are apart.

    With the completions' lengths for scores: what a scorer would do that only prefers the longer one.
    """
    better = pair_weights(ranks, is_completion, keep_ties=False) > 0
    return (scores[:, :, None] - scores[:, None, :])[better], (ranks[:, None, :] - ranks[:, :, None])[better]


def accuracy(lead: Float[Tensor, " pairs"]) -> float:
    """Share of pairs whose better completion has the higher score; equal scores count half. ValueError without pairs."""
    if not len(lead):
        raise ValueError("no pairs: every completion is tied with every other")
    return float(((lead > 0) + 0.5 * (lead == 0)).double().mean())


def calibration(lead: Float[Tensor, " pairs"], bins: int) -> list[Bin]:
    """Where the scorer says that one completion is better with probability p, is it so in a share p of the pairs?

    Pairs are put into `bins` of equal width by the probability of the one with the higher score, sigmoid(|lead|), from
    0.5 to 1; bins without pairs are left out.
    """
    predicted = lead.double().abs().sigmoid()
    number = ((predicted - 0.5) * 2 * bins).long().clamp(max=bins - 1)
    return [
        Bin(float(predicted[own].mean()), accuracy(lead[own]), int(own.sum()))
        for own in (number == each for each in number.unique())
    ]


def scale_of(scores: Float[Tensor, " answers"]) -> Scale:
    """What takes the scores of the reference answers to mean 0 and deviation 1. Ziegler et al. (2019), section 2.2."""
    deviation, mean = torch.std_mean(scores.double(), correction=0)
    if not deviation > 0:
        raise PlumblineError(
            f"the scorer gives all {len(scores)} reference answers the score {float(mean):.6g}: "
            "train it on rankings whose completions differ"
        )
    return Scale(float(mean), float(deviation))


def normalised(scores: Float[Tensor, " answers"], scale: Scale) -> Float[Tensor, " answers"]:
    """Scores in deviations of the reference answers' scores, from their mean."""
    return (scores - scale.mean) / scale.deviation
