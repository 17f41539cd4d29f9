"""Find, check and load a model: a folder of an earlier stage, a folder of the user's, or a name on the hub.

Weights are read from safetensors only, and code that a model brings is never run.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from plumbline.errors import ArtifactError
from plumbline.params import Architecture
from plumbline.store import digest, read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

POINTER = "base.json"
CAUSAL = ("LlamaForCausalLM", "Qwen2ForCausalLM", "GPT2LMHeadModel", "GPTNeoXForCausalLM")
SEQ2SEQ = ("T5ForConditionalGeneration", "BartForConditionalGeneration")
MASKED = ("BertForMaskedLM",)


def resolve(source: str, revision: str, pretrained: Path) -> Path:
    """The local folder of a model: one of the project's own in `pretrained`, any other folder, or a hub model.

    Raises ArtifactError, which says what to do offline, when there is none.
    """
    if (pretrained / source).is_dir() and not Path(source).is_absolute():
        return pretrained / source
    folder = Path(source)
    if folder.is_dir():
        return folder
    own = ", ".join(sorted(each.name for each in pretrained.glob("*/"))) if pretrained.is_dir() else "none"
    if folder.is_absolute() or source.startswith(".") or source.count("/") != 1:
        raise ArtifactError(
            f"base.source: {source}: no such folder; name a folder of safetensors, a model of the hub (owner/name), "
            f"or one that comes with the project ({own})"
        )
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "README.md"]  # the last names the licence
        return Path(snapshot_download(source, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub's client raises a dozen unrelated kinds; all mean: not available
        raise ArtifactError(
            f"base.source: {source}: not a folder, and the model hub does not give it ({type(error).__name__}); "
            f"offline, copy the model into a folder and name that folder, or one that comes with the project ({own})"
        ) from None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model, at least one."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        other = [file.name for pattern in ("*.bin", "*.pt", "*.ckpt") for file in folder.glob(pattern)]
        hint = f"only {other[0]}, which may run code when it is read; convert it" if other else "no weights; save them"
        raise ArtifactError(f"{folder}: {hint} as safetensors")
    return files


def describe(source: Path) -> dict[str, Any]:
    """What `base.json` says of a model: where it is, its class and architecture, and the digests of its weights."""
    config = read_json(source / "config.json")
    return {
        "folder": source.as_posix(),
        "architecture": architecture_of(config, source),
        "class": config["architectures"][0],
        "weights": {file.name: digest(file) for file in weight_files(source)},
    }


def architecture_of(config: dict[str, Any], folder: Path) -> Architecture:
    """The training objective that a config.json stands for."""
    name = (config.get("architectures") or ["none"])[0]
    for architecture, names in (("causal", CAUSAL), ("seq2seq", SEQ2SEQ), ("masked", MASKED)):
        if name in names:
            return cast(Architecture, architecture)
    supported = ", ".join((*CAUSAL, *SEQ2SEQ))
    raise ArtifactError(f"{folder}: models of class {name} are not supported; use one of {supported}")


def architecture(folder: Path) -> Architecture:
    """The architecture of a base or model folder."""
    folder = weights_folder(folder, check=False)
    return architecture_of(read_json(folder / "config.json"), folder)


def context_of(folder: Path) -> int | None:
    """How many tokens a decoder reads, or each side of an encoder-decoder; None where its positions have no end."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(weights_folder(folder, check=False), local_files_only=True)
    return getattr(config, "max_position_embeddings", None)


def weights_folder(folder: Path, *, check: bool) -> Path:
    """The folder that holds a model's weights: `folder`, or where its base.json points.

    With `check`, weights that are not those that the base stage saw are refused.
    """
    if not (folder / POINTER).exists():
        if not (folder / "config.json").exists():
            raise ArtifactError(f"{folder}: no config.json, so no model; run the stage that writes it (dvc repro)")
        return folder
    pointer = read_json(folder / POINTER)
    target = Path(pointer["folder"])
    for name, expected in pointer["weights"].items():
        if not (target / name).exists():
            raise ArtifactError(f"{target / name}: the base model's weights are gone; run `dvc repro -f base`")
        if check and digest(target / name) != expected:
            raise ArtifactError(f"{target / name}: not the weights that stage base saw; run `dvc repro -f base`")
    return target


def weight_digests(folder: Path) -> dict[str, str]:
    """The digest of each file of weights of a base or model folder; of a base, those that `load_model` holds it to."""
    if (folder / POINTER).exists():
        digests: dict[str, str] = read_json(folder / POINTER)["weights"]
        return digests
    return {file.name: digest(file) for file in weight_files(folder)}


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a base or model folder, padding on the left, by the end token where it has no pad token.

    That is safe, as what is padding is known from lengths, never from the ids. A separator is an end token where there is
    no other, as in BERT's.
    """
    from transformers import AutoTokenizer

    target = weights_folder(folder, check=False)
    try:
        tokenizer = AutoTokenizer.from_pretrained(target, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a damaged tokenizer file surfaces as one of many kinds
        raise ArtifactError(f"{target}: its tokenizer cannot be read ({str(error).splitlines()[0][:120]})") from None
    tokenizer.padding_side = "left"
    if tokenizer.eos_token_id is None and tokenizer.sep_token_id is not None:
        tokenizer.eos_token = tokenizer.sep_token
    if tokenizer.eos_token_id is None:
        raise ArtifactError(f"{target}: the tokenizer has no end token; add eos_token to its tokenizer_config.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(folder: Path, precision: Literal["float32", "bfloat16"] = "float32") -> "PreTrainedModel":
    """The model of a base or model folder, in evaluation mode, with dropout off, on the GPU where there is one."""
    import torch
    import transformers

    # What its load report warns of is an error here, and one line long.
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    target = weights_folder(folder, check=True)
    weight_files(target)
    kind = architecture(folder)
    auto = {
        "causal": transformers.AutoModelForCausalLM,
        "seq2seq": transformers.AutoModelForSeq2SeqLM,
        "masked": transformers.AutoModelForMaskedLM,
    }[kind]
    try:
        model, problems = auto.from_pretrained(
            target,
            dtype=getattr(torch, precision),
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except Exception as error:  # truncated or foreign safetensors surface as one of many kinds
        raise ArtifactError(f"{target}: the model cannot be loaded ({str(error).splitlines()[0][:160]})") from None
    missing = sorted(problems["missing_keys"]) + sorted(key for key, *_ in problems["mismatched_keys"])
    if missing:
        raise ArtifactError(f"{target}: {len(missing)} weights are missing or of another shape, first {missing[0]}")
    model = model.to("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval()
