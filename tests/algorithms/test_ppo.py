"""Laws of PPO's arithmetic, and one golden batch from a slow reference."""

import json

import pytest
import torch
from beartype import beartype
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import jaxtyped

from plumbline.algorithms import ppo
from tests.algorithms.slow_ppo import GOLDEN, KNOBS, drawn, slow_ppo

PADDED = ("logp", "logp_sampled", "logp_reference", "values", "values_sampled")


def padded(answers, *, before=0, after=0, fill=0.0):
    """The slow reference's answers as tensors with so many more columns; `fill` stands outside of answers."""
    width = max(len(answer["logp"]) for answer in answers)

    def matrix(name, empty):
        rows = []
        for answer in answers:
            blank = torch.full_like(torch.tensor(answer[name][:1], dtype=torch.float64), empty)
            spare = width - len(answer[name]) + after
            own = torch.tensor(answer[name], dtype=torch.float64)
            rows.append(torch.cat([*[blank] * before, own, *[blank] * spare]))
        return torch.stack(rows)

    return {
        **{name: matrix(name, fill) for name in PADDED},
        "logits": matrix("logits", 0.0),
        "score": torch.tensor([answer["score"] for answer in answers], dtype=torch.float64),
        "ended": torch.tensor([answer["ended"] for answer in answers]),
        "is_answer": ~matrix("logp", float("nan")).isnan(),
    }


def losses(batch, prepared, rows, tokens, knobs):
    """The loss of some rows of a minibatch of `tokens` answer tokens."""
    own = {name: each[rows] for name, each in (batch | prepared).items()}
    policy = ppo.policy_loss(
        own["logp"], own["logp_sampled"], own["whitened"], own["is_answer"], clip_range=knobs["clip_range"]
    )
    value = ppo.value_loss(
        own["values"], own["values_sampled"], own["returns"], own["is_answer"], clip_range=knobs["value_clip_range"]
    )
    spread = ppo.answer_sum(ppo.entropy(own["logits"]), own["is_answer"])
    loss = ppo.ppo_loss(
        policy,
        value,
        spread,
        value_coefficient=knobs["value_coefficient"],
        entropy_coefficient=knobs["entropy_coefficient"],
        tokens=tokens,
    )
    return {"policy_loss": policy, "value_loss": value, "entropy": spread, "loss": loss}


def prepare(batch, knobs):
    """What a cycle computes once, before its epochs."""
    score = ppo.shaped_score(
        batch["score"],
        batch["ended"],
        missing_end_penalty=knobs["missing_end_penalty"],
        score_limit=knobs["score_limit"],
    )
    is_answer = batch["is_answer"]
    rewards = ppo.penalised_rewards(
        score, batch["logp_sampled"], batch["logp_reference"], is_answer, knobs["kl_coefficient"]
    )
    advantages, returns = ppo.advantages_and_returns(
        rewards, batch["values_sampled"], is_answer, discount=knobs["discount"], trace=knobs["trace"]
    )
    white = ppo.whitened(advantages, is_answer, ppo.moments(advantages, is_answer))
    return {"rewards": rewards, "advantages": advantages, "returns": returns, "whitened": white}


def statistics(batch, prepared, knobs):
    return ppo.update_statistics(
        batch["logp"], batch["logp_sampled"], batch["is_answer"], knobs["clip_range"]
    ) | ppo.cycle_statistics(
        batch["score"],
        batch["ended"],
        batch["logp_sampled"],
        batch["logp_reference"],
        ppo.entropy(batch["logits"]),
        batch["values_sampled"],
        prepared["advantages"],
        prepared["returns"],
        batch["is_answer"],
    )


def everything(batch, knobs):
    """Every number of the batch, in the form of the slow reference."""
    prepared = prepare(batch, knobs)
    learned = {name: batch[name].clone().requires_grad_() for name in ("logp", "values")}
    summed = losses(batch | learned, prepared, slice(None), int(batch["is_answer"].sum()), knobs)
    gradients = torch.autograd.grad(summed["policy_loss"] + summed["value_loss"], list(learned.values()))
    rows = {
        name: [row[own].tolist() for row, own in zip(each, batch["is_answer"], strict=True)]
        for name, each in prepared.items()
    }
    return {
        **rows,
        **{name: each.item() for name, each in summed.items()},
        "policy_gradient": gradients[0][batch["is_answer"]].tolist(),
        "value_gradient": gradients[1][batch["is_answer"]].tolist(),
        "statistics": statistics(batch, prepared, knobs),
    }


