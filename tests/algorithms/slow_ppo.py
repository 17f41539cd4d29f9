"""PPO once more, slowly: Python floats, one answer after the other, without padding, sums as the papers write them.

It shares no code with plumbline/algorithms/ppo.py and no shortcut: advantages are the double sum, not the recursion;
gradients are differences. `python -m tests.algorithms.slow_ppo` writes tests/golden/ppo_batch.json anew.
"""

import json
import math
import random
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden" / "ppo_batch.json"
LENGTHS = [5, 1, 7, 3]
KNOBS = {
    "kl_coefficient": 0.15,
    "missing_end_penalty": 1.0,
    "score_limit": 2.0,
    "discount": 0.97,
    "trace": 0.9,
    "clip_range": 0.2,
    "value_clip_range": 0.25,
    "value_coefficient": 0.1,
    "entropy_coefficient": 0.01,
}


def drawn(seed):
    """Answers of a batch as plain lists, rounded so that the file is readable."""
    rng = random.Random(seed)

    def numbers(count, centre, spread):
        return [round(rng.gauss(centre, spread), 3) for _ in range(count)]

    answers = []
    for length in LENGTHS:
        sampled = [min(each, -0.01) for each in numbers(length, -1.5, 0.7)]
        answers.append(
            {
                "score": round(rng.gauss(0, 2), 3),
                "ended": rng.random() < 0.6,
                "logp_sampled": sampled,
                "logp_reference": [round(min(each + rng.gauss(-0.1, 0.4), -0.01), 3) for each in sampled],
                "logp": [round(min(each + rng.gauss(0, 0.3), -0.01), 3) for each in sampled],
                "values_sampled": numbers(length, 0, 0.6),
                "values": numbers(length, 0, 0.8),
                "logits": [numbers(4, 0, 1.5) for _ in range(length)],
            }
        )
    return answers


def mean(numbers):
    return math.fsum(numbers) / len(numbers)


def variance(numbers):
    centre = mean(numbers)
    return mean([(number - centre) ** 2 for number in numbers])


def flat(lists):
    return [number for each in lists for number in each]


def clip(number, low, high):
    return low if number < low else high if number > high else number


def rewards_of(answer, knobs):
    """Ziegler et al. (2019): R = r - beta log(pi / rho), the logarithm of the product spread over its factors."""
    score = clip(answer["score"], -knobs["score_limit"], knobs["score_limit"])
    if not answer["ended"]:
        score -= knobs["missing_end_penalty"]
    paid = [
        -knobs["kl_coefficient"] * math.log(math.exp(own) / math.exp(reference))
        for own, reference in zip(answer["logp_sampled"], answer["logp_reference"], strict=True)
    ]
    return [*paid[:-1], paid[-1] + score]


def advantages_of(rewards, values, knobs):
    """Schulman et al. (2016), equation 16: the sum over l of (gamma lambda)^l delta_{t+l}."""
    after = [*values[1:], 0.0]
    deltas = [r + knobs["discount"] * later - now for r, later, now in zip(rewards, after, values, strict=True)]
    decay = knobs["discount"] * knobs["trace"]
    return [math.fsum(decay**late * deltas[t + late] for late in range(len(deltas) - t)) for t in range(len(deltas))]


def surrogate(logp, sampled, advantage, knobs):
    """Schulman et al. (2017), equation 7, by cases: where the clip binds, the objective is flat."""
    ratio = math.exp(logp) / math.exp(sampled)
    if advantage >= 0 and ratio > 1 + knobs["clip_range"]:
        return (1 + knobs["clip_range"]) * advantage
    if advantage < 0 and ratio < 1 - knobs["clip_range"]:
        return (1 - knobs["clip_range"]) * advantage
    return ratio * advantage


def squared_error(value, sampled, goal, knobs):
    """The worse of the two errors, with and without the clip."""
    clipped = sampled + clip(value - sampled, -knobs["value_clip_range"], knobs["value_clip_range"])
    return 0.5 * max((value - goal) ** 2, (clipped - goal) ** 2)


