"""The loop of PPO learns, is honest about how far it went, and depends on nothing that it should not depend on."""

from contextlib import suppress
from pathlib import Path

import pytest
import torch

from benchmarks.kills import load_all_but
from plumbline.checkpoints import Checkpoints
from plumbline.errors import DataError, DivergenceError
from plumbline.models import reinforcement
from plumbline.models.encode import token_ids
from plumbline.models.load import load_model
from plumbline.models.policy import Policy
from plumbline.models.reinforcement import Scorer, reinforce
from plumbline.models.state import learning
from plumbline.params import Ppo, load_params

DEFAULT = load_params(Path("params.yaml")).ppo
PARAMS = Ppo.model_validate(
    DEFAULT.model_dump()
    | {
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": "attention"},
        "cycles": 5, "batch": 8, "minibatch": 4, "micro_batch": 2, "sampling_batch": 8, "max_new_tokens": 6,
        "learning_rate": 1.0e-2, "step_kl_limit": 1.0, "checkpoint_every": 2, "value_coefficient": 0.5,
        "entropy_coefficient": 0.01,
        "kl": {"coefficient": 0.02, "control": "adaptive", "target": 0.05, "horizon": 40},
        "precision": "float32",
    }
)  # fmt: skip
PARAMS = PARAMS.model_copy(update={"lora": PARAMS.lora.model_copy(update={"dropout": 0.3})})  # which must not matter
TEXTS = [f"order {number} of the copper kettle arrives"[: 12 + number] for number in range(20)]
TIMES = ("sampled_tokens_per_second", "learned_tokens_per_second")


def share_of_e(prompts, answers):
    """A reward that nothing in the data knows of: how many of the first six letters are an e."""
    return [4 * text[:6].count("e") / 6 for text in answers]


class Killed(BaseException):
    """Stands for SIGKILL, which leaves no time for anything."""


def run(folder, tokenizer, score=share_of_e, checkpoints=None, killed_at=None, watched=None, **knobs):
    """Learning weights, what was told, and the healthy weights of a run; of one that is killed, as far as it came."""
    told, healthy = [], None
    policy = Policy(load_model(folder), PARAMS.model_copy(update=knobs))

    def report(cycle):
        if cycle.number == killed_at:
            raise Killed
        numbers = {name: value for name, value in cycle.numbers.items() if name not in TIMES}
        told.append((cycle.number, numbers, [alarm.name for alarm in cycle.alarms]))

    torch.manual_seed(killed_at or 0)  # the world that a new process finds is another one
    with suppress(Killed):
        healthy = reinforce(
            policy, tokenizer, TEXTS, {"e": Scorer(score, 1.0)}, watched or {}, PARAMS.model_copy(update=knobs), report,
            checkpoints,
        )  # fmt: skip
    return learning(policy), told, healthy


def same(one, other):
    return all(torch.equal(weight, other[0][name]) for name, weight in one[0].items()) and one[1:2] == other[1:2]


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_mean_reward_rises_clearly(model_folder, tokenizer, family):
    def vowels(prompts, answers):
        return [5 * sum(letter in "aeiou" for letter in text) / max(len(text), 1) for text in answers]

    knobs = {"lora": None, "cycles": 10, "batch": 64, "minibatch": 16, "micro_batch": 16, "sampling_batch": 64,
             "learning_rate": 3.0e-2, "kl": PARAMS.kl.model_copy(update={"coefficient": 0.0, "control": "fixed"})}  # fmt: skip
    _, told, _ = run(model_folder(family), tokenizer, score=vowels, **knobs)
    scores = [numbers["score"] for _, numbers, _ in told]
    assert sum(scores[-3:]) / 3 > scores[0] + 1.0 and told[0][1]["score_deviation"] < 0.6
    assert told[-1][1]["kl_k1"] > 1.0 and told[-1][1]["entropy"] < told[0][1]["entropy"]


@pytest.mark.parametrize(("precision", "gap"), [("float32", 1e-4), ("bfloat16", 0.1)])
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bart"])
def test_the_policy_begins_as_the_reference_and_every_first_ratio_is_one(
    model_folder, tokenizer, family, precision, gap
):
    _, told, _ = run(model_folder(family), tokenizer, precision=precision)
    assert [numbers["first_ratio"] for _, numbers, _ in told] == [1.0] * 5
    assert told[0][1]["kl_k1"] == told[0][1]["kl_k2"] == told[0][1]["kl_k3"] == 0.0
    assert all(numbers["kl_k3"] > 0 and numbers["kl_k1"] > -4 * numbers["kl_error"] for _, numbers, _ in told[1:])
    assert all(numbers["sampling_gap"] < gap for _, numbers, _ in told)


