"""The form that a person fills in to start a run: every knob of params.yaml by section, typed and bounded as in
plumbline.params, with the comment that stands beside it there. What is left empty stays as it is in the file."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from plumbline.params import Params, Section, sections_in

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"( {2})?(\w+):\s*([^#]*?)\s*(?:#\s*(.*))?")
NONE = "none"

Recipe = Literal[NONE, *sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))]  # type: ignore[valid-type]


def form(*sections: str) -> Any:
    """A model with a field for each of these sections (default: all), and in it one for each of its knobs."""
    said = meanings((ROOT / "params.yaml").read_text(encoding="utf-8"))
    fields: dict[str, Any] = {}
    for name in sections or Params.model_fields:
        (section,) = sections_in(Params.model_fields[name].annotation)
        fields[name] = (of_section(section, name, said), may_be_left_out(name, said.get(name)))
    return create_model("Knobs", __config__=ConfigDict(extra="forbid"), **fields)


def of_section(section: type[Section], name: str, said: dict[str, str]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for knob, field in section.model_fields.items():
        kind: Any = field.annotation
        if not sections_in(kind):
            kind = Annotated[(kind, *field.metadata)] if field.metadata else kind
        else:  # a list of sections takes the place of that in the file, a table of them is merged into it
            kind = list[dict[str, Any]] if getattr(kind, "__origin__", None) is list else dict[str, Any]
        fields[knob] = (kind, may_be_left_out(knob, said.get(f"{name}.{knob}", field.description)))
    return create_model(f"{section.__name__}Knobs", __config__=ConfigDict(extra="forbid"), **fields)


def may_be_left_out(title: str, description: str | None) -> Any:
    """A field without a default in the schema, which the form shows as an empty box and not as a choice of types."""
    return Field(default_factory=lambda: None, title=title, description=description)


def meanings(text: str) -> dict[str, str]:
    """What params.yaml says of each section and each `section.knob`: the comment, and the value that stands there."""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        if match := LINE.fullmatch(line):
            indented, name, value, comment = match.groups()
            section = section if indented else name
            said = [comment, f"params.yaml has {value}" if value else ""]
            found[f"{section}.{name}" if indented else name] = "; ".join(part for part in said if part)
    return found


def changes(knobs: BaseModel | dict[str, Any]) -> dict[str, Any]:
    """The knobs that were filled in, by section, as a recipe would write them."""
    filled = knobs if isinstance(knobs, dict) else knobs.model_dump(exclude_unset=True)
    return {name: section for name, section in filled.items() if section}
