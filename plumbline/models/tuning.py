"""Instruction tuning on the trainers that the field knows: TRL's SFTTrainer and transformers' Seq2SeqTrainer."""

import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Seq2SeqTrainer,
    TrainerCallback,
)
from transformers.trainer_utils import set_seed

from plumbline.errors import DivergenceError
from plumbline.models.collate import collate
from plumbline.models.encode import IGNORED, Chosen, answer_losses, encode, mean_loss
from plumbline.params import Training
from plumbline.rows import Example

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
    params: Training,
    report: Report,
    adapters: Chosen | None = None,
) -> None:
    """Fine-tune every weight of `model` that is not frozen, in place, on the answers of `train`.

    `report(step, values)` gets loss (nats per answer token, mean over the steps since the last report),
    learning_rate, tokens (of prompts and answers, so far) and, now and then, validation_loss.
    The loss is a mean over the answer tokens of the whole batch, so `micro_batch` does not change the result.
    Raises DivergenceError at the first loss that is not a finite number.
    """
    set_seed(params.seed)
    rows = encode(tokenizer, train, model.config.is_encoder_decoder, adapters)
    dataset = as_dataset(rows)
    lengths = sum(len(row["input_ids"]) for row in rows)
    if model.config.is_encoder_decoder:
        lengths += sum(len(row["labels"]) for row in rows)
    steps = step_count(params, len(rows))
    callback = Curves(
        report=report,
        validate=lambda: mean_loss(
            answer_losses(model, tokenizer, validation, batch=params.micro_batch, adapters=adapters)
        ),
        every=max(1, steps // VALIDATIONS),
        tokens_per_step=lengths / len(rows) * params.batch,
    )
    common: dict[str, Any] = {
        "model": model,
        "train_dataset": dataset,
        "processing_class": tokenizer,
        "data_collator": lambda chosen: collate(chosen, tokenizer.pad_token_id),
        "callbacks": [callback],
    }
    with tempfile.TemporaryDirectory() as folder:
        arguments = settings(params, steps, folder)
        if model.config.is_encoder_decoder:
            from transformers import Seq2SeqTrainingArguments

            trainer: Any = Seq2SeqAnswerTrainer(args=Seq2SeqTrainingArguments(**arguments), **common)
        else:
            trainer = causal_trainer(arguments, common)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
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
        "train_sampling_strategy": "group_by_length",
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


def causal_trainer(arguments: dict[str, Any], common: dict[str, Any]) -> Any:
    """TRL's SFTTrainer on rows that are encoded already, with a loss that is quick on a CPU."""
    from trl import SFTConfig, SFTTrainer

    class AnswerTrainer(SFTTrainer):  # type: ignore[misc]
        """SFTTrainer that on a CPU sends only answer positions through the LM head.

        TRL leaves prompt and padding out of the head only where Triton is, and measures entropy at every step.
        """

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            if model.device.type != "cpu" or return_outputs:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            labels = inputs["labels"][:, 1:]
            sources = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            hidden = model.base_model(**sources, use_cache=False).last_hidden_state
            kept = labels != IGNORED
            logits = model.get_output_embeddings()(hidden[:, :-1][kept])
            return cross_entropy(logits, labels[kept], num_items_in_batch)

        def training_step(self, *given: Any, **named: Any) -> Any:
            return finite(super().training_step(*given, **named), self.state.global_step)

    config = SFTConfig(**arguments, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
    return AnswerTrainer(args=config, **common)


class Seq2SeqAnswerTrainer(Seq2SeqTrainer):  # type: ignore[misc]
    """Seq2SeqTrainer whose loss is a mean over the answer tokens of the whole batch.

    T5 and BART themselves average every micro-batch, so that the result would depend on how a batch is divided.
    """

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.model_accepts_loss_kwargs = True  # so that the trainer counts the whole batch's answer tokens

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
        kept = labels != IGNORED
        loss = cross_entropy(outputs.logits[kept], labels[kept], num_items_in_batch)
        return (loss, outputs) if return_outputs else loss

    def training_step(self, *given: Any, **named: Any) -> Any:
        return finite(super().training_step(*given, **named), self.state.global_step)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, tokens: Any) -> torch.Tensor:
    """Mean cross entropy in nats of logits (learned tokens, vocabulary) against labels (learned tokens).

    `tokens` is the number of learned tokens of the whole batch, of which this may be a part; None for just this.
    """
    total = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum")
    return total / (len(labels) if tokens is None else tokens)


def finite(loss: torch.Tensor, step: int) -> torch.Tensor:
    """`loss`, or DivergenceError when it is not a finite number."""
    if not torch.isfinite(loss):
        raise DivergenceError(
            f"the loss is {loss.item()} at step {step + 1}; lower learning_rate or gradient_clip, or use float32"
        )
    return loss


def as_dataset(rows: Sequence[dict[str, list[int]]]) -> "Dataset":
    from datasets import Dataset

    return Dataset.from_list(list(rows))


class Curves(TrainerCallback):  # type: ignore[misc]
    """Hands the trainer's numbers to `report`, and adds the validation loss at even distances."""

    def __init__(self, *, report: Report, validate: Callable[[], float], every: int, tokens_per_step: float) -> None:
        self.report, self.validate, self.every, self.tokens_per_step = report, validate, every, tokens_per_step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.report(0, {"validation_loss": self.validate()})

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.report(state.global_step, {"validation_loss": self.validate()})

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            values: dict[str, float] = {
                name: float(logs[name]) for name in ("loss", "learning_rate", "grad_norm") if name in logs
            }
            values["tokens"] = state.global_step * self.tokens_per_step
            self.report(state.global_step, values)
