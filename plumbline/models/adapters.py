"""Small additions to a frozen model: LoRA matrices beside its weights, or a soft prompt before its input.

The only module that imports peft, whose layers and files it uses: `PeftModel.from_pretrained` reads a folder saved
here. Any number of adapters lie on one base at once, and which one answers is chosen row by row.

A soft prompt is kept as words of its own behind the model's vocabulary, and their ids lead the row. So padding,
positions, batches and generation treat it as they treat any word, and rows with different soft prompts share a batch.
(PEFT's wrapper puts one prompt before the padding of all rows, and drops their position ids.)
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from peft import LoraConfig, PromptTuningConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from plumbline.errors import ArtifactError, PlumblineError
from plumbline.models.encode import token_ids
from plumbline.models.load import weight_digests
from plumbline.params import Lora, LoraSize, Prompt
from plumbline.store import need, read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ABOUT, CONFIG, WEIGHTS = "adapter.json", "adapter_config.json", "adapter_model.safetensors"
OUTER = "base_model.model."  # what PEFT's wrapper, which we do without, puts before the names of weights
MERGE_TOLERANCE = 1e-3  # the most by which merging may move a log-probability, in nats

# The linear layers of attention and of the feed-forward part, by the `model_type` of a configuration.
TARGETS: dict[str, tuple[list[str], list[str]]] = {
    "llama": (["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]),
    "qwen2": (["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]),
    "gpt2": (["attn.c_attn", "attn.c_proj"], ["mlp.c_fc", "mlp.c_proj"]),
    "gpt_neox": (["attention.query_key_value", "attention.dense"], ["mlp.dense_h_to_4h", "mlp.dense_4h_to_h"]),
    "t5": (["q", "k", "v", "o"], ["wi", "wi_0", "wi_1", "wo"]),
    "bart": (["q_proj", "k_proj", "v_proj", "out_proj"], ["fc1", "fc2"]),
    "bert": (["query", "key", "value", "attention.output.dense"], ["intermediate.dense", "output.dense"]),
}


@dataclass(frozen=True)
class Adapter:
    """An adapter that lies on a model."""

    name: str
    kind: Literal["lora", "prompt"]
    prefix: tuple[int, ...] = ()  # the ids of a soft prompt's words

    @property
    def key(self) -> str:
        """Its name within the model, where some words are taken by torch."""
        return f"adapter_{self.name}"


class Choice:
    """Which adapter answers: one for all rows, or for each row its own, None being the bare base."""

    def __init__(self, model: "PreTrainedModel", adapters: Adapter | Sequence[Adapter | None]) -> None:
        self.model = model
        self.adapters = adapters

    def of(self, row: int) -> Adapter | None:
        return self.adapters if isinstance(self.adapters, Adapter) else self.adapters[row]

    def prefixed(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The ids of all rows' prompts, each led by the soft prompt of its adapter."""
        return [[*(adapter.prefix if (adapter := self.of(row)) else ()), *ids] for row, ids in enumerate(prompts)]

    @contextmanager
    def batch(self, rows: Sequence[int]) -> Iterator[None]:
        """Within the block, the model's batches are these rows, each with the LoRA of its adapter or with none."""
        names = [adapter.key if (adapter := self.of(row)) and adapter.kind == "lora" else "__base__" for row in rows]
        alike = len(set(names)) == 1  # then a layer may get its rows in another shape

        def name(_layer: Any, args: Any, named: Any) -> Any:
            return args, named | {"adapter_names": names[:1] * len(args[0]) if alike else names}

        hooks = [layer.register_forward_pre_hook(name, with_kwargs=True) for layer in lora_layers(self.model)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


class SoftWords(torch.nn.Module):
    """A model's input embedding with words behind its vocabulary: the vectors of the soft prompts on the model."""

    def __init__(self, words: torch.nn.Embedding) -> None:
        super().__init__()
        self.words = words
        self.prompts = torch.nn.ParameterDict()

    @property
    def weight(self) -> Tensor:
        return self.words.weight

    def add(self, key: str, vectors: Tensor) -> tuple[int, ...]:
        """Add a soft prompt of shape (words, width), and return the ids of its words."""
        first = self.words.num_embeddings + sum(len(each) for each in self.prompts.values())
        self.prompts[key] = torch.nn.Parameter(vectors.to(self.weight.device))
        return tuple(range(first, first + len(vectors)))

    def forward(self, ids: Tensor) -> Tensor:
        behind = ids - self.words.num_embeddings
        soft = behind >= 0
        vectors: Tensor = self.words(ids.masked_fill(soft, 0))
        if not soft.any():
            return vectors
        table = torch.cat(list(self.prompts.values())).to(vectors.dtype)
        # Not by an index, whose gradients a CPU's threads add up in whatever order they come.
        return torch.where(soft[..., None], torch.nn.functional.embedding(behind.clamp(min=0), table), vectors)


def attach(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", name: str, settings: Lora | Prompt, seed: int
) -> Adapter:
    """Freeze all of `model` and put a new adapter on it, which alone is trainable."""
    model.requires_grad_(False)
    torch.manual_seed(seed)
    adapter = Adapter(name, settings.kind)
    if isinstance(settings, Prompt):
        return place_prompt(model, adapter, first_vectors(model, tokenizer, settings))
    place_lora(model, adapter, lora_config(model, settings))
    return adapter


def lora_config(model: "PreTrainedModel", settings: LoraSize) -> LoraConfig:
    """PEFT's description of a LoRA on this architecture."""
    family = model.config.model_type
    attention, feed_forward = TARGETS[family]
    return LoraConfig(
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=attention + (feed_forward if settings.targets == "attention+mlp" else []),
        fan_in_fan_out=family == "gpt2",  # its weights lie the other way round
    )


def place_lora(model: "PreTrainedModel", adapter: Adapter, config: LoraConfig) -> None:
    """Put a LoRA beside the weights that `config` names, without any effect yet."""
    with warnings.catch_warnings():  # PEFT asks whether several adapters on one model are meant; they are
        warnings.filterwarnings("ignore", "Already found a `peft_config` attribute", UserWarning)
        inject_adapter_in_model(config, model, adapter.key)
    model.train(model.training)  # the new layers begin in training mode: their dropout would be on
    for layer in lora_layers(model):  # PEFT would cast to float32 what autocast casts back at once
        layer.cast_input_dtype_enabled = layer.get_base_layer().weight.dtype != torch.float32


def lora_layers(model: torch.nn.Module) -> list[Any]:
    """The layers of a model that have a LoRA beside their weights."""
    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def place_prompt(model: "PreTrainedModel", adapter: Adapter, vectors: Tensor) -> Adapter:
    """Add a soft prompt's words to a model."""
    words = model.get_input_embeddings()
    if not isinstance(words, SoftWords):
        words = SoftWords(words)
        model.set_input_embeddings(words)
    return Adapter(adapter.name, adapter.kind, words.add(adapter.key, vectors))


def first_vectors(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", settings: Prompt) -> Tensor:
    """The vectors of a text's words, over and over until there are enough, or of words drawn from the vocabulary.

    Vectors of words are a better beginning than any others of their size. Lester et al. (2021), section 3.2.
    """
    words = model.get_input_embeddings().weight.detach()
    if settings.init == "random":
        chosen = torch.randint(len(tokenizer), (settings.tokens,))
    else:
        ids = tokenizer(settings.init, add_special_tokens=False).input_ids
        chosen = torch.tensor([ids[place % len(ids)] for place in range(settings.tokens)])
    return words[chosen.to(words.device)].float().clone()


def trainable(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The weights that training changes."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def adapter_weights(model: "PreTrainedModel", adapter: Adapter) -> dict[str, torch.nn.Parameter]:
    """The weights of one adapter by the names that PEFT gives them in a file."""
    if adapter.kind == "prompt":
        return {"prompt_embeddings": model.get_input_embeddings().prompts[adapter.key]}
    part = f".{adapter.key}."
    return {OUTER + name.replace(part, "."): weight for name, weight in model.named_parameters() if part in f"{name}."}


@torch.no_grad()
def save(model: "PreTrainedModel", adapter: Adapter, base: Path, folder: Path, **about: Any) -> None:
    """Write an adapter as PEFT reads it, and beside it what it was made for: the digests of its base's weights.

    The weights are written in bfloat16, as half the bytes serve as well. The model's own copies are rounded with them,
    so that what is measured from here on is what was saved.
    """
    weights = adapter_weights(model, adapter)
    for weight in weights.values():
        weight.copy_(weight.to(torch.bfloat16))
    save_file(
        {name: weight.to(torch.bfloat16).contiguous().cpu() for name, weight in weights.items()},
        folder / WEIGHTS,
        {"format": "pt"},
    )
    config = peft_config(model, adapter).to_dict() | {"inference_mode": True, "base_model_name_or_path": None}
    write_json(folder / CONFIG, {name: sorted(v) if isinstance(v, set) else v for name, v in config.items()})
    write_json(folder / ABOUT, {"name": adapter.name, "kind": adapter.kind, "base": weight_digests(base), **about})


def peft_config(model: "PreTrainedModel", adapter: Adapter) -> LoraConfig | PromptTuningConfig:
    """PEFT's description of an adapter on a model."""
    if adapter.kind == "lora":
        config: LoraConfig = model.peft_config[adapter.key]
        return config
    return PromptTuningConfig(
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        num_virtual_tokens=len(adapter.prefix),
        num_transformer_submodules=1,  # an encoder-decoder reads the prompt in its encoder alone
        token_dim=model.get_input_embeddings().weight.shape[1],
    )


def load(model: "PreTrainedModel", base: Path, folder: Path) -> Adapter:
    """Put a saved adapter on `model`, which was loaded from `base`, beside those that lie there.

    Raises ArtifactError when the adapter was made for other weights, or when its files do not fit.
    """
    need(folder, ABOUT, CONFIG, WEIGHTS, stage=f"adapt@{folder.name}")
    about = read_json(folder / ABOUT)
    if about["base"] != weight_digests(base):
        raise ArtifactError(
            f"{folder}: made for other weights than those of {base}; load it on its own base, or run "
            f"`dvc repro adapt@{folder.name}`, or remove the folder if nothing makes it any more"
        )
    adapter = Adapter(about["name"], about["kind"])
    try:
        weights = load_file(folder / WEIGHTS)
        if adapter.kind == "prompt":
            adapter = place_prompt(model, adapter, weights["prompt_embeddings"].float())
        else:
            place_lora(model, adapter, LoraConfig.from_pretrained(str(folder)))
            set_peft_model_state_dict(model, weights, adapter.key)
        wanted = {name: weight.shape for name, weight in adapter_weights(model, adapter).items()}
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:  # a damaged file has many faces
        raise ArtifactError(f"{folder}: the adapter cannot be loaded ({str(error).splitlines()[0][:160]})") from None
    if wanted != {name: weight.shape for name, weight in weights.items()}:
        raise ArtifactError(f"{folder}: {WEIGHTS} does not hold the weights that {CONFIG} describes")
    model.requires_grad_(False)
    return adapter


@torch.no_grad()
def merge(model: "PreTrainedModel", adapter: Adapter, probe: Mapping[str, Tensor]) -> float:
    """Add a LoRA's update to the weights beneath it and take all LoRAs off: `model` is a plain one from then on.

    Returns the largest change of a log-probability on the inputs `probe`. Where that is more than MERGE_TOLERANCE, as
    the base's weights are rounded too coarsely to take the update, PlumblineError, and the model is as it was.
    """
    if adapter.kind != "lora":
        raise PlumblineError(f"{adapter.name}: a soft prompt changes no weights, so it cannot be merged; load it")
    rows = len(next(iter(probe.values())))
    with Choice(model, adapter).batch(range(rows)):
        before = log_probabilities(model, probe)
    layers = [layer for layer in lora_layers(model) if adapter.key in layer.lora_A]
    kept = [layer.get_base_layer().weight.clone() for layer in layers]
    for layer in layers:
        layer.merge(adapter_names=[adapter.key])
    change = (log_probabilities(model, probe) - before).abs().max().item()
    if not change <= MERGE_TOLERANCE:
        for layer, weight in zip(layers, kept, strict=True):
            layer.get_base_layer().weight.copy_(weight)
            layer.merged_adapters.clear()
        raise PlumblineError(
            f"{adapter.name}: merging would move a log-probability by {change:.2g}, more than {MERGE_TOLERANCE:g}; "
            f"load the base in float32 (its weights are {kept[0].dtype}), or use the adapter as it is"
        )
    for name, layer in [(name, layer) for name, layer in model.named_modules() if isinstance(layer, LoraLayer)]:
        model.set_submodule(name, layer.get_base_layer())
    del model.peft_config
    return change


@contextmanager
def folded(model: "PreTrainedModel", adapter: Adapter) -> Iterator[None]:
    """Within the block, a LoRA's update is a part of the weights beneath it; then they are as before, to the bit.

    So W + s B A is one product instead of three, and one layer's work, where a small batch waits for layers more than
    for arithmetic. The LoRA learns as it does beside the weights, but without dropout. Weights of fewer digits than
    float32 would round the update away: there it stays beside them.
    """
    layers = [layer for layer in lora_layers(model) if adapter.key in layer.lora_A]
    weights = [layer.get_base_layer().weight for layer in layers]
    if any(torch.finfo(weight.dtype).bits < 32 for weight in weights):
        yield
        return
    hooks = []
    try:
        for layer, weight in zip(layers, weights, strict=True):
            whole = weight + layer.get_delta_weight(adapter.key).detach()
            layer.get_base_layer().weight = torch.nn.Parameter(whole, requires_grad=False)
            layer.merged_adapters.append(adapter.key)
            hooks.append(layer.register_forward_hook(partial(fold, key=adapter.key)))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer, weight in zip(layers, weights, strict=True):
            layer.get_base_layer().weight = weight
            layer.merged_adapters.clear()


def fold(layer: Any, given: tuple[Tensor], found: Tensor, key: str) -> Tensor:
    """A forward hook: what the layer found, whose gradient goes to the LoRA in its weight, too."""
    if not torch.is_grad_enabled():
        return found
    return Folded.apply(  # type: ignore[no-untyped-call,no-any-return]
        found, given[0].detach(), layer.lora_A[key].weight, layer.lora_B[key].weight, layer.scaling[key]
    )


class Folded(torch.autograd.Function):
    """What a layer found with W + s B A as its weight, unchanged; its gradient g gives those of A and B.

    They are s B^T g^T x and s g^T x A^T, computed from the thin side, so the gradient g^T x of the weight, as large as
    the weight, is never there.
    """

    @staticmethod
    def forward(ctx: Any, found: Tensor, given: Tensor, down: Tensor, up: Tensor, scaling: float) -> Tensor:
        ctx.save_for_backward(given, down, up)
        ctx.scaling = scaling
        return found.view_as(found)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        given, down, up = ctx.saved_tensors
        rows, above = given.flatten(0, -2), gradient.flatten(0, -2)
        of_down = (above @ up).T @ rows
        of_up = ((rows @ down.T).T @ above).T
        return gradient, None, ctx.scaling * of_down, ctx.scaling * of_up, None


def log_probabilities(model: "PreTrainedModel", probe: Mapping[str, Tensor]) -> Tensor:
    """Of every token of the vocabulary at every place of the probe that is not padding."""
    logits = model(**probe).logits.float().log_softmax(-1)
    return logits if model.config.is_encoder_decoder else logits[probe["attention_mask"].bool()]


def probe_of(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str]
) -> dict[str, Tensor]:
    """Prompts as the inputs on which `merge` compares a model with itself."""
    from plumbline.models.collate import attention, padded

    ids = token_ids(tokenizer, prompts)
    probe = {"input_ids": padded(ids, tokenizer.pad_token_id), "attention_mask": attention(ids)}
    if model.config.is_encoder_decoder:
        probe["decoder_input_ids"] = probe["input_ids"]
    return {name: tensor.to(model.device) for name, tensor in probe.items()}
