"""From a record of a file to a draft: the row in our terms, not yet rendered for a model.

A format says which of our fields it needs and under which column each is looked for; `columns` of a source maps our
field to another column, with dots for what lies deeper (`instances.0.output`). A row that is no use raises BadRow,
whose message is the reason in the rejects: a class, a colon, and what is wrong with it.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

from plumbline.data.annotations import argilla_opinions, label_studio_opinions
from plumbline.data.duplicates import fingerprint
from plumbline.data.fields import ABSENT, BadRow, Fields, clean, look_up
from plumbline.data.files import Record
from plumbline.data.rankings import Verdicts, aggregate, dense_ranks, verdicts_of
from plumbline.data.templates import choose
from plumbline.errors import DataError
from plumbline.params import FORMATS, Source

ROLES = ("system", "user", "assistant")
SPEAKERS = {"Human": "user", "Assistant": "assistant"}
END_MARKERS = ("<|endoftext|>",)  # that files of prompts and completions put at a completion's end
LIKED = (True, "true", "yes", "up", "1")  # 1 equals True
DISLIKED = (False, "false", "no", "down", "0", "-1", -1)
FIRST = (1, "1", "a", "first", "left", "model_a")  # of two is the better one
SECOND = (2, "2", "b", "second", "right", "model_b")
TIE = (0, "0", "tie", "equal")


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
    opinions: dict[str, Verdicts] | None = None  # of a ranking, by person; "" for one without a name
    liked: bool | None = None
    format: str = ""
    others: tuple[Record, ...] = ()  # further records whose opinions are in this row

    @property
    def kind(self) -> str:
        """`example`, `ranking` or `thumb`."""
        return "ranking" if self.opinions is not None else "thumb" if self.liked is not None else "example"

    @property
    def records(self) -> tuple[Record, ...]:
        """Every record that the row was made from."""
        return (self.record, *self.others)

    @property
    def ranks(self) -> list[int]:
        """Of a ranking, the ranks by all people together."""
        return aggregate((self.opinions or {}).values())

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.record.file}:{self.record.line}"

    @property
    def source_text(self) -> str:
        """All that the prompt says beside its template."""
        return "\n".join(self.fields[name] for name in sorted(self.fields))


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
    family = ""
    if row.has("prompt"):
        family, fields = prompt_of_ranking(row, source)
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
    opinions = {row.label("rater"): verdicts_of([1, 2])}
    return {"family": family, "fields": fields, "answers": [chosen, rejected], "opinions": opinions}


def parse_ranked(row: Fields, source: Source) -> dict[str, Any]:
    completions = row.texts("completions")
    if row.has("rankings"):
        given = row.get("rankings")
        if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
            raise BadRow("type: rankings is not a list of objects with rater and ranks")
        people = [Fields(each, {}) for each in given]
        opinions = {each.label("rater"): ranks_of(each, len(completions)) for each in people}
        if len(opinions) < len(people):
            raise BadRow("ranks: one rater gives two rankings in one row")
    else:
        opinions = {row.label("rater"): ranks_of(row, len(completions))}
    return ranking_row(row, source, completions, opinions)


def ranks_of(row: Fields, count: int) -> Verdicts:
    """The verdicts of the ranks of so many completions."""
    if not row.has("ranks"):
        raise BadRow("missing: ranks is not given")
    ranks = row.get("ranks")
    if not isinstance(ranks, list) or not all(type(rank) is int for rank in ranks):
        raise BadRow("type: ranks is not a list of whole numbers")
    if len(ranks) != count:
        raise BadRow(f"ranks: {len(ranks)} ranks for {count} completions")
    if ranks not in (dense_ranks(ranks), [1 + sum(other < rank for other in ranks) for rank in ranks]):
        raise BadRow(f"ranks: {ranks} is no ranking; 1 is the best, equal numbers are ties, none is left out")
    return verdicts_of(ranks)


def parse_compared(row: Fields, source: Source) -> dict[str, Any]:
    """The better one of each pair of completions (1 and 2, 1 and 3, 2 and 3), by one person or a column for each."""
    completions = row.texts("completions")
    if not row.has("preference"):
        raise BadRow("missing: preference is not given")
    columns, value = row.columns.get("preference"), row.get("preference")
    given = dict(zip(columns, value, strict=True)) if isinstance(columns, list) else {row.label("rater"): value}
    pairs = list(combinations(range(len(completions)), 2))
    opinions: dict[str, Verdicts] = {}
    for rater, each in given.items():
        if each is not None:  # a person who did not see this row
            values = each if isinstance(each, list) else [each]
            if len(values) != len(pairs):
                raise BadRow(f"ranks: {len(values)} preferences for {len(pairs)} pairs of completions")
            opinions[rater] = {pair: verdict(value) for pair, value in zip(pairs, values, strict=True)}
    return ranking_row(row, source, completions, opinions)


def verdict(value: Any) -> int:
    """1 where the first of two is better, -1 where the second is, 0 for a tie."""
    known = value.strip().lower() if isinstance(value, str) else value
    if type(known) in (int, str):
        for names, found in ((FIRST, 1), (SECOND, -1), (TIE, 0)):
            if known in names:
                return found
    raise BadRow(f"type: a preference is {value!r}; write 1 or 2 for the better one, 0 for a tie")


def parse_label_studio(row: Fields, source: Source) -> dict[str, Any]:
    data = row.get("data")
    if not isinstance(data, dict):
        raise BadRow("type: data is not an object with the texts of the task")
    inner = Fields(data, row.columns)
    completions, opinions = label_studio_opinions(inner, row.get("annotations"))
    return ranking_row(inner, source, completions, opinions)


def parse_argilla(row: Fields, source: Source) -> dict[str, Any]:
    fields = row.get("fields")
    inner = Fields(fields, row.columns) if isinstance(fields, dict) else row
    completions, opinions = argilla_opinions(inner, row.content)
    return ranking_row(inner, source, completions, opinions)


def ranking_row(row: Fields, source: Source, completions: list[str], opinions: dict[str, Verdicts]) -> dict[str, Any]:
    """A ranking, if there is anything to rank and anybody who did."""
    if len(completions) < 2:
        raise BadRow("ranks: a ranking needs two completions or more")
    if len(set(completions)) < len(completions):
        raise BadRow("same: two completions are the same text")
    if not opinions:
        raise BadRow("missing: nobody has ranked the completions")
    seen = sorted({place for verdicts in opinions.values() for pair in verdicts for place in pair})
    if len(seen) < len(completions):  # some lie where a tool keeps what was not ranked
        completions = [completions[place] for place in seen]
        opinions = {
            rater: {(seen.index(one), seen.index(other)): each for (one, other), each in verdicts.items()}
            for rater, verdicts in opinions.items()
        }
    family, fields = prompt_of_ranking(row, source)
    return {"family": family, "fields": fields, "answers": completions, "opinions": opinions}


def parse_thumbs(row: Fields, source: Source) -> dict[str, Any]:
    if not row.has("liked"):
        raise BadRow("missing: liked is not given")
    value = row.get("liked")
    value = value.strip().lower() if isinstance(value, str) else value
    if not isinstance(value, (bool, int, str)) or value not in LIKED + DISLIKED:
        raise BadRow(f"type: liked is {row.get('liked')!r}; write true or false")
    family, fields = prompt_of_ranking(row, source)
    return {"family": family, "fields": fields, "answers": [row.text("completion")], "liked": value in LIKED}


def prompt_of_ranking(row: Fields, source: Source) -> tuple[str, dict[str, str]]:
    """Family and fields of a prompt that is a text, a transcript, or a list of messages.

    A text goes through the templates of its task where these have one place, `{prompt}`, so that it reads as the
    task's examples do; otherwise it is the user's turn. Texts of several columns stand one below the other.
    """
    if not row.has("prompt"):
        raise BadRow("missing: prompt is not given")
    value = row.get("prompt")
    if isinstance(row.columns.get("prompt"), list):
        parts = [clean(each, f"prompt.{number}") for number, each in enumerate(value) if each not in (None, "")]
        value = "\n\n".join(parts)
    if isinstance(value, str) and not value.lstrip().startswith("Human:"):
        text = clean(value, "prompt")
        return (source.task, {"prompt": text}) if choose(source.task, {"prompt": text}, "") else ("", {"0 user": text})
    return "", conversation(transcript_or_turns(row, "prompt"), "prompt")


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
    "compared": parse_compared,
    "label_studio": parse_label_studio,
    "argilla": parse_argilla,
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
    if source.format == "ranked":
        spared |= {"ranks"} if "rankings" in source.columns else {"rankings"}
    return list(dict.fromkeys([*(name for name in FORMATS[source.format] if name not in spared), *source.columns]))


def check_columns(records: list[Record], source: Source) -> None:
    """DataError, one line for each column that the format needs or `columns` names and that no row has."""
    if source.format in ("label_studio", "argilla"):  # their columns lie deeper, and each row names what it lacks
        return
    rows = [record.content for record in records if not record.problem]
    there = list(dict.fromkeys(column for row in rows[:100] for column in row))
    problems = []
    needed = ((name, source.columns.get(name, name)) for name in needed_fields(source))
    for name, column in (
        (name, each) for name, found in needed for each in ([found] if isinstance(found, str) else found)
    ):
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
        id=row.label("id") or f"{record.file}:{record.line}",
        group=row.label("group") or own_group(parts["fields"]),
        format=source.format,
        **parts,
    )


def own_group(fields: dict[str, str]) -> str:
    """The group of a row that names none: of a conversation its first turn, of another row all that it is about."""
    first = next((name for name in fields if name.endswith(" user")), None)
    return "text-" + fingerprint(fields[first] if first else "\n".join(fields[name] for name in sorted(fields)))
