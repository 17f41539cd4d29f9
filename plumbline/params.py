"""The knobs of `params.yaml`: one frozen section per stage, no defaults in code, every problem reported at once."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from plumbline.errors import ParamsError

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
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
    demonstrations: Annotated[int, Field(ge=0)]
    raters: Count
    rater_noise: Annotated[float, Field(ge=0.0, le=0.5)]
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


Licence = Annotated[str, Field(min_length=1)]  # an SPDX identifier, such as cc-by-4.0


class Base(Section):
    source: str
    revision: str
    licence: Licence | None = Field(None, description="of a base that did not come with the clone: an SPDX identifier")


# The fields of each format of rows, which `columns` may map; `fields` takes any other name too, for a template.
FORMATS: dict[str, tuple[str, ...]] = {
    "alpaca": ("instruction", "input", "output"),
    "prompt_completion": ("prompt", "completion"),
    "messages": ("messages",),
    "dialogue_summary": ("dialogue", "summary"),
    "fields": ("task", "fields", "answer", "references"),
    "chosen_rejected": ("prompt", "chosen", "rejected", "rater"),
    "ranked": ("prompt", "completions", "ranks", "rankings", "rater"),
    "compared": ("prompt", "completions", "preference", "rater"),
    "label_studio": ("prompt", "completions"),
    "argilla": ("prompt", "completions", "ranking"),
    "thumbs": ("prompt", "completion", "liked"),
}


class Source(Section):
    """One source of rows of `prepare`: where it is, which format it has, and which task it teaches.

    `licence` may be left out; then no model that learnt from the rows can become a champion.
    """

    path: str
    format: Literal[
        "alpaca",
        "prompt_completion",
        "messages",
        "dialogue_summary",
        "fields",
        "chosen_rejected",
        "ranked",
        "compared",
        "label_studio",
        "argilla",
        "thumbs",
    ]
    task: str
    columns: dict[str, str | Annotated[list[str], Field(min_length=2)]]
    limit: Annotated[int, Field(ge=0)]
    licence: Licence | None = None

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
    ties: Literal["keep", "drop"]

    @model_validator(mode="after")
    def something_is_left_to_train_on(self) -> "Prepare":
        if self.validation + self.test >= 1:
            raise ValueError(f"validation ({self.validation}) and test ({self.test}) leave nothing to train on")
        return self


class Training(Section):
    """The knobs that every fine-tuning shares."""

    seed: int
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
    def micro_batches_divide_the_batch(self) -> "Training":
        if self.batch % self.micro_batch:
            raise ValueError(f"batch ({self.batch}) must be a multiple of micro_batch ({self.micro_batch})")
        return self


class Tuning(Training):
    """The knobs of learning from answers."""

    length_power: Annotated[float, Field(ge=0.0, le=1.0)]


class Instruct(Tuning):
    tasks: list[str]


class Adapter(Section):
    """What every kind of adapter says. `epochs` and `learning_rate`, where they stand, are its own."""

    tasks: list[str] = Field(min_length=1)
    start: Literal["base", "instruct"]
    epochs: Positive | None = None
    learning_rate: Positive | None = None


class LoraSize(Section):
    rank: Count
    alpha: Count
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    targets: Literal["attention", "attention+mlp"]


class Lora(Adapter, LoraSize):
    kind: Literal["lora"]


class Prompt(Adapter):
    kind: Literal["prompt"]
    tokens: Count
    init: Annotated[str, Field(min_length=1)]


class Full(Adapter):
    kind: Literal["full"]


AdapterName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Adapt(Tuning):
    adapters: dict[AdapterName, Annotated[Lora | Prompt | Full, Field(discriminator="kind")]] = Field(min_length=1)

    @model_validator(mode="after")
    def names_are_not_those_of_other_models(self) -> "Adapt":
        if taken := [name for name in self.adapters if name in ("base", "instruct", "ppo")]:
            raise ValueError(f"an adapter cannot be called {taken[0]}, as a model that it is compared with is")
        return self

    def training(self, name: str) -> "Adapt":
        """The knobs of training with the adapter's own in place of the shared ones."""
        own = self.adapters[name].model_dump(include={"epochs", "learning_rate"}, exclude_none=True)
        return self.model_copy(update=own)


class Reward(Training):
    start: Literal["base", "instruct"]
    lora: LoraSize | None
    margin: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    centring: Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
    resamples: Annotated[int, Field(ge=100)]
    shown_pairs: Count


class KlControl(Section):
    """The price of drift from the reference: fixed, or led toward a target."""

    coefficient: NotNegative
    control: Literal["fixed", "adaptive"]
    target: Positive
    horizon: Count


class Alarms(Section):
    """From where on something is an alarm; the fields of `plumbline.algorithms.alarms.Limits`."""

    window: Count
    kl_budget: Positive
    kl_noise: Positive
    length_factor: Annotated[float, Field(gt=1.0, allow_inf_nan=False)]
    repetition_rise: Share
    entropy_share: Share
    distinct_share: Share
    ended_fall: Share
    second_fall: Positive


