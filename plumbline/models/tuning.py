"""Instruction tuning on the trainers that the field knows: TRL's SFTTrainer and transformers' Seq2SeqTrainer."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Seq2SeqTrainer,
    TrainerCallback,
)
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.trainer_utils import set_seed

from plumbline.checkpoints import Checkpoints
from plumbline.errors import DivergenceError, ParamsError
from plumbline.models.collate import collate
from plumbline.models.encode import IGNORED, Chosen, answer_losses, encode, mean_loss
from plumbline.models.load import MASKED
from plumbline.models.state import load_optimisers, load_random, load_weights, save_state
from plumbline.params import Training, Tuning
from plumbline.rows import Example
from plumbline.store import read_json, write_json

if TYPE_CHECKING:
    from datasets import Dataset

CURVE_POINTS = 40  # of the training loss
VALIDATIONS = 4  # of the validation loss, besides the one before the first step

Report = Callable[[int, dict[str, float]], None]


def tune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Example],
    validation: Sequence[Example],
    params: Tuning,
    report: Report,
    checkpoints: Checkpoints | None = None,
    adapters: Chosen | None = None,
) -> None:
    """Fine-tune every weight of `model` that requires a gradient, in place, on the answers of `train`.

    `report(step, values)` gets loss (nats per answer token, mean over the steps since the last report),
    learning_rate, tokens_per_second (of prompts and answers) and, now and then, validation_loss.
    The loss is a mean over the answers of the whole batch, each with the weight that `length_power` gives its length,
    so `micro_batch` does not change the result.
    With `checkpoints`, a run that was killed goes on from the newest, after reporting again what came before it;
    weights and reports end as those of an undisturbed run, to the byte.
    Raises DivergenceError at the first loss that is not a finite number, ParamsError for an encoder.
    """
    if type(model).__name__ in MASKED:  # would see every token that it is to foretell
        raise ParamsError(
            "base.source: an encoder writes no answers; give another, or run `dvc repro reward` with reward.start: base"
        )
    set_seed(params.seed)
    rows = encode(tokenizer, train, model.config.is_encoder_decoder, adapters)
    dataset = as_dataset(rows)
    lengths = sum(len(row["input_ids"]) for row in rows)
    if model.config.is_encoder_decoder:
        lengths += sum(len(row["labels"]) for row in rows)
    steps = step_count(params, len(rows))
    curves = Curves(
        report=report,
        validate=lambda: mean_loss(
            answer_losses(model, tokenizer, validation, batch=params.micro_batch, adapters=adapters)
        ),
        every=-(-steps // VALIDATIONS),
        tokens_per_step=lengths / len(rows) * params.batch,
    )
    newest = checkpoints.newest() if checkpoints else None
    common: dict[str, Any] = {
        "curves": curves,
        "order": Order([len(row["input_ids"]) for row in rows], params.batch, steps, params.seed),
        "checkpoints": checkpoints,
        "length_power": params.length_power,
        "model": model,
        "train_dataset": dataset,
        "processing_class": tokenizer,
        "data_collator": lambda chosen: collate(chosen, tokenizer.pad_token_id),
        "callbacks": [curves],
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = settings(params, steps, folder)
        if checkpoints and checkpoints.every:
            arguments |= {"save_strategy": "steps", "save_steps": checkpoints.every}
        if model.config.is_encoder_decoder:
            from transformers import Seq2SeqTrainingArguments

            trainer: Any = Seq2SeqAnswerTrainer(args=one_gpu(Seq2SeqTrainingArguments(**arguments)), **common)
        else:
            trainer = causal_trainer(arguments, common)
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    model.eval()


def step_count(params: Training, rows: int) -> int:
    """Optimiser steps of a run over `rows` rows, at least one."""
    return max(1, round(params.epochs * -(-rows // params.batch)))


def settings(params: Training, steps: int, folder: str) -> dict[str, Any]:
    """What both trainers are told. Their own defaults hide a loss that is not a number, and save as they like."""
    return {
        "output_dir": folder,
        "max_steps": steps,
        "per_device_train_batch_size": params.micro_batch,
        "gradient_accumulation_steps": params.batch // params.micro_batch,
        "learning_rate": params.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": round(steps * params.warmup),
        "weight_decay": params.weight_decay,
        "max_grad_norm": params.gradient_clip,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": params.precision == "bfloat16",
        "activation_checkpointing": params.gradient_checkpointing,
        "ignore_data_skip": True,  # Order finds its place by itself
        "logging_steps": max(1, steps // CURVE_POINTS),
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "remove_unused_columns": False,
        "seed": params.seed,
        "data_seed": params.seed,
    }


def one_gpu(arguments: Any) -> Any:
    """The arguments for one GPU, however many there are: the trainers would have each read a batch of its own."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1
    return arguments


