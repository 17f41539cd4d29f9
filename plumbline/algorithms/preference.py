"""From people's votes on pairs to a reward model: the loss, and how well it orders the pairs.

`votes[p, i, j]` is the number of people who find completion i of prompt p better than j, a tie being half a vote each
way. Where a prompt has fewer completions than others there are no votes, and the scores there may be any number.
A prompt of K completions has K (K - 1) / 2 pairs, yet each completion is scored once: the loss takes the K scores and
forms the pairs itself (Ouyang et al. 2022, section 3.5).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Real
from torch import Tensor
from torch.nn.functional import logsigmoid

from plumbline.errors import PlumblineError

Votes = Float[Tensor, "prompts completions completions"]


class Bin(NamedTuple):
    """Pairs of which the scorer was about equally sure: the mean of what it said, and of the share of votes for it."""

    predicted: float
    observed: float
    pairs: int


class Scale(NamedTuple):
    """Mean and deviation of a scorer's scores of the reference answers."""

    mean: float
    deviation: float


def ranking_loss(
    scores: Float[Tensor, "prompts completions"],
    votes: Votes,
    ranks: Real[Tensor, "prompts completions"],
    *,
    margin: float,
    centring: float,
) -> Float[Tensor, " prompts"]:
    """Bradley-Terry loss of each prompt, in nats per pair: the mean over its pairs; 0 for a prompt without votes.

    Of a pair of which a share w finds i better than j, with s_i - s_j for the lead and 1 for the best rank:

        - w log sigmoid(lead - m) - (1 - w) log sigmoid(m - lead) + centring (s_i + s_j)^2,  m = margin (rank_j - rank_i)

    It is least where lead = m + log(w / (1 - w)): people who differ ask for a small lead, a tie for none. Every pair of
    a prompt weighs the same, however many people judged it: that they agree stands in the target already, and a pair is
    to teach no more for having been shown to more of them. Where all people judge all pairs, that is the mean over votes.

    Ouyang et al. (2022) eq. 1; margin by how much better: Touvron et al. (2023) section 3.2.2, and for grades instead of
    ranks give their negatives; centring: Eisenstein et al. (2023) section 2. One loss a prompt, and no mean of them,
    so that the caller can divide by the prompts of the whole batch, however it is split.
    """
    weight = shares(votes)
    loss = -logsigmoid(leads(scores) + margin * leads(ranks))
    loss = loss + centring * (scores[:, :, None] + scores[:, None, :]) ** 2
    return (weight * loss).sum((1, 2)) / weight.sum((1, 2)).clamp(min=1)


def leads(scores: Real[Tensor, "prompts completions"]) -> Real[Tensor, "prompts completions completions"]:
    """How far the score of the row's completion lies above that of the column's."""
    return scores[:, :, None] - scores[:, None, :]


def shares(votes: Votes) -> Votes:
    """Of the people who judged a pair, the share that finds the row's completion better; 0 both ways where none did."""
    both = votes + votes.mT
    return votes / torch.where(both > 0, both, 1)


def majority(votes: Votes) -> Votes:
    """One vote for each pair, that of most people; none where as many are for the one as for the other."""
    return (votes > votes.mT).to(votes.dtype)


def untied(votes: Votes) -> Votes:
    """The votes on pairs that a majority decides. On the others any order is as right as its opposite."""
    return torch.where(votes == votes.mT, 0, votes)


def agreement(
    scores: Float[Tensor, "prompts completions"], votes: Votes
) -> tuple[Float[Tensor, " prompts"], Float[Tensor, " prompts"]]:
    """Of each prompt, the votes for the completion with the higher score, and all of them. Equal scores get half.

    With the completions' lengths for scores: what a scorer would do that only prefers the longer one.
    """
    lead = leads(scores)
    return (votes * ((lead > 0) + 0.5 * (lead == 0))).sum((1, 2)), votes.sum((1, 2))


def calibration(scores: Float[Tensor, "prompts completions"], votes: Votes, bins: int) -> list[Bin]:
    """Where the scorer says that people prefer one completion with probability p, do a share p of them?

    Pairs are put into `bins` of equal width by the probability of the one with the higher score, sigmoid of its lead,
    from 0.5 to 1; bins without pairs are left out. A tie is a pair of which half prefer each.
    """
    lead, share = leads(scores).double(), shares(votes.double())
    judged = (share + share.mT > 0).triu()  # each pair once
    lead, share = lead[judged], share[judged]
    predicted, observed = lead.abs().sigmoid(), 0.5 + lead.sign() * (share - 0.5)
    number = ((predicted - 0.5) * 2 * bins).long().clamp(max=bins - 1)
    return [
        Bin(float(predicted[own].mean()), float(observed[own].mean()), int(own.sum()))
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
