"""Prompt templates, which are data: several per task, as in FLAN (Wei et al. 2022), one drawn for each row."""

import hashlib
import string
from functools import cache
from pathlib import Path

import yaml

TEMPLATES = Path(__file__).parent / "templates.yaml"


@cache
def load_templates() -> dict[str, list[tuple[str, str, frozenset[str]]]]:
    """For each family its templates: name, text, and the fields that the text has places for."""
    content: dict[str, list[str]] = yaml.safe_load(TEMPLATES.read_text(encoding="utf-8"))
    return {
        family: [(f"{family}.{number}", text, places(text)) for number, text in enumerate(texts, 1)]
        for family, texts in content.items()
    }


def places(text: str) -> frozenset[str]:
    """The names in braces of a template."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(text) if name)


def choose(family: str, fields: dict[str, str], key: str) -> tuple[str, str] | None:
    """Name and text of one template of the family with places for exactly these fields, drawn by a hash of `key`.

    None where the family has no such template.
    """
    fitting = [(name, text) for name, text, places in load_templates().get(family, []) if places == fields.keys()]
    draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return fitting[draw % len(fitting)] if fitting else None


def fill(template: str, fields: dict[str, str]) -> str:
    """The template with its places filled. Braces in a field's text are text."""
    return template.format_map(fields)
