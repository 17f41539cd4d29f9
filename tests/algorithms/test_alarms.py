"""The alarms keep silent while a small policy learns what is wanted, and ring when it games a poor reward.

The policy is a table: the next word's law given the word before. It is trained by the functions of `ppo`, as a stage
would, but without a language model's price.
"""

import pytest
import torch

from plumbline.algorithms import alarms as bell
from plumbline.algorithms import ppo
from plumbline.algorithms.diversity import distinct, repetition

WORDS, LONGEST, ANSWERS = 8, 10, 64
END, SORRY, THANKS, START = 0, 3, 5, WORDS
LIMITS = bell.Limits(
    window=5,
    kl_budget=6.0,
    kl_noise=4.0,
    length_factor=1.6,
    repetition_rise=0.25,
    entropy_share=0.4,
    distinct_share=0.4,
    ended_fall=0.3,
    second_fall=0.5,
)


def kind(answers):
    """The gold score: one "sorry" is polite, three and more are not."""
    apologies = (answers == SORRY).sum(1).float()
    return apologies.clamp(max=1) - 0.5 * (apologies - 2).clamp(min=0)


def decent(answers):
    """A good reward model: the gold score, and a small taste of its own."""
    return kind(answers) + 0.3 * (answers == THANKS).any(1)


def servile(answers):
    """A poor reward model: the more apologies, the better."""
    return (answers == SORRY).sum(1).float()


def table_of(logits, before):
    return logits[before].log_softmax(-1)


def sample(logits, generator):
    """Answers, the words before each of theirs, and True on the words up to the end."""
    before, columns = torch.full((ANSWERS,), START), []
    for _ in range(LONGEST):
        columns.append(torch.multinomial(table_of(logits, before).exp(), 1, generator=generator)[:, 0])
        before = columns[-1]
    answers = torch.stack(columns, 1)
    ends = answers == END
    is_answer = (ends.cumsum(1) - ends.long()) == 0
    return answers, torch.cat([torch.full((ANSWERS, 1), START), answers[:, :-1]], 1), is_answer


def train(seed, scorer, kl_coefficient, cycles):
    """The history of a run: a dictionary of numbers for each cycle."""
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(WORDS + 1, WORDS, generator=generator) * 0.3
    reference[:, END] += 0.5
    logits, values = reference.clone().requires_grad_(), torch.zeros(LONGEST, WORDS + 1, requires_grad=True)
    optimiser = torch.optim.Adam([logits, values], lr=0.03)
    start = sample(reference, generator)
    scale, gold_scale = (
        (float(each.mean()), float(each.std())) for each in (score(start[0] * start[2]) for score in (scorer, kind))
    )
    history = []
    for _ in range(cycles):
        answers, before, is_answer = sample(logits.detach(), generator)
        said, when = answers * is_answer, torch.arange(LONGEST)

        def own(table, answers=answers, before=before):
            return table_of(table, before).gather(2, answers[:, :, None])[:, :, 0]

        sampled, referred, foreseen = own(logits).detach(), own(reference), values[when, before].detach()
        raw, ended = scorer(said), (said == END).logical_and(is_answer).any(1)
        score = (raw - scale[0]) / scale[1]
        earned = ppo.shaped_score(score, ended, missing_end_penalty=1.0, score_limit=20.0)
        rewards = ppo.penalised_rewards(earned, sampled, referred, is_answer, kl_coefficient)
        advantages, returns = ppo.advantages_and_returns(rewards, foreseen, is_answer, discount=1.0, trace=0.95)
        white = ppo.whitened(advantages, is_answer, ppo.moments(advantages, is_answer))
        entropies = ppo.entropy(logits[before]).detach()
        texts = [" ".join(map(str, row[mask].tolist())) for row, mask in zip(answers, is_answer, strict=True)]
        history.append(
            ppo.cycle_statistics(score, ended, sampled, referred, entropies, foreseen, advantages, returns, is_answer)
            | {
                "repetition": repetition(texts, 1),
                "distinct": distinct(texts, 2),
                "second_score": float(((kind(said) - gold_scale[0]) / gold_scale[1]).mean()),
            }
        )
        for _ in range(4):
            optimiser.zero_grad()
            loss = ppo.ppo_loss(
                ppo.policy_loss(own(logits), sampled, white, is_answer, clip_range=0.2),
                ppo.value_loss(values[when, before], foreseen, returns, is_answer, clip_range=0.2),
                ppo.answer_sum(ppo.entropy(logits[before]), is_answer),
                value_coefficient=1.0,
                entropy_coefficient=0.0,
                tokens=int(is_answer.sum()),
            )
            loss.backward()
            optimiser.step()
    return history


ALL = {"kl", "long answers", "repetition", "entropy", "distinct", "ended", "reward hacking"}


@pytest.mark.parametrize("seed", range(10))
def test_no_alarm_rings_at_any_cycle_of_a_healthy_run(seed):
    history = train(seed, decent, kl_coefficient=0.3, cycles=30)
    assert history[-1]["second_score"] > history[0]["second_score"] + 0.3
    assert [bell.alarms(history[:end], LIMITS) for end in range(1, 31)] == [[]] * 30


