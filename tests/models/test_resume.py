"""A training loop that was ended anywhere goes on from its newest checkpoint, and ends as if nothing had happened."""

import errno
import itertools
import resource
from contextlib import suppress

import pytest
import torch
from safetensors.torch import load_file

from plumbline.checkpoints import Checkpoints
from plumbline.models import pretraining, tuning
from plumbline.models.load import load_model
from plumbline.models.state import write_tensors
from plumbline.params import Instruct, Pretrain
from plumbline.rows import Example

ROWS = [
    Example(
        id=str(number), task="t", group="g", prompt=f"order {number}", answer=f" arrives on {number % 28 + 1} May.",
        references=["."], template="", source_file="", source_line=1,
    )
    for number in range(40)
]  # fmt: skip
PARAMS = Instruct(
    seed=1, tasks=[], epochs=2.4, batch=8, micro_batch=4, length_power=1.0, learning_rate=3.0e-3, warmup=0.2, weight_decay=0.1,
    gradient_clip=1.0, precision="float32", gradient_checkpointing=False, checkpoint_every=5,
)  # fmt: skip
EVERY = 5  # of the 12 steps
DROPPED = ["weights", "optimisers", "random", "position", "statistics", "schedule"]


class Killed(BaseException):
    """Stands for SIGKILL, which leaves no time for anything."""


def tune(model_folder, tokenizer, family, checkpoints, killed_at=None, learn=""):
    """Weights and reports of a run; of one that is killed after step `killed_at`, as far as it came.

    Only weights with `learn` in their name learn.
    """
    model, told = load_model(model_folder(family)), []
    for name, weight in model.named_parameters():
        weight.requires_grad_(learn in name)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2

    def report(step, values):
        if killed_at is not None and step >= killed_at:
            raise Killed
        told.append((step, {name: value for name, value in values.items() if name != "tokens_per_second"}))

    torch.manual_seed(killed_at or 0)  # the world that a new process finds is another one
    with suppress(Killed):
        tuning.tune(model, tokenizer, ROWS, ROWS[:3], PARAMS, report, checkpoints)
    return torch.cat([weight.detach().flatten() for weight in model.parameters()]), told


@pytest.fixture
def short(monkeypatch):
    """Reports every fourth step, so that a checkpoint falls between two."""
    monkeypatch.setattr(tuning, "CURVE_POINTS", 3)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path, EVERY)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_killed_run_ends_in_the_weights_and_reports_of_an_undisturbed_one(
    model_folder, tokenizer, checkpoints, short, family
):
    weights, told = tune(model_folder, tokenizer, family, None)
    assert len({step for step, values in told if "loss" in values}) == 3
    for killed_at in (4, 8, 12):  # before any checkpoint, after the first, after the second
        tune(model_folder, tokenizer, family, checkpoints, killed_at)
    resumed = tune(model_folder, tokenizer, family, checkpoints)
    assert torch.equal(resumed[0], weights) and resumed[1] == told


def test_a_run_that_was_killed_after_its_last_step_has_nothing_left_to_do(model_folder, tokenizer, checkpoints, short):
    whole = tune(model_folder, tokenizer, "llama", checkpoints)
    again = tune(model_folder, tokenizer, "llama", checkpoints)
    assert torch.equal(again[0], whole[0]) and again[1] == whole[1]


def test_weights_that_do_not_learn_are_no_part_of_the_state(model_folder, tokenizer, checkpoints, short):
    whole = tune(model_folder, tokenizer, "llama", None, learn="layers.1.mlp")
    tune(model_folder, tokenizer, "llama", checkpoints, killed_at=8, learn="layers.1.mlp")
    kept = load_file(checkpoints.newest() / "weights.safetensors")
    assert set(kept) == {f"model.layers.1.mlp.{name}_proj.weight" for name in ("gate", "up", "down")}
    resumed = tune(model_folder, tokenizer, "llama", checkpoints, learn="layers.1.mlp")
    assert torch.equal(resumed[0], whole[0]) and resumed[1] == whole[1]