class Order(torch.utils.data.Sampler[int]):
    """Which rows make up each step: all in every pass, those of similar length together, drawn from the seed alone.

    Nothing that training draws moves it, so its position is one number: the rows that were read before `start`.
    """

    def __init__(self, lengths: Sequence[int], batch: int, steps: int, seed: int) -> None:
        self.start = 0
        self.rows: list[int] = []
        while len(self.rows) < batch * steps:
            generator = torch.Generator().manual_seed(seed + len(self.rows))
            self.rows += get_length_grouped_indices(lengths, batch, generator=generator)
        self.rows = self.rows[: batch * steps]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows[self.start :])


class Resumable:
    """Both trainers' checkpoints, in place of the trainers' own: whole or absent, verified, and of safetensors and JSON.

    What a step depends on is all here: weights, optimiser, schedule, position, random numbers, and the losses since
    the last report, which transformers forgets.
    """

    model: Any
    optimizer: Any
    lr_scheduler: Any
    state: Any

    def __init__(
        self,
        *,
        curves: "Curves",
        order: Order,
        checkpoints: Checkpoints | None,
        length_power: float,
        args: Any,
        **named: Any,
    ) -> None:
        super().__init__(args=args, **named)  # type: ignore[call-arg]
        self.curves, self.order, self.checkpoints, self.length_power = curves, order, checkpoints, length_power
        self.per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps
        self.resumed: Path | None = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return self.order

    def training_step(self, *given: Any, **named: Any) -> Any:
        loss = finite(super().training_step(*given, **named), self.state.global_step)  # type: ignore[misc]
        self.curves.add(loss.item())
        return loss

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        assert self.checkpoints is not None
        self.checkpoints.save(self.state.global_step, self.write_state)

    def write_state(self, folder: Path) -> None:
        save_state(folder, self.model, [self.optimizer])
        write_json(folder / "schedule.json", self.lr_scheduler.state_dict())
        write_json(folder / "curves.json", self.curves.state())
        self.state.save_to_json(str(folder / "trainer_state.json"))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.resumed = Path(resume_from_checkpoint)
        load_weights(self.resumed, self.model)
        self.curves.restore(read_json(self.resumed / "curves.json"))

    def _load_optimizer_and_scheduler(self, checkpoint: str) -> None:
        load_optimisers(Path(checkpoint), [self.optimizer])
        self.lr_scheduler.load_state_dict(read_json(Path(checkpoint) / "schedule.json"))
        self.order.start = self.state.global_step * self.per_step

    def _load_rng_state(self, checkpoint: str) -> None:
        """Too early: beginning to read rows draws a random number. See get_batch_samples."""

    def get_batch_samples(self, *given: Any, **named: Any) -> Any:
        """The rows of a step, and what their answers weigh together.

        Only when the first are read do the random numbers go on where they were.
        """
        parts, _ = super().get_batch_samples(*given, **named)  # type: ignore[misc]
        if self.resumed:
            load_random(self.resumed)
            self.resumed = None
        return parts, sum(answer_weights(part["labels"], self.length_power).sum() for part in parts)