@pytest.mark.parametrize("seed", range(10))
def test_every_alarm_rings_where_a_poor_reward_is_followed_without_a_leash(seed):
    history = train(seed, servile, kl_coefficient=0.0, cycles=30)
    rung = bell.alarms(history, LIMITS)
    assert {alarm.name for alarm in rung} == ALL
    assert bell.alarms(history[:1], LIMITS) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_leash_alone_keeps_a_poor_reward_from_doing_harm(seed):
    history = train(seed, servile, kl_coefficient=1.0, cycles=30)
    assert not {"kl", "reward hacking", "entropy"} & {alarm.name for alarm in bell.alarms(history, LIMITS)}


@pytest.mark.parametrize("seed", range(3))
def test_the_divergence_is_zero_before_the_first_update_and_never_negative_beyond_noise(seed):
    history = train(seed, decent, kl_coefficient=0.3, cycles=10)
    assert history[0]["kl_k1"] == history[0]["kl_k2"] == history[0]["kl_k3"] == 0
    assert all(cycle["kl_k3"] >= 0 and cycle["kl_k1"] >= -4 * cycle["kl_error"] for cycle in history)


NORMAL = {
    "kl_k1": 1.0,
    "kl_error": 0.1,
    "score": 0.0,
    "length": 10.0,
    "entropy": 2.0,
    "ended": 0.9,
    "repetition": 0.0,
    "distinct": 0.5,
}


def history_of(**series):
    """Cycles that are normal but for the given series."""
    return [NORMAL | dict(zip(series, values, strict=True)) for values in zip(*series.values(), strict=True)]


@pytest.mark.parametrize(
    ("name", "measure", "value", "limit"),
    [
        ("kl", "kl_k1", 7.0, 6.0),
        ("long answers", "length", 17.0, 16.0),
        ("short answers", "length", 6.0, 10 / 1.6),
        ("repetition", "repetition", 0.3, 0.25),
        ("entropy", "entropy", 0.7, 0.8),
        ("distinct", "distinct", 0.1, 0.2),
        ("ended", "ended", 0.5, 0.6),
    ],
)
def test_an_alarm_says_what_was_seen_the_limit_and_since_when(name, measure, value, limit):
    limits = LIMITS._replace(window=1)
    normal = NORMAL[measure]
    history = history_of(**{measure: [normal, value, normal, normal, value, value]})
    assert bell.alarms(history, limits) == [(name, value, pytest.approx(limit), 4)]
    assert bell.alarms(history[:4], limits) == []


def test_an_alarm_reads_as_a_sentence():
    assert str(bell.Alarm("kl", 7.25, 6.0, 4)) == "kl: 7.25 is above 6 since cycle 4"
    assert str(bell.Alarm("entropy", 0.5, 0.8, 0)) == "entropy: 0.5 is below 0.8 since cycle 0"


def test_one_odd_cycle_is_smoothed_away():
    assert bell.alarms(history_of(length=[10.0, 10.0, 10.0, 10.0, 30.0]), LIMITS) == []
    assert bell.alarms(history_of(length=[10.0, 10.0, 10.0, 10.0, 30.0]), LIMITS._replace(window=1)) != []


def test_a_divergence_below_zero_is_noise_within_its_standard_error_and_an_alarm_beyond():
    noise, bias = history_of(kl_k1=[0.0, -0.1, 0.05, -0.05]), history_of(kl_k1=[0.0] + [-1.0] * 5)
    assert bell.alarms(noise, LIMITS) == []
    assert [(alarm.name, alarm.since) for alarm in bell.alarms(bias, LIMITS)] == [("negative kl", 1)]


def test_a_small_divergence_below_zero_is_believed_once_several_cycles_show_it():
    bias = history_of(kl_k1=[-0.25] * 5)  # one cycle may be 4 x 0.1 below zero, the mean of five 4 x 0.1 / sqrt(5)
    assert bell.alarms(bias[:1], LIMITS) == []
    assert [alarm.name for alarm in bell.alarms(bias, LIMITS)] == ["negative kl"]


def test_rounding_below_zero_is_no_alarm():
    assert bell.alarms(history_of(kl_k1=[-1e-6] * 3, kl_error=[0.0] * 3), LIMITS) == []


def test_a_second_score_that_falls_with_the_first_is_no_hacking_and_one_that_falls_while_it_rises_is():
    limits, falling = LIMITS._replace(window=1), [0.0, 1.0, 0.8, 0.3, 0.2]
    both = history_of(score=falling, second_score=falling)
    apart = history_of(score=[0.0, 1.0, 1.2, 1.4, 1.6], second_score=falling)
    assert bell.alarms(both, limits) == []
    assert bell.alarms(apart, limits) == [("reward hacking", pytest.approx(0.8), 0.5, 3)]
