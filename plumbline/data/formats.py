"""From a record of a file to a draft: the row in our terms, not yet rendered for a model.

A format says which of our fields it needs and under which column each is looked for; `columns` of a source maps our
field to another column, with dots for what lies deeper (`instances.0.output`). A row that is no use raises BadRow,
whose message is the reason in the rejects: a class, a colon, and what is wrong with it.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from plumbline.data.duplicates import fingerprint
from plumbline.data.files import Record, kind_of
from plumbline.errors import DataError
from plumbline.params import FORMATS, Source

ROLES = ("system", "user", "assistant")
SPEAKERS = {"Human": "user", "Assistant": "assistant"}
END_MARKERS = ("<|endoftext|>",)  # that files of prompts and completions put at a completion's end
LIKED = (True, "true", "yes", "up", "1")  # 1 equals True
DISLIKED = (False, "false", "no", "down", "0", "-1", -1)
ABSENT = object()


class BadRow(Exception):
    """One row cannot be used; the message is the reason in the rejects."""


@dataclass(frozen=True)
class Draft:
    """A row in our terms: the texts that its prompt is made of, and what may follow the prompt."""

    record: Record
    id: str
    group: str
    task: str
    family: str  # of templates, one of which the prompt is made by; "" for a conversation, which needs none
    fields: dict[str, str]  # of the template; of a conversation, its turns, as `0 user`
    answers: list[str]  # an example's references, a ranking's completions, the one completion of a thumb
    ranks: list[int] | None = None
    rater: str = ""
    liked: bool | None = None

    @property
    def kind(self) -> str:
        """`example`, `ranking` or `thumb`."""
        return "ranking" if self.ranks is not None else "thumb" if self.liked is not None else "example"

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.record.file}:{self.record.line}"

    @property
    def source_text(self) -> str:
        """All that the prompt says beside its template."""
        return "\n".join(self.fields[name] for name in sorted(self.fields))


class Fields:
    """The fields of one record, by our names."""

    def __init__(self, content: dict[str, Any], columns: dict[str, str]) -> None:
        self.content, self.columns = content, columns

    def get(self, name: str) -> Any:
        """The value of a field, ABSENT where the record has no such column."""
        return look_up(self.content, self.columns.get(name, name))

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


def parse_alpaca(row: Fields, source: Source) -> dict[str, Any]:
    fields = {"instruction": row.text("instruction")}
    if text := row.text_or_blank("input"):
        fields["input"] = text
    return {"family": "instruction", "fields": fields, "answers": row.texts("output")}


def parse_prompt_completion(row: Fields, source: Source) -> dict[str, Any]:
    if isinstance(row.get("prompt"), list):
        fields = conversation(turns_of(row.get("prompt"), "prompt"), "prompt")
        return {"family": "", "fields": fields, "answers": completions_of(row, "completion")}
    return {"family": "prompt", "fields": {"prompt": row.text("prompt")}, "answers": completions_of(row, "completion")}


def completions_of(row: Fields, name: str) -> list[str]:
    """Completions without the marker of the text's end."""
    found = []
    for text in row.texts(name):
        for marker in END_MARKERS:
            text = text.removesuffix(marker)
        found.append(clean(text, name))
    return found


def parse_messages(row: Fields, source: Source) -> dict[str, Any]:
    if not row.has("messages"):
        raise BadRow("missing: messages is not given")
    *prompt, (role, answer) = turns_of(row.get("messages"), "messages")
    if role != "assistant":
        raise BadRow("turns: the last message is not the assistant's, so there is no answer")
    return {"family": "", "fields": conversation(prompt, "messages"), "answers": [answer]}


def parse_dialogue_summary(row: Fields, source: Source) -> dict[str, Any]:
    return {"family": "summarise", "fields": {"dialogue": row.text("dialogue")}, "answers": row.texts("summary")}


def parse_fields(row: Fields, source: Source) -> dict[str, Any]:
    task = source.task or row.text("task")
    names = template_fields(row.columns)
    if names:
        texts = row
    else:
        inner = row.get("fields")
        if not isinstance(inner, dict):
            raise BadRow("type: fields is not an object of named texts")
        texts, names = Fields(inner, {}), list(inner)
    fields = {name: text for name in names if (text := texts.text_or_blank(name))}
    answers = row.texts("answer")
    if row.has("references"):
        answers = list(dict.fromkeys([*answers, *row.texts("references")]))
    return {"task": task, "family": task, "fields": fields, "answers": answers}