def entropy_of(logits):
    total = math.fsum(math.exp(each) for each in logits)
    shares = [math.exp(each) / total for each in logits]
    return -math.fsum(share * math.log(share) for share in shares)


def slope(function, point, step=1e-6):
    return (function(point + step) - function(point - step)) / (2 * step)


def slow_ppo(answers, knobs):
    """Every number of one PPO minibatch."""
    rewards = [rewards_of(answer, knobs) for answer in answers]
    advantages = [
        advantages_of(earned, answer["values_sampled"], knobs) for earned, answer in zip(rewards, answers, strict=True)
    ]
    returns = [
        [gain + value for gain, value in zip(own, answer["values_sampled"], strict=True)]
        for own, answer in zip(advantages, answers, strict=True)
    ]
    centre, width = mean(flat(advantages)), math.sqrt(variance(flat(advantages)) + 1e-8)
    white = [[(each - centre) / width for each in own] for own in advantages]

    def column(name):
        return flat([answer[name] for answer in answers])

    logp, sampled, reference = column("logp"), column("logp_sampled"), column("logp_reference")
    tokens = list(zip(logp, sampled, flat(white), strict=True))
    policy = -math.fsum(surrogate(*token, knobs) for token in tokens)
    value_tokens = list(zip(column("values"), column("values_sampled"), flat(returns), strict=True))
    value = math.fsum(squared_error(*token, knobs) for token in value_tokens)
    entropies = [entropy_of(logits) for logits in column("logits")]
    ratios = [math.exp(new - old) for new, old in zip(logp, sampled, strict=True)]
    back = [math.exp(ref - own) for ref, own in zip(reference, sampled, strict=True)]
    residuals = [goal - old for _, old, goal in value_tokens]
    return {
        "rewards": rewards,
        "advantages": advantages,
        "returns": returns,
        "whitened": white,
        "policy_loss": policy,
        "value_loss": value,
        "entropy": math.fsum(entropies),
        "loss": (policy + knobs["value_coefficient"] * value - knobs["entropy_coefficient"] * math.fsum(entropies))
        / len(tokens),
        "policy_gradient": [
            slope(lambda point, old=old, gain=gain: -surrogate(point, old, gain, knobs), new)
            for new, old, gain in tokens
        ],
        "value_gradient": [
            slope(lambda point, old=old, goal=goal: squared_error(point, old, goal, knobs), new)
            for new, old, goal in value_tokens
        ],
        "statistics": {
            "ratio_mean": mean(ratios),
            "ratio_max": max(ratios),
            "clip_fraction": mean([float(abs(ratio - 1) > knobs["clip_range"]) for ratio in ratios]),
            "kl_step": mean([ratio - 1 - math.log(ratio) for ratio in ratios]),
            "score": mean([answer["score"] for answer in answers]),
            "score_deviation": math.sqrt(variance([answer["score"] for answer in answers])),
            "kl_k1": math.fsum(-math.log(each) for each in back) / len(answers),
            "kl_k2": math.fsum(math.log(each) ** 2 / 2 for each in back) / len(answers),
            "kl_k3": math.fsum(each - 1 - math.log(each) for each in back) / len(answers),
            "kl_error": math.sqrt(
                variance(
                    [math.fsum(answer["logp_sampled"]) - math.fsum(answer["logp_reference"]) for answer in answers]
                )
                / len(answers)
            ),
            "entropy": mean(entropies),
            "advantage_mean": centre,
            "advantage_deviation": math.sqrt(variance(flat(advantages))),
            "explained_variance": 1 - variance(residuals) / variance(flat(returns)),
            "length": mean([len(answer["logp"]) for answer in answers]),
            "ended": mean([float(answer["ended"]) for answer in answers]),
        },
    }


if __name__ == "__main__":
    batch = drawn(seed=20)
    golden = {
        "origin": "Computed by tests/algorithms/slow_ppo.py, which follows the papers answer by answer in Python floats. "
        "Token lists over the whole batch run through the answers in order; gradients are of the sums, by differences.",
        "knobs": KNOBS,
        "answers": batch,
        "expected": slow_ppo(batch, KNOBS),
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
