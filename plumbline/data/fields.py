"""The fields of one record by our names, and what is said of a field that is no use."""

from collections.abc import Mapping
from typing import Any

from plumbline.data.files import kind_of

Columns = Mapping[str, str | list[str]]
ABSENT = object()


class BadRow(Exception):
    """One row cannot be used; the message is the reason in the rejects."""


class Fields:
    """The fields of one record, by our names."""

    def __init__(self, content: dict[str, Any], columns: Columns) -> None:
        self.content, self.columns = content, columns

    def get(self, name: str) -> Any:
        """The value of a field, ABSENT where the record has no such column. Of several columns, the list of values."""
        column = self.columns.get(name, name)
        if isinstance(column, str):
            return look_up(self.content, column)
        values = [look_up(self.content, each) for each in column]
        return (
            ABSENT
            if all(value is ABSENT for value in values)
            else [None if each is ABSENT else each for each in values]
        )

    def has(self, name: str) -> bool:
        return self.get(name) not in (ABSENT, None)

    def text(self, name: str) -> str:
        """A text that is not blank."""
        if not self.has(name):
            raise BadRow(f"missing: {name} is not given")
        return clean(self.get(name), name)

    def text_or_blank(self, name: str) -> str:
        """A text, blank where it is not given."""
        value = self.get(name)
        blank = value in (ABSENT, None) or (isinstance(value, str) and not value.strip())
        return "" if blank else clean(value, name)

    def texts(self, name: str) -> list[str]:
        """One or more texts: a list of them, or one alone."""
        value = self.get(name)
        if not isinstance(value, list):
            return [self.text(name)]
        if not value:
            raise BadRow(f"blank: {name} is an empty list")
        return [clean(each, f"{name}.{number}") for number, each in enumerate(value)]

    def label(self, name: str) -> str:
        """An id, a group or a person: text or a whole number; blank where it is not given."""
        value = self.get(name)
        return str(value) if type(value) is int else self.text_or_blank(name)


def look_up(content: Any, column: str) -> Any:
    """The value at a column, or at a dotted path into the columns; ABSENT where there is none."""
    if isinstance(content, dict) and column in content:
        return content[column]
    for part in column.split("."):
        if isinstance(content, dict) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdecimal() and int(part) < len(content):
            content = content[int(part)]
        else:
            return ABSENT
    return content


def clean(value: Any, name: str) -> str:
    """A text with Unix line ends and no space around it; BadRow where it is blank, no text, or no Unicode."""
    if not isinstance(value, str):
        raise BadRow(f"type: {name} is {kind_of(value)}, not text")
    if "\0" in value:
        raise BadRow(f"characters: {name} holds a NUL character")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow(f"characters: {name} holds half a surrogate pair, which is no Unicode text") from None
    text = value.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise BadRow(f"blank: {name} is blank")
    return text