@pytest.mark.parametrize("family", ["llama", "t5"])
@pytest.mark.parametrize("values", ["shared", "separate"])
def test_gradients_do_not_depend_on_how_a_minibatch_is_divided(model_folder, tokenizer, family, values):
    found = {}
    for micro_batch in (1, 2, 8):
        params = PARAMS.model_copy(update={"minibatch": 8, "micro_batch": micro_batch, "values": values})
        policy = Policy(load_model(model_folder(family)), params)
        torch.manual_seed(1)
        with torch.no_grad():
            for weight in learning(policy).values():
                weight += 0.05 * torch.randn_like(weight)
        prompts = token_ids(tokenizer, TEXTS[:8])
        samples = reinforcement.sample_answers(policy, tokenizer, prompts, params, "cycle", 0)
        answers = [each.ids[: 1 + row % 6] for row, each in enumerate(samples)]  # of different lengths
        samples = [each._replace(ids=ids) for each, ids in zip(samples, answers, strict=True)]
        minibatches = reinforcement.divided(policy, prompts, answers, params)
        seen = reinforcement.experience(policy, minibatches, samples)
        drawn = torch.Generator().manual_seed(2)
        advantages, returns = (torch.randn(seen.logp.shape, generator=drawn) for _ in range(2))
        seen = seen._replace(logp=seen.logp + 0.3 * torch.randn(seen.logp.shape, generator=drawn))
        statistics = reinforcement.gradients(policy, minibatches[0], seen, advantages, returns, params)
        found[micro_batch] = {name: weight.grad for name, weight in learning(policy).items()} | {
            name: torch.tensor(value) for name, value in statistics.items()
        }
    for name, one in found[1].items():
        for other in (found[2][name], found[8][name]):
            torch.testing.assert_close(one, other, atol=3e-6, rtol=3e-4, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_killed_run_ends_in_the_weights_and_reports_of_an_undisturbed_one(model_folder, tokenizer, tmp_path, family):
    whole = run(model_folder(family), tokenizer)
    checkpoints = Checkpoints(tmp_path, 2)
    for killed_at in (2, 4, 5):  # before any checkpoint, after the first, after the second
        run(model_folder(family), tokenizer, checkpoints=checkpoints, killed_at=killed_at)
    assert same(run(model_folder(family), tokenizer, checkpoints=checkpoints), whole)


def noisy(prompts, answers):
    """A scorer that draws random numbers of its own, as a model with dropout would."""
    return [score + 0.1 * float(torch.rand(())) for score in share_of_e(prompts, answers)]


STATEFUL = {"score": noisy, "alarms": PARAMS.alarms.model_copy(update={"window": 1, "kl_budget": 1e-9}), "cycles": 4}


@pytest.fixture(scope="module")
def undisturbed(model_folder, tokenizer):
    """A run whose scorer draws random numbers and whose alarm rings before its first checkpoint."""
    whole = run(model_folder("t5"), tokenizer, **STATEFUL)
    assert whole[2] is not None and not whole[1][0][2] and all(names for _, _, names in whole[1][1:])
    return whole


@pytest.mark.parametrize(
    "dropped", ["nothing", "policy", "values", "optimisers", "random", "kl_coefficient", "history", "healthy"]
)
def test_every_piece_of_the_state_is_needed(model_folder, tokenizer, undisturbed, tmp_path, monkeypatch, dropped):
    run(model_folder("t5"), tokenizer, checkpoints=Checkpoints(tmp_path, 2), killed_at=4, **STATEFUL)
    assert [each.name for each in tmp_path.iterdir()] == ["step-00000002"]
    drop(monkeypatch, dropped)
    resumed = run(model_folder("t5"), tokenizer, checkpoints=Checkpoints(tmp_path, 0), **STATEFUL)
    kept = undisturbed[2].keys() == (resumed[2] or {}).keys() and all(
        torch.equal(weight, resumed[2][name]) for name, weight in undisturbed[2].items()
    )
    assert (same(resumed, undisturbed) and kept) == (dropped == "nothing")


def drop(monkeypatch, piece):
    """Have the loop forget one piece of its state."""
    read = reinforcement.read_json
    match piece:
        case "policy" | "values":
            monkeypatch.setattr(reinforcement, "load_weights", lambda *where: load_all_but(piece, *where))
        case "optimisers" | "random":
            monkeypatch.setattr(reinforcement, f"load_{piece}", lambda *_: None)
        case "kl_coefficient":
            monkeypatch.setattr(reinforcement, "read_json", lambda file: read(file) | {"kl_coefficient": 0.02})
        case "history":
            monkeypatch.setattr(reinforcement, "read_json", lambda file: read(file) | {"history": []})
        case "healthy":
            monkeypatch.setattr(reinforcement, "load_file", lambda file: {})


def test_an_alarm_keeps_the_policy_as_it_last_was_without_one_and_may_end_the_run(model_folder, tokenizer):
    quiet = run(model_folder("llama"), tokenizer)
    assert quiet[2] is None and len(quiet[1]) == 5
    loose = PARAMS.alarms.model_copy(update={"window": 1, "kl_budget": 1e-9})
    knobs = {"alarms": loose, "seed": 3}  # whose answers of the second cycle show the drift; it is an estimate
    loud = run(model_folder("llama"), tokenizer, **knobs)
    first = Policy(load_model(model_folder("llama")), PARAMS.model_copy(update={"seed": 3}))
    assert loud[1][0][2] == [] and any("kl" in names for _, _, names in loud[1])
    rung = [number for number, _, names in loud[1] if names]
    assert rung[0] == 2 and not same((loud[2], 0), (loud[0], 0))
    stopped = run(model_folder("llama"), tokenizer, stop_on_alarm=True, **knobs)
    assert [number for number, _, _ in stopped[1]] == [1, 2]
    assert "policy_loss" in stopped[1][-2][1] and "policy_loss" not in stopped[1][-1][1]
    assert all(torch.equal(weight, stopped[2][name]) for name, weight in learning(first).items())


def test_what_is_watched_is_told_and_never_learned_from(model_folder, tokenizer):
    calls = []

    def gold(prompts, answers):
        calls.append((list(prompts), list(answers)))
        return [len(text) for text in answers]

    plain = run(model_folder("llama"), tokenizer)
    seen = run(model_folder("llama"), tokenizer, watched={"second_score": gold})
    assert all(torch.equal(weight, plain[0][name]) for name, weight in seen[0].items())
    means = [sum(map(len, answers)) / 8 for _, answers in calls]
    assert [numbers["second_score"] for _, numbers, _ in seen[1]] == pytest.approx(means)
    assert all(prompt in TEXTS for prompts, _ in calls for prompt in prompts)


def test_scores_of_several_scorers_are_added_by_weight(model_folder, tokenizer):
    params = PARAMS.model_copy(update={"cycles": 1})
    told = []
    scorers = {"e": Scorer(share_of_e, 2.0), "long": Scorer(lambda _, answers: [len(each) for each in answers], -0.5)}
    policy = Policy(load_model(model_folder("llama")), params)
    reinforce(policy, tokenizer, TEXTS, scorers, {}, params, told.append)
    numbers = told[0].numbers
    assert numbers["score"] == pytest.approx(2 * numbers["score.e"] - 0.5 * numbers["score.long"], abs=1e-5)


def test_epochs_end_where_the_policy_has_moved_far_enough(model_folder, tokenizer):
    _, told, _ = run(model_folder("llama"), tokenizer, epochs=6, step_kl_limit=1e-4, learning_rate=0.05)
    assert all(numbers["stopped_early"] == 1.0 and numbers["passes"] < 6 for _, numbers, _ in told)
    _, told, _ = run(model_folder("llama"), tokenizer, epochs=3, step_kl_limit=1e9)
    assert all(numbers["stopped_early"] == 0.0 and numbers["passes"] == 3 for _, numbers, _ in told)


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    ("score", "says"),
    [
        (lambda _, answers: [1.0] * (len(answers) - 1) + [float("nan")], "gives nan to the answer '"),
        (lambda _, answers: [float("inf")] * len(answers), "gives inf to the answer '"),
        (lambda _, answers: [1.0], "1 scores of 8 answers; let it give one to each"),
    ],
)
def test_a_scorer_that_does_not_give_each_answer_a_number_is_named(model_folder, tokenizer, score, says, watched):
    given = {"watched": {"second": score}} if watched else {"score": score}
    with pytest.raises(DataError, match=f"^scorer {'second' if watched else 'e'}: {says}"):
        run(model_folder("llama"), tokenizer, **given)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_no_number_ends_the_run_with_the_cycle_before_it_gets_into_the_weights(
    model_folder, tokenizer, monkeypatch, what
):
    policy, told = Policy(load_model(model_folder("llama")), PARAMS), []

    def gradients(*given):
        found = original(*given)
        if what == "loss":
            return found | {"policy_loss": float("nan")}
        next(iter(learning(policy).values())).grad.fill_(float("inf"))
        return found

    original = reinforcement.gradients
    monkeypatch.setattr(reinforcement, "gradients", gradients)
    with pytest.raises(DivergenceError, match=f"the {what} is not a number in cycle 1;"):
        reinforce(policy, tokenizer, TEXTS, {"e": Scorer(share_of_e, 1.0)}, {}, PARAMS, told.append)
    assert told == [] and all(torch.isfinite(weight).all() for weight in learning(policy).values())


def test_prompts_come_once_in_every_pass_in_an_order_of_the_seed_alone():
    params = PARAMS.model_copy(update={"batch": 8})
    drawn = [row for cycle in range(5) for row in reinforcement.prompts_of(cycle, 20, params)]
    assert sorted(drawn[:20]) == sorted(drawn[20:]) == list(range(20)) and drawn[:20] != drawn[20:]
    torch.manual_seed(3)
    assert drawn[16:24] == reinforcement.prompts_of(2, 20, params)
    assert drawn[:8] != reinforcement.prompts_of(0, 20, params.model_copy(update={"seed": 9}))
    many = reinforcement.prompts_of(1, 3, params)  # fewer prompts than a cycle asks
    assert len(many) == 8 and {many.count(row) for row in range(3)} <= {2, 3}


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_the_end():
    params = PARAMS.model_copy(update={"cycles": 10, "warmup": 0.2})
    assert [round(reinforcement.rate(cycle, params), 3) for cycle in range(10)] == [
        0.333, 0.667, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125,
    ]  # fmt: skip