def causal_trainer(arguments: dict[str, Any], common: dict[str, Any]) -> Any:
    """TRL's SFTTrainer on rows that are encoded already, with a loss that is quick on a CPU."""
    from trl import SFTConfig, SFTTrainer

    class AnswerTrainer(Resumable, SFTTrainer):  # type: ignore[misc]
        """SFTTrainer that on a CPU sends only answer positions through the LM head, and no mask into attention.

        TRL leaves prompt and padding out of the head only where Triton is, and measures entropy at every step. No
        token sees the padding, which stands after it; with a mask, attention computes what lies after a token too.
        TRL's own loss takes all tokens alike.
        """

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            on_cpu = model.device.type == "cpu"
            if return_outputs or (self.length_power == 1 and not on_cpu):
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            labels = inputs["labels"][:, 1:]
            kept = labels != IGNORED
            if on_cpu:
                hidden = model.base_model(input_ids=inputs["input_ids"], use_cache=False).last_hidden_state
                logits = model.get_output_embeddings()(hidden[:, :-1][kept])
            else:
                mask = inputs["attention_mask"]
                logits = model(input_ids=inputs["input_ids"], attention_mask=mask).logits[:, :-1][kept]
            return cross_entropy(logits, labels, self.length_power, num_items_in_batch)

    config = SFTConfig(**arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
    return AnswerTrainer(args=one_gpu(config), **common)


class Seq2SeqAnswerTrainer(Resumable, Seq2SeqTrainer):  # type: ignore[misc]
    """Seq2SeqTrainer whose loss is a mean over the answers of the whole batch.

    T5 and BART themselves average every micro-batch, so that the result would depend on how a batch is divided.
    """

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.model_accepts_loss_kwargs = True  # so that the trainer divides by the whole batch, and by nothing else

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        labels = inputs["labels"]
        shifted = self.accelerator.unwrap_model(model).prepare_decoder_input_ids_from_labels(labels)
        outputs = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            decoder_input_ids=shifted,
            use_cache=False,
        )
        loss = cross_entropy(outputs.logits[labels != IGNORED], labels, self.length_power, num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def answer_weights(labels: torch.Tensor, length_power: float) -> torch.Tensor:
    """What each answer token of labels (rows, tokens) weighs: those of an answer of n tokens n ** length_power together.

    At 1 a token is a token; at 0 an answer is an answer, however long. Between them, labels of a word or two are heard
    beside long texts. Chen et al. (2024), arXiv 2412.05271, section 3.3, where 1/2 is best.
    """
    kept = labels != IGNORED
    lengths = kept.sum(1, keepdim=True).clamp(min=1)
    return (lengths ** (length_power - 1.0)).expand_as(labels)[kept]


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, length_power: float, weight: Any) -> torch.Tensor:
    """Weighted mean of the cross entropy, in nats, of logits (answer tokens, vocabulary) against labels (rows, tokens).

    `weight` is that of the whole batch, of which this may be a part; None for just this.
    """
    each = answer_weights(labels, length_power)
    losses = torch.nn.functional.cross_entropy(logits.float(), labels[labels != IGNORED], reduction="none")
    return (each * losses).sum() / (each.sum() if weight is None else weight)


def finite(value: torch.Tensor, step: int, what: str = "loss") -> torch.Tensor:
    """`value`, or DivergenceError when it is not a finite number."""
    if not torch.isfinite(value):
        raise DivergenceError(
            f"the {what} is {value.item()} at step {step + 1}; lower learning_rate or gradient_clip, or use float32"
        )
    return value


def as_dataset(rows: Sequence[dict[str, list[int]]]) -> "Dataset":
    from datasets import Dataset

    return Dataset.from_list(list(rows))


class Curves(TrainerCallback):  # type: ignore[misc]
    """Hands the trainer's numbers to `report`, and adds the validation loss at even distances."""

    def __init__(self, *, report: Report, validate: Callable[[], float], every: int, tokens_per_step: float) -> None:
        self.report, self.validate, self.every, self.tokens_per_step = report, validate, every, tokens_per_step
        self.told: list[tuple[int, dict[str, float]]] = []
        self.total, self.steps = 0.0, 0  # of the losses since the last report
        self.began = (0, 0.0)  # step, time

    def state(self) -> dict[str, Any]:
        return {"told": self.told, "total": self.total, "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        self.told, self.total, self.steps = state["told"], state["total"], state["steps"]

    def add(self, loss: float) -> None:
        """A micro-batch's share of its step's loss."""
        self.total += loss

    def tell(self, step: int, values: dict[str, float]) -> None:
        self.told.append((step, values))
        self.report(step, dict(values))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.began = (state.global_step, time.monotonic())
        for step, values in self.told:
            self.report(step, dict(values))
        if state.global_step == 0:
            self.tell(0, {"validation_loss": self.validate()})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps += 1
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.tell(state.global_step, {"validation_loss": self.validate()})

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            values: dict[str, float] = {
                name: float(logs[name]) for name in ("learning_rate", "grad_norm") if name in logs
            }
            step, started = self.began
            tokens = (state.global_step - step) * self.tokens_per_step
            values |= {
                "loss": self.total / self.steps,
                "tokens_per_second": tokens / max(time.monotonic() - started, 1e-9),
            }
            self.total, self.steps = 0.0, 0
            self.tell(state.global_step, values)
