"""Training on rankings: what it learns, what must not change it, and that a killed run ends as an undisturbed one."""

from collections import Counter
from contextlib import nullcontext, suppress
from itertools import permutations

import pytest
import torch
from safetensors.torch import load_file

from plumbline.checkpoints import Checkpoints
from plumbline.errors import DivergenceError
from plumbline.models import ranking
from plumbline.models.ranking import encoded, learning_rate, losses, train_scorer, votes_and_ranks
from plumbline.models.scorer import Scorer, new_scorer, raw_scores
from plumbline.params import LoraSize, Reward
from plumbline.rows import Preference, Ranking

PARAMS = Reward(
    seed=1, start="base", lora=None, epochs=1.5, batch=8, micro_batch=4, learning_rate=3.0e-3, warmup=0.1,
    weight_decay=0.01, gradient_clip=1.0, precision="float32", gradient_checkpointing=False, checkpoint_every=5,
    margin=0.0, centring=0.01, resamples=100, shown_pairs=2,
)  # fmt: skip
LORA = LoraSize(rank=2, alpha=4, dropout=0.2, targets="attention")


def votes(*people):
    """The pairs of a row on which these people's rankings agree or not, a tie half a vote each way."""
    counted = Counter()
    for ranks in people:
        for one, other in permutations(range(len(ranks)), 2):
            counted[one, other] += (ranks[one] < ranks[other]) + 0.5 * (ranks[one] == ranks[other])
    return [Preference(better=one, worse=other, votes=number) for (one, other), number in counted.items() if number]


def ranked(number, *people):
    """Three completions; unless `people` rank them otherwise, the more May the better."""
    people = people or ([2, 3, 1],)
    return Ranking(
        id=str(number), task="reply", group=str(number), prompt=f"order {number}", ranks=people[0], pairs=votes(*people),
        completions=[f"arrives on {number % 28 + 1} May", f"arrives {number}", "May on May, Lotte"],
        raters=[str(rater) for rater in range(len(people))], source_file="f", source_line=1,
    )  # fmt: skip


def rows(count):
    return [ranked(number) for number in range(count)]


def ignore(step, values):
    pass


def learned(scorer):
    return torch.cat([weight.detach().flatten() for weight in scorer.parameters() if weight.requires_grad])


def learned_gradients(scorer):
    return torch.cat([weight.grad.flatten() for weight in scorer.parameters() if weight.grad is not None])


def test_the_tables_of_rows_hold_every_vote_and_rank_and_nothing_else():
    two = ranked(1, [1, 2], [1, 1]).model_copy(update={"completions": ["x", "y"]})
    counted, ranks = votes_and_ranks([two, ranked(2, [1, 2, 3], [2, 1, 3])])
    assert counted.tolist() == [
        [[0, 1.5, 0], [0.5, 0, 0], [0, 0, 0]],
        [[0, 1, 2], [1, 0, 2], [0, 0, 0]],
    ]
    assert ranks.tolist() == [[1, 2, 0], [1, 2, 3]]


@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
def test_a_scorer_learns_what_people_prefer_and_the_curve_says_so(model_folder, family):
    seen = []
    scorer = new_scorer(model_folder(family), None, 1)
    params = PARAMS.model_copy(update={"learning_rate": 1.0e-2})
    train_scorer(scorer, rows(48), rows(60)[48:], params, lambda step, values: seen.append((step, values)))
    validations = [values for _, values in seen if "validation_accuracy" in values]
    assert validations[-1]["validation_accuracy"] > 0.95
    assert validations[-1]["validation_loss"] < 0.5 * validations[0]["validation_loss"]
    assert (seen[0][0], seen[-1][0]) == (0, 9) and not scorer.training
    told = [values for _, values in seen if "loss" in values]
    assert len(told) == 9 and told[-1]["accuracy"] > 0.9
    assert all(set(values) == {"loss", "accuracy", "learning_rate", "tokens_per_second"} for values in told)


@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
def test_the_micro_batch_changes_no_gradient(model_folder, family):
    batch = [*rows(6), ranked(6, [1, 2, 3], [3, 1, 2], [1, 1, 1]), ranked(7, [2, 3, 1], [2, 1, 3])]
    gradients = []
    for size in (8, 3, 1):
        scorer = new_scorer(model_folder(family), None, 1)
        candidates = encoded(scorer, batch)
        for start in range(0, len(batch), size):
            part = slice(start, start + size)
            losses(scorer, candidates[part], batch[part], PARAMS)[0].div(len(batch)).backward()
        gradients.append(learned_gradients(scorer))
    scale = gradients[0].abs().max().item()
    assert all(torch.allclose(gradients[0], other, atol=1e-5 * scale, rtol=1e-3) for other in gradients[1:])