def parse_chosen_rejected(row: Fields, source: Source) -> dict[str, Any]:
    if row.has("prompt"):
        fields = prompt_fields(row)
        chosen, rejected = (last_turn(row, name) for name in ("chosen", "rejected"))
    else:
        (*turns, (role, chosen)), (*others, (other_role, rejected)) = (
            transcript_or_turns(row, name) for name in ("chosen", "rejected")
        )
        if {role, other_role} != {"assistant"}:
            raise BadRow("turns: chosen or rejected does not end with the assistant's turn")
        if turns != others:
            raise BadRow("turns: chosen and rejected differ before their last turn, so no prompt is common to them")
        fields = conversation(turns, "chosen")
    if chosen == rejected:
        raise BadRow("same: chosen and rejected are the same text")
    return {
        "family": "",
        "fields": fields,
        "answers": [chosen, rejected],
        "ranks": [1, 2],
        "rater": row.text_or_blank("rater"),
    }


def parse_ranked(row: Fields, source: Source) -> dict[str, Any]:
    completions, ranks = row.texts("completions"), row.get("ranks")
    if len(completions) < 2:
        raise BadRow("ranks: a ranking needs two completions or more")
    if not isinstance(ranks, list) or not all(type(rank) is int for rank in ranks):
        raise BadRow("type: ranks is not a list of whole numbers")
    if len(ranks) != len(completions):
        raise BadRow(f"ranks: {len(ranks)} ranks for {len(completions)} completions")
    dense = dense_ranks(ranks)
    if ranks not in (dense, [1 + sum(other < rank for other in ranks) for rank in ranks]):
        raise BadRow(f"ranks: {ranks} is no ranking; 1 is the best, equal numbers are ties, none is left out")
    if len(set(completions)) < len(completions):
        raise BadRow("same: two completions are the same text")
    rater = row.text_or_blank("rater")
    return {"family": "", "fields": prompt_fields(row), "answers": completions, "ranks": dense, "rater": rater}


def dense_ranks(ranks: Iterable[int]) -> list[int]:
    """Ranks renumbered 1, 2, 3 without gaps; ties stay ties. A ranking is dense when this leaves it as it is."""
    ranks = list(ranks)
    return [1 + sorted(set(ranks)).index(rank) for rank in ranks]


def parse_thumbs(row: Fields, source: Source) -> dict[str, Any]:
    if not row.has("liked"):
        raise BadRow("missing: liked is not given")
    value = row.get("liked")
    value = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(value, (bool, int, str)) or value not in LIKED + DISLIKED:
        raise BadRow(f"type: liked is {row.get('liked')!r}; write true or false")
    return {"family": "", "fields": prompt_fields(row), "answers": [row.text("completion")], "liked": value in LIKED}


def prompt_fields(row: Fields) -> dict[str, str]:
    """The turns of a prompt that is a text, a transcript, or a list of messages."""
    if not row.has("prompt"):
        raise BadRow("missing: prompt is not given")
    value = row.get("prompt")
    if isinstance(value, str) and not value.lstrip().startswith("Human:"):
        return {"0 user": clean(value, "prompt")}
    return conversation(transcript_or_turns(row, "prompt"), "prompt")


def last_turn(row: Fields, name: str) -> str:
    """A completion that stands alone, or at the end of a list of messages."""
    value = row.get(name)
    return turns_of(value, name)[-1][1] if isinstance(value, list) else row.text(name)


def transcript_or_turns(row: Fields, name: str) -> list[tuple[str, str]]:
    """Role and text of each turn of a list of messages, or of a transcript with `Human:` and `Assistant:`."""
    value = row.get(name)
    if isinstance(value, list):
        return turns_of(value, name)
    text = "\n\n" + row.text(name)
    before, *parts = re.split(r"\n\n(Human|Assistant):", text)
    if before.strip() or not parts:
        raise BadRow(f"turns: {name} does not start with `Human:`")
    return [
        (SPEAKERS[speaker], clean(said, f"a turn of {name}"))
        for speaker, said in zip(parts[::2], parts[1::2], strict=True)
    ]


