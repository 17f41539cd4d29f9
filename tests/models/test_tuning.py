import pytest
import torch

from plumbline.errors import DivergenceError, ParamsError
from plumbline.models.encode import IGNORED, answer_losses, mean_loss
from plumbline.models.load import load_model
from plumbline.models.tuning import answer_weights, cross_entropy, step_count, tune
from plumbline.params import Instruct
from tests.models.examples import examples

PARAMS = Instruct(
    seed=1, tasks=[], epochs=1.0, batch=8, micro_batch=8, length_power=1.0, learning_rate=3.0e-3, warmup=0.1,
    weight_decay=0.0, gradient_clip=1.0, precision="float32", gradient_checkpointing=False, checkpoint_every=0,
)  # fmt: skip


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_held_out_loss_falls_and_the_curve_reports_it(model_folder, tokenizer, family):
    model, seen = load_model(model_folder(family)), []
    rows, held_out = examples(200), examples(260)[200:]
    before = mean_loss(answer_losses(model, tokenizer, held_out, batch=8))
    tune(model, tokenizer, rows, held_out, PARAMS, lambda step, values: seen.append((step, values)))
    after = mean_loss(answer_losses(model, tokenizer, held_out, batch=8))
    assert after < 0.9 * before
    validations = [(step, values["validation_loss"]) for step, values in seen if "validation_loss" in values]
    assert validations[0] == (0, pytest.approx(before))
    assert validations[-1] == (step_count(PARAMS, 200), pytest.approx(after))
    assert all({"loss", "learning_rate", "tokens_per_second"} <= set(values) for _, values in seen if "loss" in values)


@pytest.mark.parametrize("length_power", [1.0, 0.5])
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_micro_batch_does_not_change_the_result(model_folder, tokenizer, family, length_power):
    results = []
    for micro_batch in (8, 2):
        model = load_model(model_folder(family))
        params = PARAMS.model_copy(update={"micro_batch": micro_batch, "length_power": length_power})
        tune(model, tokenizer, examples(32), examples(2), params, lambda step, values: None)
        results.append(weights(model))
    assert torch.allclose(*results, atol=2e-5)


def test_the_same_seed_gives_the_same_weights(model_folder, tokenizer):
    results = []
    for _ in range(2):
        model = load_model(model_folder("llama"))
        tune(model, tokenizer, examples(24), examples(2), PARAMS, lambda step, values: None)
        results.append(weights(model))
    assert torch.equal(*results)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_first_loss_that_is_no_number_ends_the_run_with_its_step(model_folder, tokenizer, family):
    model = load_model(model_folder(family))
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(DivergenceError, match="step 1"):
        tune(model, tokenizer, examples(16), examples(2), PARAMS, lambda step, values: None)


def test_an_encoder_is_not_tuned_to_foretell_what_it_sees(model_folder, tokenizer):
    with pytest.raises(ParamsError, match=r"base.source: an encoder writes no answers; .* `dvc repro reward`"):
        tune(load_model(model_folder("bert")), tokenizer, examples(4), examples(2), PARAMS, lambda step, values: None)


@pytest.mark.parametrize(("power", "shares"), [(1.0, [1, 4]), (0.5, [1, 2]), (0.0, [1, 1])])
def test_an_answer_weighs_its_length_to_the_power(power, shares):
    labels = torch.tensor([[IGNORED, 7, IGNORED, IGNORED, IGNORED], [IGNORED, 3, 4, 5, 6]])
    one, *four = answer_weights(labels, power).tolist()
    assert [one, sum(four)] == pytest.approx(shares) and len(set(four)) == 1
    logits = torch.randn(5, 9)
    nats = torch.nn.functional.cross_entropy(logits, labels[labels != IGNORED], reduction="none").tolist()
    expected = (shares[0] * nats[0] + shares[1] * sum(nats[1:]) / 4) / sum(shares)
    assert cross_entropy(logits, labels, power, None).item() == pytest.approx(expected)


def test_the_loss_of_a_step_is_that_of_the_plain_forward_pass(model_folder, tokenizer):
    model, seen = load_model(model_folder("llama")), []
    rows = examples(8)
    plain = mean_loss(answer_losses(model, tokenizer, rows, batch=8))
    tune(model, tokenizer, rows, rows[:1], PARAMS, lambda step, values: seen.append(values))
    first = next(values["loss"] for values in seen if "loss" in values)
    assert first == pytest.approx(plain, rel=1e-4)