def same(found, expected, tolerance=1e-12):
    """Equal names and numbers, however deep."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            same(found[name], expected[name], 1e-8 if name.endswith("gradient") else tolerance)
    elif isinstance(expected, list) and isinstance(expected[0], list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other, tolerance)
    else:
        assert found == pytest.approx(expected, abs=tolerance)


@pytest.fixture
def batch():
    return padded(drawn(seed=0))


def test_every_number_of_the_golden_batch_comes_out():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    same(everything(padded(golden["answers"]), golden["knobs"]), golden["expected"])


def test_the_golden_batch_is_still_what_the_slow_reference_says():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    same(slow_ppo(golden["answers"], golden["knobs"]), golden["expected"])


@pytest.mark.parametrize("seed", range(1, 11))
def test_other_batches_agree_with_the_slow_reference_too(seed):
    answers = drawn(seed)
    same(everything(padded(answers), KNOBS), slow_ppo(answers, KNOBS))


@pytest.mark.parametrize("fill", [0.0, -1e6, float("nan")])
def test_padding_changes_nothing_wherever_it_stands_and_whatever_stands_there(fill):
    answers = drawn(seed=3)
    plain = everything(padded(answers), KNOBS)
    same(everything(padded(answers, before=2, after=3, fill=fill), KNOBS), plain)


def test_tokens_that_are_not_the_answers_get_no_gradient(batch):
    filled = padded(drawn(seed=0), before=1, after=1, fill=float("nan"))
    logp, values = filled["logp"].requires_grad_(), filled["values"].requires_grad_()
    losses(filled, prepare(filled, KNOBS), slice(None), 16, KNOBS)["loss"].backward()
    for learned in (logp, values):
        assert (learned.grad[~filled["is_answer"]] == 0).all() and (learned.grad != 0).any()


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_split_into_micro_batches_changes_no_gradient(batch, size):
    def gradients(parts):
        learned = {name: batch[name].clone().requires_grad_() for name in ("logp", "values", "logits")}
        prepared, tokens = prepare(batch, KNOBS), int(batch["is_answer"].sum())
        for rows in parts:
            losses(batch | learned, prepared, rows, tokens, KNOBS)["loss"].backward()
        return [each.grad for each in learned.values()]

    whole, split = gradients([slice(None)]), gradients([slice(at, at + size) for at in range(0, 4, size)])
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-15)


def test_before_the_first_step_every_ratio_is_exactly_one_and_nothing_is_clipped(batch):
    logp = batch["logp_sampled"].float()
    found = ppo.update_statistics(logp, logp.clone(), batch["is_answer"], clip_range=0.2)
    assert found == {"ratio_mean": 1.0, "ratio_max": 1.0, "clip_fraction": 0.0, "kl_step": 0.0}


def test_before_the_first_step_the_policy_gradient_is_that_of_the_advantage(batch):
    logp = batch["logp_sampled"].clone().requires_grad_()
    white = prepare(batch, KNOBS)["whitened"]
    ppo.policy_loss(logp, batch["logp_sampled"], white, batch["is_answer"], clip_range=0.2).backward()
    torch.testing.assert_close(logp.grad, -white)


def test_the_reference_itself_has_no_divergence(batch):
    for estimate in ppo.divergence(batch["logp"], batch["logp"].clone(), batch["is_answer"]):
        assert (estimate == 0).all()


def test_k3_is_never_negative_and_the_estimates_meet_the_true_divergence():
    generator = torch.Generator().manual_seed(0)
    policy, reference = torch.randn(2, 6, generator=generator, dtype=torch.float64).log_softmax(-1)
    tokens = torch.multinomial(policy.exp(), 200_000, replacement=True, generator=generator)[None]
    found = ppo.divergence(policy[tokens], reference[tokens], torch.ones_like(tokens, dtype=torch.bool))
    truth = (policy.exp() * (policy - reference)).sum().item()
    for estimate in (found.k1, found.k3):
        assert estimate.mean().item() == pytest.approx(truth, abs=5 * estimate.std().item() / 200_000**0.5)
    assert (found.k3 >= 0).all() and found.k3.var() < found.k1.var()


def test_no_drift_costs_nothing_and_the_score_lands_on_the_last_answer_token(batch):
    score = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    found = ppo.penalised_rewards(score, batch["logp"], batch["logp"].clone(), batch["is_answer"], kl_coefficient=0.3)
    for row, (answer, earned) in enumerate(zip(drawn(seed=0), score, strict=True)):
        last = len(answer["logp"]) - 1
        assert found[row, last] == earned and found[row].abs().sum() == earned


def test_an_answer_without_a_token_earns_nothing_and_counts_nowhere():
    nothing, logp = torch.zeros(1, 3, dtype=torch.bool), torch.randn(1, 3)
    rewards = ppo.penalised_rewards(torch.tensor([5.0]), logp, logp - 1, nothing, kl_coefficient=0.1)
    assert (rewards == 0).all()
    assert all(
        (each == 0).all() for each in ppo.advantages_and_returns(rewards, logp, nothing, discount=1.0, trace=0.9)
    )


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), before=st.integers(0, 3))
def test_the_last_token_is_the_last_of_the_mask(lengths, before):
    columns = torch.arange(before + 10)
    is_answer = torch.stack([(columns >= before) & (columns < before + length) for length in lengths])
    assert ppo.last_token(is_answer).nonzero()[:, 1].tolist() == [before + length - 1 for length in lengths]


def test_with_trace_one_the_return_is_the_discounted_sum_of_the_rewards_that_follow(batch):
    rewards = prepare(batch, KNOBS)["rewards"]
    _, returns = ppo.advantages_and_returns(
        rewards, batch["values_sampled"], batch["is_answer"], discount=0.9, trace=1.0
    )
    for row, answer in enumerate(drawn(seed=0)):
        for start in range(len(answer["logp"])):
            later = rewards[row, start : len(answer["logp"])]
            assert returns[row, start].item() == pytest.approx(sum(0.9**k * r.item() for k, r in enumerate(later)))


def test_with_trace_zero_the_advantage_is_the_error_of_one_step(batch):
    rewards, values = prepare(batch, KNOBS)["rewards"], batch["values_sampled"]
    advantages, _ = ppo.advantages_and_returns(rewards, values, batch["is_answer"], discount=0.9, trace=0.0)
    following = torch.cat([values[:, 1:], torch.zeros(4, 1)], dim=1)
    one_step = rewards + 0.9 * following - values
    torch.testing.assert_close(advantages[batch["is_answer"]], one_step[batch["is_answer"]])


def test_values_that_foresee_everything_leave_no_advantage_and_explain_all():
    rewards = torch.tensor([[0.0, 0.0, 1.0], [0.5, 0.0, 2.0]])
    values = torch.tensor([[1.0, 1.0, 1.0], [2.5, 2.0, 2.0]])
    everywhere = torch.ones(2, 3, dtype=torch.bool)
    advantages, returns = ppo.advantages_and_returns(rewards, values, everywhere, discount=1.0, trace=0.95)
    assert (advantages == 0).all() and ppo.explained_variance(values, returns, everywhere) == 1
    assert ppo.explained_variance(torch.zeros(2, 3), returns, everywhere) == pytest.approx(0)
    assert ppo.explained_variance(values, torch.ones(2, 3), everywhere) == 0


def test_whitened_advantages_have_mean_zero_and_deviation_one_over_answer_tokens(batch):
    white = prepare(batch, KNOBS)["whitened"]
    found = ppo.moments(white, batch["is_answer"])
    assert found.mean.item() == pytest.approx(0, abs=1e-12) and found.variance.item() == pytest.approx(1)


def test_a_ratio_beyond_the_clip_range_is_pushed_no_further_but_may_come_back():
    sampled, everywhere = torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool)
    logp = torch.tensor([[1.5, 1.5, 0.5, 0.5]]).log().requires_grad_()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    ppo.policy_loss(logp, sampled, advantages, everywhere, clip_range=0.2).backward()
    torch.testing.assert_close(logp.grad, torch.tensor([[0.0, 1.5, -0.5, 0.0]]))


def test_the_penalty_for_a_missing_end_survives_the_clipping_of_the_score():
    found = ppo.shaped_score(
        torch.tensor([9.0, 9.0, -0.5]), torch.tensor([True, False, False]), missing_end_penalty=1.0, score_limit=5.0
    )
    assert found.tolist() == [5.0, 4.0, -1.5]


def test_a_token_that_cannot_be_said_adds_no_entropy_and_breaks_no_gradient():
    logits = torch.tensor([[[0.0, 0.0, float("-inf")]]], requires_grad=True)
    found = ppo.entropy(logits).sum()
    found.backward()
    assert found.item() == pytest.approx(0.6931472) and logits.grad.isfinite().all()


def test_the_coefficient_follows_the_divergence_to_its_target():
    steady = {"target": 6.0, "horizon": 10_000, "answers": 64}
    assert ppo.adapted_kl_coefficient(0.2, 6.0, **steady) == 0.2
    assert ppo.adapted_kl_coefficient(0.2, 6.6, **steady) == pytest.approx(0.2 * (1 + 0.1 * 64 / 10_000))
    assert ppo.adapted_kl_coefficient(0.2, 600.0, **steady) == pytest.approx(0.2 * (1 + 0.2 * 64 / 10_000))
    assert ppo.adapted_kl_coefficient(0.2, 0.0, **steady) == pytest.approx(0.2 * (1 - 0.2 * 64 / 10_000))
    with pytest.raises(ValueError, match="horizon"):
        ppo.adapted_kl_coefficient(0.2, 6.0, target=6.0, horizon=10, answers=64)


def test_a_policy_whose_divergence_falls_with_the_coefficient_settles_at_the_target():
    coefficient = 0.01
    for _ in range(2000):
        coefficient = ppo.adapted_kl_coefficient(coefficient, 1 / coefficient, target=6.0, horizon=1000, answers=64)
    assert 1 / coefficient == pytest.approx(6.0, rel=1e-3)


def test_the_shapes_and_types_in_the_signatures_hold(batch, monkeypatch):
    for name, function in vars(ppo).copy().items():
        if getattr(function, "__module__", None) == ppo.__name__ and not isinstance(function, type):
            monkeypatch.setattr(ppo, name, jaxtyped(typechecker=beartype)(function))
    everything(batch, KNOBS)
    with pytest.raises(Exception, match="is_answer"):
        ppo.answer_sum(batch["logp"], batch["is_answer"][:, :2])