class Ppo(Section):
    seed: int
    lora: LoraSize | None
    values: Literal["shared", "separate"]
    rewards: dict[str, float] = Field(min_length=1)
    second_scorer: str
    cycles: Count
    batch: Count
    minibatch: Count
    micro_batch: Count
    sampling_batch: Count
    epochs: Count
    learning_rate: Positive
    value_learning_rate: Positive
    warmup: Share
    gradient_clip: Positive
    max_new_tokens: Count
    temperature: Positive
    kl: KlControl
    discount: Share
    trace: Share
    clip_range: Positive
    value_clip_range: Positive
    value_coefficient: NotNegative
    entropy_coefficient: NotNegative
    missing_end_penalty: NotNegative
    score_limit: Positive
    step_kl_limit: Positive
    precision: Literal["float32", "bfloat16"]
    alarms: Alarms
    stop_on_alarm: bool
    measured_prompts: Count
    resamples: Annotated[int, Field(ge=100)]
    samples: Count
    checkpoint_every: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def sizes_fit_and_nothing_is_dropped(self) -> "Ppo":
        for small, large in (("micro_batch", "minibatch"), ("minibatch", "batch")):
            if getattr(self, large) % getattr(self, small):
                raise ValueError(
                    f"{large} ({getattr(self, large)}) must be a multiple of {small} ({getattr(self, small)})"
                )
        if self.lora and self.lora.dropout:
            raise ValueError(f"lora.dropout ({self.lora.dropout}) must be 0: it would make the ratios of PPO random")
        if self.kl.control == "adaptive" and not self.kl.coefficient:
            raise ValueError("kl.coefficient (0) must be above 0 for adaptive control, which multiplies it")
        if self.kl.horizon < self.batch:
            raise ValueError(f"kl.horizon ({self.kl.horizon}) must be at least batch ({self.batch})")
        return self


class Evaluate(Section):
    seed: int
    rows_per_task: Count
    batch: Count
    max_new_tokens: Count
    stemmer: bool
    resamples: Annotated[int, Field(ge=100)]
    samples: Count
    forgetting_rows: Count


class Params(Section):
    """All of params.yaml."""

    world: World
    pretrain: Pretrain
    base: Base
    prepare: Prepare
    instruct: Instruct
    adapt: Adapt
    reward: Reward
    ppo: Ppo
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
    place = [str(part) for part in problem["loc"]]
    location = without_kind(place)
    knob = ".".join(location) or "params"
    line = line_of(tree, location)
    match problem["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(location[-1], known_knobs(place[:-1]), n=1)
            hint = f"did you mean {near[0]}?" if near else "remove it"
            text = f"unknown knob; {hint}"
        case "missing":
            text = "is missing; add it (docs/stages.md explains it)"
        case "union_tag_not_found":
            text = "kind is missing; write lora, prompt or full"
        case "union_tag_invalid":
            text = f"kind {problem['ctx']['tag']!r} is unknown; write lora, prompt or full"
        case "string_pattern_mismatch":
            text = f"{problem['input']!r} is no name; use small letters, digits and _, a letter first"
        case "value_error":
            text = str(problem["ctx"]["error"])
        case "float_type" if isinstance(problem["input"], str) and is_number(problem["input"]):
            text = f"is text to YAML; write {float(problem['input']):.1e} for {problem['input']}"
        case _:
            text = f"{problem['msg'].lower()}, not {problem['input']!r}"
    return f"{path}:{line}: {knob}: {text}"


def without_kind(location: list[str]) -> list[str]:
    """A location without the kind of adapter that pydantic puts behind the adapter's name."""
    if location[:2] == ["adapt", "adapters"]:
        return [part for depth, part in enumerate(location) if depth != 3]
    return location


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def takes_null(location: list[str]) -> bool:
    """Whether null is a value of the knob at `location`, one that must be given, and does not stand for its absence."""
    fields = [section.model_fields.get(location[-1]) for section in sections_at(location[:-1])]
    return any(field and field.is_required() and type(None) in get_args(field.annotation) for field in fields)


def known_knobs(location: list[str]) -> list[str]:
    """The names of the knobs of the section at pydantic's `location`."""
    return [name for section in sections_at(location) for name in section.model_fields]


def sections_at(location: list[str]) -> list[type[Section]]:
    """What the section at pydantic's `location` may be; several where a kind chooses one."""
    models: list[type[Section]] = [Params]  # type: ignore[list-item]
    for part in location:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        if fields:
            models = [section for field in fields for section in sections_in(field.annotation)]
        else:  # a number, a name, or the kind that chooses one of several sections
            models = [model for model in models if model.__name__.lower() == part] or models
    return models


def sections_in(annotation: Any) -> list[type[Section]]:
    """The sections that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in getattr(annotation, "__args__", ()) for section in sections_in(part)]


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
