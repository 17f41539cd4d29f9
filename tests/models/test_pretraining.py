"""What a base model reads: drills first, then documents with some drills among them, then documents alone."""

import itertools
from pathlib import Path

import pytest
import torch

from plumbline.models.pretraining import SHORTEST_PASSAGE, batches, drills, optimisers, step_count
from plumbline.models.untrained import untrained_model
from plumbline.params import load_params

PRETRAIN = load_params(Path(__file__).parents[2] / "params.yaml").pretrain.model_copy(
    update={"context": 64, "batch": 4, "drill_tokens": 600, "tokens": dict.fromkeys(["causal", "seq2seq"], 1024)}
)


def said_again(row: list[int]) -> bool:
    """Whether a row is one passage, repeated from the start to the end."""
    return any(row[size:] == row[:-size] for size in range(min(SHORTEST_PASSAGE, len(row) // 2), len(row) // 2 + 1))


def documents():
    return (f"order {number} of {number * number} kettles for Lotte {number}, on time." for number in itertools.count())


@pytest.fixture
def read(tokenizer):
    """The rows of each batch of a causal run."""
    stream = batches("causal", PRETRAIN, tokenizer, documents())
    return [next(stream)["input_ids"].tolist() for _ in range(step_count("causal", PRETRAIN))]


def test_a_drill_is_a_passage_of_ordinary_ids_said_again_until_the_row_is_full():
    rows = drills(torch.arange(100, 200), 50, 64, torch.Generator().manual_seed(1))
    assert all(len(row) == 64 and said_again(row) and min(row) >= 100 and max(row) < 200 for row in rows)
    assert len({tuple(row) for row in rows}) == 50


def test_drills_come_first_and_in_short_rows(read):
    assert [len(batch) for batch in read] == [16] * 3 + [4] * 3
    assert all(len(row) == 16 for batch in read[:3] for row in batch)


def test_until_half_of_the_documents_are_read_every_fourth_row_is_a_drill(read):
    assert [[said_again(row) for row in batch] for batch in read[3:]] == [
        [True, False, False, False],
        [True, False, False, False],
        [False, False, False, False],
    ]


def test_documents_follow_each_other_without_a_gap(tokenizer):
    alone = PRETRAIN.model_copy(update={"drill_tokens": 0})
    stream = batches("causal", alone, tokenizer, documents())
    ids = [i for _ in range(2) for row in next(stream)["input_ids"].tolist() for i in row]
    text = tokenizer.decode(ids).split(tokenizer.eos_token)
    assert text[:-1] == list(itertools.islice(documents(), len(text) - 1))


def test_what_the_loss_on_unread_documents_is_measured_on_has_no_drills(tokenizer):
    stream = batches("causal", PRETRAIN, tokenizer, documents(), drilling=False)
    assert not any(said_again(row) for _ in range(3) for row in next(stream)["input_ids"].tolist())


def test_an_encoder_decoder_reads_documents_from_the_first_step_on(tokenizer):
    first = next(batches("seq2seq", PRETRAIN, tokenizer, documents()))["input_ids"]
    assert len(first) == PRETRAIN.batch and not any(said_again(row) for row in first.tolist())
    assert step_count("causal", PRETRAIN) - step_count("seq2seq", PRETRAIN) == 600 // 256


def test_the_queries_of_t5_take_smaller_steps_and_every_weight_is_in_one_group(tokenizer):
    model = untrained_model("seq2seq", PRETRAIN, tokenizer)
    groups = [group for optimiser in optimisers(model, PRETRAIN) for group in optimiser.param_groups]
    scales = {id(weight): group["scale"] for group in groups for weight in group["params"]}
    assert len(scales) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    for name, weight in model.named_parameters():
        assert scales[id(weight)] == (1 / 8 if name.endswith(".q.weight") else 1.0), name