def turns_of(value: Any, name: str) -> list[tuple[str, str]]:
    """Role and text of each message of a list."""
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise BadRow(f"type: {name} is not a list of messages")
    if not value:
        raise BadRow(f"blank: {name} is an empty list")
    turns = []
    for number, message in enumerate(value):
        role = message.get("role")
        if role not in ROLES:
            raise BadRow(f"turns: message {number} of {name} has the role {role!r}; write one of {', '.join(ROLES)}")
        turns.append((role, clean(message.get("content"), f"{name}.{number}.content")))
    return turns


def conversation(turns: list[tuple[str, str]], name: str) -> dict[str, str]:
    """The fields of a prompt that is a conversation. A person speaks last, and nobody twice in a row."""
    roles = [role for role, _ in turns]
    if not roles or roles[-1] != "user":
        raise BadRow(f"turns: no turn of the user before the answer in {name}")
    if "system" in roles[1:]:
        raise BadRow(f"turns: a system message of {name} is not the first")
    if any(role == after for role, after in pairwise(roles)):
        raise BadRow(f"turns: two turns in a row of the same speaker in {name}")
    return {f"{number} {role}": text for number, (role, text) in enumerate(turns)}


PARSERS: dict[str, Callable[[Fields, Source], dict[str, Any]]] = {
    "alpaca": parse_alpaca,
    "prompt_completion": parse_prompt_completion,
    "messages": parse_messages,
    "dialogue_summary": parse_dialogue_summary,
    "fields": parse_fields,
    "chosen_rejected": parse_chosen_rejected,
    "ranked": parse_ranked,
    "thumbs": parse_thumbs,
}
OPTIONAL = ("input", "references", "rater")


def template_fields(columns: Iterable[str]) -> list[str]:
    """The columns of format `fields` that are places of a template."""
    return [name for name in columns if name not in ("id", "group", *FORMATS["fields"])]


def needed_fields(source: Source) -> list[str]:
    """The fields that some row of a source must have: those of its format, and those that `columns` names."""
    spared = {*OPTIONAL}
    if source.format == "fields":
        spared |= {"task"} if source.task else set()
        spared |= {"fields"} if template_fields(source.columns) else set()
    if source.format == "chosen_rejected":
        spared |= {"prompt"}
    return list(dict.fromkeys([*(name for name in FORMATS[source.format] if name not in spared), *source.columns]))


def check_columns(records: list[Record], source: Source) -> None:
    """DataError, one line for each column that the format needs or `columns` names and that no row has."""
    rows = [record.content for record in records if not record.problem]
    there = list(dict.fromkeys(column for row in rows[:100] for column in row))
    problems = []
    for name in needed_fields(source):
        column = source.columns.get(name, name)
        if rows and all(look_up(row, column) is ABSENT for row in rows):
            near = difflib.get_close_matches(column, there, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            problems.append(
                f"{source.path}: no column {column} (for {name}); {hint}map it in `columns`; "
                f"the file has {', '.join(there) or 'none'}"
            )
    if problems:
        raise DataError("\n".join(problems))


def draft(record: Record, source: Source) -> Draft:
    """The row of a record in our terms. Raises BadRow with the reason when it cannot be used."""
    if record.problem:
        raise BadRow(record.problem)
    row = Fields(record.content, source.columns)
    parts = {"task": source.task, **PARSERS[source.format](row, source)}
    return Draft(
        record=record,
        id=label(row, "id") or f"{record.file}:{record.line}",
        group=label(row, "group") or own_group(parts["fields"]),
        **parts,
    )


def label(row: Fields, name: str) -> str:
    """An id or a group: text or a whole number; blank where the row has none."""
    value = row.get(name)
    return str(value) if type(value) is int else row.text_or_blank(name)


def own_group(fields: dict[str, str]) -> str:
    """The group of a row that names none: of a conversation its first turn, of another row all that it is about."""
    first = next((name for name in fields if name.endswith(" user")), None)
    return "text-" + fingerprint(fields[first] if first else "\n".join(fields[name] for name in sorted(fields)))