@pytest.mark.parametrize("family", ["llama", "t5", "bert"])
def test_a_lora_learns_within_the_weights_what_it_learns_beside_them(model_folder, family, monkeypatch):
    scorer = new_scorer(model_folder(family), LORA.model_copy(update={"dropout": 0.0}), 1).train()
    with torch.no_grad():
        for weight in scorer.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)

    def learned_from():
        scorer.zero_grad()
        loss, _ = losses(scorer, encoded(scorer, rows(4)), rows(4), PARAMS)
        loss.backward()
        return loss.item(), learned_gradients(scorer)

    within = learned_from()
    monkeypatch.setattr(Scorer, "folded", lambda _: nullcontext())
    beside = learned_from()
    assert within[0] == pytest.approx(beside[0], rel=1e-5)
    torch.testing.assert_close(within[1], beside[1], atol=1e-5 * beside[1].abs().max().item(), rtol=1e-3)
    assert not torch.equal(within[1], beside[1])  # it was another way


@pytest.mark.parametrize("change", [{"dropout": 0.2}, {"recompute": True}])
def test_a_lora_stays_beside_the_weights_where_it_would_learn_something_else_in_them(model_folder, change):
    lora = LORA.model_copy(update={"dropout": change.get("dropout", 0.0)})
    scorer = new_scorer(model_folder("llama"), lora, 1).train()
    if "recompute" in change:
        scorer.model.activation_checkpointing_enable({"use_reentrant": False})
    weights = {name: weight.clone() for name, weight in scorer.named_parameters()}
    with torch.no_grad():
        for name, weight in scorer.named_parameters():
            if "lora_B" in name:
                weight.add_(1.0)
    with scorer.folded():
        assert all(torch.equal(w, weights[name]) for name, w in scorer.named_parameters() if "lora_B" not in name)
    scorer.model.activation_checkpointing_disable()
    with scorer.eval().folded():
        assert not all(torch.equal(w, weights[name]) for name, w in scorer.named_parameters() if "lora_B" not in name)


def test_the_micro_batch_does_not_change_the_result(model_folder):
    results = []
    for size in (8, 2):
        scorer = new_scorer(model_folder("llama"), None, 1)
        train_scorer(scorer, rows(24), rows(2), PARAMS.model_copy(update={"micro_batch": size}), ignore)
        results.append(torch.tensor(raw_scores(scorer, encoded(scorer, rows(4)), 4)))
    assert torch.allclose(*results, atol=1e-3)


def test_people_who_agree_weigh_as_one_and_who_disagree_cancel_out(model_folder):
    scorer = new_scorer(model_folder("llama"), None, 1).eval()
    one, three = rows(2), [ranked(number, *[[2, 3, 1]] * 3) for number in range(2)]
    candidates = encoded(scorer, one)
    expected, agreed = losses(scorer, candidates, one, PARAMS)
    found, thrice = losses(scorer, candidates, three, PARAMS)
    assert torch.allclose(found, expected) and torch.equal(thrice, 3 * agreed) and thrice[1] == 18
    torn = ranked(0, [2, 3, 1], [2, 1, 3])
    losses(scorer, candidates[:1], [torn], PARAMS.model_copy(update={"centring": 0.0}))[0].backward()
    assert scorer.head.bias.grad.abs().item() < 1e-6


def test_prompts_of_nothing_but_ties_are_learned_from_and_have_no_accuracy(model_folder):
    scorer = new_scorer(model_folder("llama"), None, 1)
    before, seen = learned(scorer), []
    params = PARAMS.model_copy(update={"epochs": 1.0})
    tied = [ranked(number, [1, 1, 1]) for number in range(8)]
    train_scorer(scorer, tied, rows(2), params, lambda step, values: seen.append(values))
    assert not torch.equal(learned(scorer), before)
    assert [set(values) for values in seen if "loss" in values] == [{"loss", "learning_rate", "tokens_per_second"}]


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    rates = [learning_rate(step, 100, PARAMS) for step in range(100)]
    assert rates[9] == max(rates) == PARAMS.learning_rate and rates[0] == pytest.approx(rates[9] / 10)
    assert rates[10:] == sorted(rates[10:], reverse=True) and 0 < rates[99] < 1e-3 * rates[9]


