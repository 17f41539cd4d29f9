"""The frame of every report: templates that escape all text and stop at a name that they do not know."""

from pathlib import Path
from typing import Any


def document(template: str, helpers: dict[str, Any], **values: Any) -> str:
    """One HTML document from a template of this folder; `helpers` are known in its macros and includes too."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(helpers)
    return environment.get_template(template).render(**values)
