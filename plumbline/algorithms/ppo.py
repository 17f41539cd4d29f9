"""Proximal policy optimisation of answers, as pure functions: rewards, advantages, losses, statistics.

Shapes are (batch, time): one answer a row, padded on either side; `is_answer` is True on the tokens that the policy
chose, the end token among them. What stands elsewhere, be it not a number, changes nothing. Log-probabilities are in
nats, at the temperature of sampling. Losses are *sums* over answer tokens: the caller divides by the number of tokens of
the whole minibatch, so that the size of a micro-batch does not change a gradient.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Tokens = Float[Tensor, "batch time"]
Mask = Bool[Tensor, "batch time"]


class Divergence(NamedTuple):
    """Three estimates of the divergence from the reference for each token, in nats; their meaning is in `divergence`."""

    k1: Tensor
    k2: Tensor
    k3: Tensor


class Moments(NamedTuple):
    """Mean and (biased) variance over all answer tokens of a batch."""

    mean: Tensor
    variance: Tensor


# Rewards


def shaped_score(
    score: Float[Tensor, " batch"], ended: Bool[Tensor, " batch"], *, missing_end_penalty: float, score_limit: float
) -> Float[Tensor, " batch"]:
    """The score within +-`score_limit`, less a penalty where the answer did not end properly.

    The penalty comes after the clipping, else it would cost nothing where the score is out of bounds.
    """
    return score.clamp(-score_limit, score_limit) - missing_end_penalty * ~ended


def penalised_rewards(
    score: Float[Tensor, " batch"], logp_sampled: Tokens, logp_reference: Tokens, is_answer: Mask, kl_coefficient: float
) -> Tokens:
    """Every answer token pays for its drift from the reference; the last one also earns the score.

    r_t = -kl_coefficient (logp_sampled_t - logp_reference_t) + [t is the last answer token] score
    Ziegler et al. (2019) eq. 2, by token as in Stiennon et al. (2020), section 3.4. A row without answer tokens earns 0.
    """
    drift = torch.where(is_answer, logp_sampled - logp_reference, 0)
    return torch.where(last_token(is_answer), score[:, None], 0) - kl_coefficient * drift


def last_token(is_answer: Mask) -> Mask:
    """True on the last answer token of each row, found in the mask and never by a token's id."""
    return is_answer & (is_answer.flip(1).cumsum(1).flip(1) == 1)


def divergence(logp: Tokens, logp_reference: Tokens, is_answer: Mask) -> Divergence:
    """Estimates of KL(policy || reference) by token, from tokens that the policy sampled; 0 outside of answers.

    With r = reference / policy:  k1 = -log r, unbiased;  k2 = (log r)^2 / 2, little variance but biased;
    k3 = r - 1 - log r, unbiased and never negative. Schulman (2020), "Approximating KL divergence".
    """
    log_ratio = torch.where(is_answer, logp_reference - logp, 0)
    return Divergence(-log_ratio, log_ratio**2 / 2, log_ratio.expm1() - log_ratio)


def adapted_kl_coefficient(
    kl_coefficient: float, observed: float, *, target: float, horizon: int, answers: int
) -> float:
    """The coefficient after `answers` more answers, raised where the observed divergence is above `target`.

    error = clip(observed / target - 1, -0.2, 0.2),  new = old (1 + error answers / horizon)
    Both divergences are in nats per answer (sum over tokens). Ziegler et al. (2019), section 2.2.
    """
    if answers > horizon:
        raise ValueError(f"a horizon of {horizon} answers is shorter than the {answers} answers of a cycle")
    error = min(max(observed / target - 1, -0.2), 0.2)
    return kl_coefficient * (1 + error * answers / horizon)


# Advantages


def advantages_and_returns(
    rewards: Tokens, values: Tokens, is_answer: Mask, *, discount: float, trace: float
) -> tuple[Tokens, Tokens]:
    """Generalised advantage estimates, and the returns that the values should learn; both 0 outside of answers.

    delta_t = r_t + discount V_{t+1} - V_t,  A_t = delta_t + discount trace A_{t+1},  return_t = A_t + V_t
    After the last answer token value and advantage are 0. Other tokens are passed over, so t + 1 is the next answer
    token and padding has no error of its own. Schulman et al. (2016) eq. 16; (2017) eq. 11 and 12.
    """
    next_value = next_advantage = torch.zeros_like(values[:, 0])
    advantages = torch.zeros_like(values)
    for time in reversed(range(values.shape[1])):
        here = is_answer[:, time]
        delta = rewards[:, time] + discount * next_value - values[:, time]
        next_advantage = torch.where(here, delta + discount * trace * next_advantage, next_advantage)
        next_value = torch.where(here, values[:, time], next_value)
        advantages[:, time] = torch.where(here, next_advantage, 0)
    return advantages, torch.where(is_answer, advantages + values, 0)


def moments(values: Tokens, is_answer: Mask) -> Moments:
    """Mean and variance over the answer tokens. Take them of the whole batch, and whiten its parts by them."""
    variance, mean = torch.var_mean(values[is_answer], correction=0)
    return Moments(mean, variance)


def whitened(values: Tokens, is_answer: Mask, batch: Moments) -> Tokens:
    """Deviations from the batch's mean in units of its standard deviation; 0 outside of answers."""
    return torch.where(is_answer, (values - batch.mean) * (batch.variance + 1e-8).rsqrt(), 0)


# Losses