def test_the_first_loss_that_is_no_number_ends_the_run_with_its_step(model_folder):
    scorer = new_scorer(model_folder("llama"), None, 1)
    with torch.no_grad():
        scorer.head.weight.fill_(float("nan"))
    with pytest.raises(DivergenceError, match="step 1"):
        train_scorer(scorer, rows(8), rows(1), PARAMS, ignore)


def test_a_gradient_that_is_no_number_never_gets_into_the_weights(model_folder):
    scorer = new_scorer(model_folder("llama"), None, 1)
    scorer.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(DivergenceError, match=r"the gradient's norm is (inf|nan) at step 1;"):
        train_scorer(scorer, rows(8), rows(1), PARAMS, ignore)
    assert all(torch.isfinite(weight).all() for weight in scorer.parameters())


@pytest.mark.parametrize("change", [{"precision": "bfloat16"}, {"gradient_checkpointing": True}])
def test_the_ways_to_save_time_and_memory_leave_the_scores_about_as_they_are(model_folder, change):
    results = []
    for update in ({}, change):
        scorer = new_scorer(model_folder("llama"), None, 1)
        train_scorer(scorer, rows(8), rows(1), PARAMS.model_copy(update={"epochs": 1.0, **update}), ignore)
        results.append(torch.tensor(raw_scores(scorer, encoded(scorer, rows(4)), 4)))
    assert torch.allclose(*results, atol=0.1) and not torch.allclose(results[0], torch.zeros_like(results[0]), atol=0.1)


class Killed(BaseException):
    """Stands for SIGKILL, which leaves no time for anything."""


def run(model_folder, checkpoints, killed_at=None, lora=LORA):
    """What was learned and reported; of a run that is killed after step `killed_at`, as far as it came."""
    scorer, told = new_scorer(model_folder("llama"), lora, 1), []

    def report(step, values):
        if killed_at is not None and step >= killed_at:
            raise Killed
        told.append((step, {name: value for name, value in values.items() if name != "tokens_per_second"}))

    params = PARAMS.model_copy(update={"epochs": 2.4})
    torch.manual_seed(killed_at or 0)  # the world that a new process finds is another one
    with suppress(Killed):
        train_scorer(scorer, rows(40), rows(3), params, report, checkpoints)
    return learned(scorer), told


@pytest.fixture
def short(monkeypatch):
    """Reports every fourth step, so that a checkpoint falls between two."""
    monkeypatch.setattr(ranking, "CURVE_POINTS", 3)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path, 5)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_a_killed_run_ends_in_the_weights_and_reports_of_an_undisturbed_one(model_folder, checkpoints, short, lora):
    weights, told = run(model_folder, None, lora=lora)
    assert [step for step, values in told if "loss" in values] == [4, 8, 12]
    for killed_at in (4, 8, 12):  # before any checkpoint, after the first, after the second
        run(model_folder, checkpoints, killed_at, lora)
    resumed = run(model_folder, checkpoints, lora=lora)
    assert torch.equal(resumed[0], weights) and resumed[1] == told
    assert torch.equal(run(model_folder, checkpoints, lora=lora)[0], weights)


def test_a_frozen_base_is_no_part_of_the_state(model_folder, checkpoints, short):
    run(model_folder, checkpoints, killed_at=8)
    kept = load_file(checkpoints.newest() / "weights.safetensors")
    assert all(name.startswith("head.") or "lora_" in name for name in kept)


@pytest.mark.parametrize("dropped", ["weights", "optimisers", "random", "curve"])
def test_every_piece_of_the_state_is_needed(model_folder, checkpoints, short, monkeypatch, dropped):
    weights, told = run(model_folder, None)
    run(model_folder, checkpoints, killed_at=8)
    if dropped == "curve":
        monkeypatch.setattr(ranking.Curve, "restore", lambda *_: None)
    else:
        monkeypatch.setattr(ranking, f"load_{dropped}", lambda *_: None)
    with suppress(FileExistsError):  # without its place, a run meets the checkpoint that it wrote
        resumed = run(model_folder, checkpoints)
        assert not (torch.equal(resumed[0], weights) and resumed[1] == told)
