"""The knobs of `params.yaml`: one frozen section per stage, no defaults in code, every problem reported at once."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from plumbline.errors import ParamsError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Architecture = Literal["causal", "seq2seq", "masked"]


class Section(BaseModel):
    """A section of params.yaml. Unknown knobs, missing knobs and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class World(Section):
    seed: int
    products: Count
    customers: Count
    agents: Count
    orders: Count
    articles: Count
    dialogues: Count
    rewrites: Count
    questions: Count
    traces: Count
    replies: Count
    raters: Count
    rater_noise: Share
    redteam: Count
    stories: Count


class Pretrain(Section):
    seed: int
    architectures: list[Architecture] = Field(min_length=1)
    vocabulary: Annotated[int, Field(ge=512)]
    context: Annotated[int, Field(ge=64)]
    hidden: Count
    layers: Count
    heads: Count
    feed_forward: Count
    drill_tokens: Annotated[int, Field(ge=0)]
    tokens: dict[Architecture, Count]
    batch: Count
    learning_rate: dict[Architecture, Positive]
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    precision: Literal["float32", "bfloat16"]
    checkpoint_every: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def numbers_for_every_architecture(self) -> "Pretrain":
        for knob in ("tokens", "learning_rate"):
            if missing := [name for name in self.architectures if name not in getattr(self, knob)]:
                raise ValueError(f"{knob} has no number for architecture {missing[0]}; add one")
        return self

    @model_validator(mode="after")
    def heads_divide_hidden(self) -> "Pretrain":
        if self.hidden % (2 * self.heads):
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of twice heads ({self.heads})")
        return self


class Base(Section):
    source: str
    revision: str


# The fields of each format of rows, which `columns` may map; `fields` takes any other name too, for a template.
FORMATS: dict[str, tuple[str, ...]] = {
    "alpaca": ("instruction", "input", "output"),
    "prompt_completion": ("prompt", "completion"),
    "messages": ("messages",),
    "dialogue_summary": ("dialogue", "summary"),
    "fields": ("task", "fields", "answer", "references"),
    "chosen_rejected": ("prompt", "chosen", "rejected", "rater"),
    "ranked": ("prompt", "completions", "ranks", "rater"),
    "thumbs": ("prompt", "completion", "liked"),
}


class Source(Section):
    """One source of rows of `prepare`: where it is, which format it has, and which task it teaches."""

    path: str
    format: Literal[
        "alpaca", "prompt_completion", "messages", "dialogue_summary", "fields", "chosen_rejected", "ranked", "thumbs"
    ]
    task: str
    columns: dict[str, str]
    limit: Annotated[int, Field(ge=0)]

    @field_validator("path")
    @classmethod
    def path_leads_into_a_known_folder(cls, path: str) -> str:
        parts = path.split("/")
        known = path.startswith("hub:") or (parts[0] in ("world", "data") and len(parts) > 1)
        if not known or ".." in parts or "\0" in path:
            raise ValueError(f"{path!r} must be a file under world/ or data/ (put it there), or hub:owner/name:split")
        return path

    @model_validator(mode="after")
    def fields_are_those_of_the_format(self) -> "Source":
        if not self.task and self.format != "fields":
            raise ValueError(f"task must name what format {self.format} teaches; only format fields reads it from rows")
        known = ("id", "group", *FORMATS[self.format])
        for name in self.columns if self.format != "fields" else ():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                raise ValueError(f"columns: format {self.format} has no field {name}; {hint}")
        return self


class Prepare(Section):
    seed: int
    sources: list[Source] = Field(min_length=1)
    max_tokens: Annotated[int, Field(ge=16)]
    overlong: Literal["reject", "cut_prompt"]
    validation: Share
    test: Share
    near_duplicate: Annotated[float, Field(ge=0.3, le=1.0)]
    reject_limit: Share

    @model_validator(mode="after")
    def something_is_left_to_train_on(self) -> "Prepare":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation ({self.validation}) and test ({self.test}) leave nothing to train on")
        return self


class Instruct(Section):
    seed: int
    tasks: list[str]
    epochs: Positive
    batch: Count
    micro_batch: Count
    learning_rate: Positive
    warmup: Share
    weight_decay: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    gradient_clip: Positive
    precision: Literal["float32", "bfloat16"]
    gradient_checkpointing: bool
    checkpoint_every: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def micro_batches_divide_the_batch(self) -> "Instruct":
        if self.batch % self.micro_batch:
            raise ValueError(f"batch ({self.batch}) must be a multiple of micro_batch ({self.micro_batch})")
        return self


class Evaluate(Section):
    seed: int
    rows_per_task: Count
    batch: Count
    max_new_tokens: Count
    stemmer: bool
    resamples: Annotated[int, Field(ge=100)]
    samples: Count


class Params(Section):
    """All of params.yaml."""

    world: World
    pretrain: Pretrain
    base: Base
    prepare: Prepare
    instruct: Instruct
    evaluate: Evaluate


def load_params(path: Path) -> Params:
    """Read and check params.yaml; ParamsError lists every problem with line, knob, what is wrong and a suggestion."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the project's root, where params.yaml is") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ParamsError(f"{path}{line}: {problem}") from None
    except RecursionError:
        raise ParamsError(f"{path}: nested too deeply") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: must hold the sections {', '.join(Params.model_fields)}")
    problems = [f"{path}:{line}: {knob}: stands twice; keep one" for line, knob in duplicate_knobs(tree)]
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        problems += [describe(problem, tree, path) for problem in error.errors()]
    if problems:
        raise ParamsError("\n".join(problems))
    return params


def describe(problem: Any, tree: yaml.Node, path: Path) -> str:
    """One line for one of pydantic's problems: file, line, knob, what is wrong, what to do."""
    location = [str(part) for part in problem["loc"]]
    knob = ".".join(location) or "params"
    line = line_of(tree, location)
    match problem["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(location[-1], known_knobs(location[:-1]), n=1)
            hint = f"did you mean {near[0]}?" if near else "remove it"
            text = f"unknown knob; {hint}"
        case "missing":
            text = "is missing; add it (docs/stages.md explains it)"
        case "value_error":
            text = str(problem["ctx"]["error"])
        case "float_type" if isinstance(problem["input"], str) and is_number(problem["input"]):
            text = f"is text to YAML; write {float(problem['input']):.1e} for {problem['input']}"
        case _:
            text = f"{problem['msg'].lower()}, not {problem['input']!r}"
    return f"{path}:{line}: {knob}: {text}"


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def known_knobs(location: list[str]) -> list[str]:
    """The names of the knobs of the section at `location`."""
    model: Any = Params
    for part in location:
        if part.isdigit() or model is None:
            continue
        field = model.model_fields.get(part)
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        model = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)
    return list(model.model_fields) if model else []


def line_of(node: yaml.Node | None, location: list[str]) -> int:
    """The line on which a knob stands, or the last line of the way to it that exists."""
    line = 1
    for part in location:
        child = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == part:
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            child = node.value[int(part)]
            line = child.start_mark.line + 1
        if child is None:
            return line
        node = child
    return line


def duplicate_knobs(node: yaml.Node | None) -> list[tuple[int, str]]:
    """Keys that stand twice in one mapping: YAML would silently keep the last."""
    found: list[tuple[int, str]] = []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                found.append((key.start_mark.line + 1, key.value))
            seen.add(key.value)
            found += duplicate_knobs(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            found += duplicate_knobs(value)
    return found