def policy_loss(
    logp: Tokens, logp_sampled: Tokens, advantages: Tokens, is_answer: Mask, clip_range: float
) -> Float[Tensor, ""]:
    """Clipped surrogate, summed over answer tokens, to be minimised; `advantages` are constants.

    ratio = exp(logp - logp_sampled),  loss = -min(ratio A, clip(ratio, 1 - clip_range, 1 + clip_range) A)
    Schulman et al. (2017) eq. 7.
    """
    ratio = ratios(logp, logp_sampled, is_answer)
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    return -answer_sum(torch.minimum(ratio * advantages, clipped * advantages), is_answer)


def value_loss(
    values: Tokens, values_sampled: Tokens, returns: Tokens, is_answer: Mask, clip_range: float
) -> Float[Tensor, ""]:
    """Half the squared error of the values, summed over answer tokens; no reward for a step beyond the clip range.

    loss = max((V - R)^2, (clip(V, V_sampled - clip_range, V_sampled + clip_range) - R)^2) / 2
    The squared error of Schulman et al. (2017) eq. 9, clipped as in the implementation of that paper.
    """
    clipped = values.clamp(values_sampled - clip_range, values_sampled + clip_range)
    # Masked before the square: a gradient of 0 times something that is no number would be no number.
    error, clipped_error = (torch.where(is_answer, each - returns, 0) for each in (values, clipped))
    return (torch.maximum(error**2, clipped_error**2) / 2).sum()


def entropy(logits: Float[Tensor, "batch time vocabulary"]) -> Tokens:
    """Of the policy's law over the next token, -sum p log p, in nats; logits of minus infinity are tokens it cannot say."""
    return torch.distributions.Categorical(logits=logits, validate_args=False).entropy()


def ppo_loss(
    policy: Float[Tensor, ""],
    value: Float[Tensor, ""],
    entropy: Float[Tensor, ""],
    *,
    value_coefficient: float,
    entropy_coefficient: float,
    tokens: int,
) -> Float[Tensor, ""]:
    """The loss of a micro-batch from its three sums; `tokens` counts the answer tokens of the whole minibatch.

    loss = (policy + value_coefficient value - entropy_coefficient entropy) / tokens.  Schulman et al. (2017) eq. 9.
    """
    return (policy + value_coefficient * value - entropy_coefficient * entropy) / tokens


def ratios(logp: Tokens, logp_sampled: Tokens, is_answer: Mask) -> Tokens:
    """How much likelier a token is now than when it was sampled; 1 outside of answers."""
    return torch.where(is_answer, logp - logp_sampled, 0).exp()


def answer_sum(values: Tokens, is_answer: Mask) -> Float[Tensor, ""]:
    """The sum over answer tokens."""
    return torch.where(is_answer, values, 0).sum()


# Statistics: plain numbers for the log, the stop and the alarms


def update_statistics(logp: Tokens, logp_sampled: Tokens, is_answer: Mask, clip_range: float) -> dict[str, float]:
    """How far one minibatch's policy is from the one that sampled; `kl_step` is what ends the epochs of a cycle.

    `kl_step` is the k3 estimate of KL(sampling policy || policy), in nats per token.
    """
    ratio = ratios(logp, logp_sampled, is_answer)[is_answer]
    return {
        "ratio_mean": float(ratio.mean()),
        "ratio_max": float(ratio.max()),
        "clip_fraction": float(((ratio - 1).abs() > clip_range).float().mean()),
        "kl_step": float(divergence(logp_sampled, logp, is_answer).k3[is_answer].mean()),
    }


def cycle_statistics(
    score: Float[Tensor, " batch"],
    ended: Bool[Tensor, " batch"],
    logp_sampled: Tokens,
    logp_reference: Tokens,
    entropies: Tokens,
    values: Tokens,
    advantages: Tokens,
    returns: Tokens,
    is_answer: Mask,
) -> dict[str, float]:
    """What the answers of one cycle were like, before anything was learned from them; the words are in docs/stages.md.

    Divergences are nats per answer: summed over its tokens, then the mean over answers. `advantages` before whitening.
    """
    drift = divergence(logp_sampled, logp_reference, is_answer)
    by_answer = [estimate.sum(1).double() for estimate in drift]
    advantage = moments(advantages.double(), is_answer)
    return {
        "score": float(score.double().mean()),
        "score_deviation": float(score.double().std(correction=0)),
        "kl_k1": float(by_answer[0].mean()),
        "kl_k2": float(by_answer[1].mean()),
        "kl_k3": float(by_answer[2].mean()),
        "kl_error": float(by_answer[0].std(correction=0)) / len(score) ** 0.5,
        "entropy": float(entropies[is_answer].double().mean()),
        "advantage_mean": float(advantage.mean),
        "advantage_deviation": float(advantage.variance.sqrt()),
        "explained_variance": explained_variance(values, returns, is_answer),
        "length": float(is_answer.sum(1).double().mean()),
        "ended": float(ended.double().mean()),
    }


def explained_variance(values: Tokens, returns: Tokens, is_answer: Mask) -> float:
    """Share of the returns' variance that the values foresaw: 1 is perfect, 0 no better than a constant, below is worse.

    1 - Var(return - V) / Var(return);  0 where the returns do not vary.
    """
    variance = moments(returns.double(), is_answer).variance
    error = moments((returns - values).double(), is_answer).variance
    return float(1 - error / variance) if variance > 0 else 0.0