@pytest.mark.parametrize("dropped", DROPPED)
def test_every_piece_of_the_state_is_needed(model_folder, tokenizer, checkpoints, short, monkeypatch, dropped):
    weights, told = tune(model_folder, tokenizer, "t5", None)
    tune(model_folder, tokenizer, "t5", checkpoints, killed_at=8)
    assert [each.name for each in checkpoints.folder.iterdir()] == ["step-00000005"]
    drop(monkeypatch, dropped)
    resumed = tune(model_folder, tokenizer, "t5", checkpoints)
    assert not (torch.equal(resumed[0], weights) and resumed[1] == told)


def drop(monkeypatch, piece):
    """Have the trainers forget one piece of their state."""
    match piece:
        case "weights" | "optimisers" | "random":
            monkeypatch.setattr(tuning, f"load_{piece}", lambda *_: None)
        case "schedule":
            monkeypatch.setattr(torch.optim.lr_scheduler.LambdaLR, "load_state_dict", lambda *_: None)
        case "position":
            monkeypatch.setattr(tuning.Order, "__iter__", lambda order: iter(order.rows))
        case "statistics":
            monkeypatch.setattr(tuning.Curves, "restore", lambda *_: None)


def test_the_order_of_rows_is_all_rows_in_every_pass_and_depends_on_the_seed_alone():
    lengths = [number % 7 for number in range(40)]
    order = tuning.Order(lengths, 8, 12, seed=3)
    torch.manual_seed(9)
    assert list(order) == list(tuning.Order(lengths, 8, 12, seed=3)) != list(tuning.Order(lengths, 8, 12, seed=4))
    assert sorted(order.rows[:40]) == sorted(order.rows[40:80]) == list(range(40)) and len(order) == 96
    order.start = 16
    assert list(order) == order.rows[16:]


PRETRAIN = Pretrain(
    seed=1, architectures=["causal"], vocabulary=600, context=128, hidden=32, layers=2, heads=2, feed_forward=48,
    drill_tokens=512, tokens={"causal": 2560, "seq2seq": 2560}, batch=2, learning_rate={"causal": 5.0e-3}, warmup=0.1,
    weight_decay=0.1, precision="float32", checkpoint_every=5,
)  # fmt: skip


def pretrain(model_folder, tokenizer, checkpoints, killed_at=None):
    """Weights and losses of a run of the pre-training loop on a model with dropout; killed after `killed_at`."""
    model, told = load_model(model_folder("t5")), []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.2
    torch.manual_seed(0)
    documents = (f"order {number} of the copper kettle is {number % 9} days late." for number in itertools.count())
    stream = pretraining.batches("seq2seq", PRETRAIN, tokenizer, documents)
    for step, loss, rate in pretraining.train(model, stream, PRETRAIN, 12, 5.0e-3, checkpoints):
        told.append((step, loss, rate))
        if killed_at == step:
            torch.rand(5)
            break
    return torch.cat([weight.detach().flatten() for weight in model.parameters()]), told


def test_pre_training_goes_on_where_it_was(model_folder, tokenizer, checkpoints):
    weights, told = pretrain(model_folder, tokenizer, None)
    for killed_at in (3, 7, 11):
        pretrain(model_folder, tokenizer, checkpoints, killed_at)
    resumed = pretrain(model_folder, tokenizer, checkpoints)
    assert torch.equal(resumed[0], weights) and resumed[1] == told


@pytest.mark.parametrize("dropped", ["weights", "optimisers", "random"])
def test_every_piece_of_the_state_of_pre_training_is_needed(model_folder, tokenizer, checkpoints, monkeypatch, dropped):
    weights, _ = pretrain(model_folder, tokenizer, None)
    pretrain(model_folder, tokenizer, checkpoints, killed_at=7)
    monkeypatch.setattr(pretraining, f"load_{dropped}", lambda *_: None)
    assert not torch.equal(pretrain(model_folder, tokenizer, checkpoints)[0], weights)


def test_a_disk_that_takes_no_more_is_an_error_of_the_system_as_everywhere(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            Checkpoints(tmp_path, 1).save(1, lambda folder: write_tensors(folder / "x", {"a": torch.zeros(4096)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(tmp_path / "step-00000001"))
    assert list(tmp_path.iterdir()) == []
