"""From drafts to rows as the model sees them: the template filled, the chat template around it, the length held."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from plumbline.data.fields import BadRow
from plumbline.data.formats import Draft
from plumbline.data.rankings import Pair, votes
from plumbline.data.templates import choose, fill, load_templates
from plumbline.models.encode import answer_ids, count_tokens, render_prompt
from plumbline.params import Architecture, Prepare
from plumbline.rows import Example, Preference, Ranking, Row, Thumb

if TYPE_CHECKING:
    from plumbline.models.encode import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Rendered:
    """A draft with its prompt, and later its place in a split.

    `answer_tokens` counts the longest text that is trained on, end token included.
    """

    draft: Draft
    template: str
    prompt: str
    prompt_tokens: int
    answer_tokens: int
    ties: bool = True  # whether a tie of two completions is half a vote for each
    cut: bool = False
    group: str = ""
    split: str = ""

    def row(self) -> Row:
        """The row as the later stages read it."""
        draft = self.draft
        own: dict[str, Any] = {
            "id": draft.id,
            "group": self.group,
            "prompt": self.prompt,
            "source_file": draft.record.file,
            "source_line": draft.record.line,
        }
        if draft.opinions is not None:
            pairs = [
                Preference(better=better, worse=worse, votes=number) for (better, worse), number in self.votes().items()
            ]
            said: dict[str, Any] = {"ranks": draft.ranks, "pairs": pairs, "raters": sorted(draft.opinions)}
            return Ranking(**own, **said, task=draft.task, completions=draft.answers)
        if draft.liked is not None:
            return Thumb(**own, completion=draft.answers[0], liked=draft.liked)
        example: dict[str, Any] = {"answer": draft.answers[0], "references": draft.answers, "template": self.template}
        return Example(**own, **example, task=draft.task)

    def votes(self) -> dict[Pair, float]:
        """Of a ranking, the votes for the first of (better, worse) completions."""
        return votes((self.draft.opinions or {}).values(), self.ties)

    def length(self, architecture: Architecture) -> int:
        """The tokens that `max_tokens` limits: of both texts together, or of the longer one (encoder-decoder)."""
        if architecture == "seq2seq":
            return max(self.prompt_tokens, self.answer_tokens)
        return self.prompt_tokens + self.answer_tokens


def render(
    drafts: list[Draft],
    tokenizer: "PreTrainedTokenizerBase",
    architecture: Architecture,
    params: Prepare,
    reject: Callable[[Draft, str], None],
) -> list[Rendered]:
    """The drafts that fit, each with its prompt; `reject` is told of each other one and why."""
    # Llama 3 marks its headers as special among the added tokens alone.
    added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    tokens = sorted({*tokenizer.all_special_tokens, *added}, key=lambda token: (-len(token), token))
    special = re.compile("|".join(map(re.escape, tokens)))
    prompted: list[tuple[Draft, str, str]] = []
    for draft in drafts:
        try:
            refuse_special_tokens(draft, special)
            name, text = template_of(draft, params.seed)
            prompted.append((draft, name, prompt_of(draft.fields, text, tokenizer)))
        except BadRow as error:
            reject(draft, str(error))
    lengths = count_tokens(tokenizer, [prompt for _, _, prompt in prompted])
    trained = [draft.answers[:1] if draft.kind == "example" else draft.answers for draft, _, _ in prompted]
    answers = iter(answer_ids(tokenizer, [answer for each in trained for answer in each]))
    rows = []
    for (draft, name, prompt), length, each in zip(prompted, lengths, trained, strict=True):
        row = Rendered(draft, name, prompt, length, max(len(next(answers)) for _ in each), params.ties == "keep")
        try:
            rows.append(fitted(row, tokenizer, architecture, params))
        except BadRow as error:
            reject(draft, str(error))
    return rows


def refuse_special_tokens(draft: Draft, special: re.Pattern[str]) -> None:
    """BadRow when a text spells a token that the tokenizer reads as a mark: it would forge a turn or an end."""
    for text in (*draft.fields.values(), *draft.answers):
        if found := special.search(text):
            raise BadRow(f"special: a text holds {found[0]}, which the base model's tokenizer reads as a mark")


def template_of(draft: Draft, seed: int) -> tuple[str, str]:
    """Name and text of a draft's template; both blank for a conversation."""
    if not draft.family:
        return "", ""
    chosen = choose(draft.family, draft.fields, f"{seed} {draft.id}")
    if chosen is None:
        there = load_templates().get(draft.family, [])
        known = f"has templates for {' + '.join(sorted(there[0][2]))}" if there else "has no templates"
        raise BadRow(
            f"template: task {draft.family} {known}, and the row has {' + '.join(sorted(draft.fields)) or 'no text'}; "
            "add one to plumbline/data/templates.yaml"
        )
    return chosen


def prompt_of(fields: dict[str, str], template: str, tokenizer: "PreTrainedTokenizerBase") -> str:
    """The prompt of a filled template, or of a conversation where the template is blank."""
    if template:
        messages = [{"role": "user", "content": fill(template, fields)}]
    else:
        messages = [{"role": name.split()[1], "content": text} for name, text in fields.items()]
    return render_prompt(tokenizer, messages)


def fitted(
    row: Rendered, tokenizer: "PreTrainedTokenizerBase", architecture: Architecture, params: Prepare
) -> Rendered:
    """The row if it fits, or with its longest field shortened from the end until it does. BadRow when neither works.

    Answers are never cut: a model that is trained on half an answer learns to stop anywhere.
    """
    if row.length(architecture) <= params.max_tokens:
        return row
    reason = f"overlong: {row.length(architecture)} tokens of at most {params.max_tokens}"
    if params.overlong == "reject":
        raise BadRow(reason)
    if row.answer_tokens >= params.max_tokens:
        raise BadRow(f"{reason}; the answer alone has {row.answer_tokens}")
    _, template = template_of(row.draft, params.seed)
    name = max(row.draft.fields, key=lambda field: len(row.draft.fields[field]))
    whole = row.draft.fields[name]

    def shortened(characters: int) -> Rendered:
        fields = {**row.draft.fields, name: whole[:characters].rstrip()}
        prompt = prompt_of(fields, template, tokenizer)
        return replace(
            row,
            draft=replace(row.draft, fields=fields),
            prompt=prompt,
            prompt_tokens=count_tokens(tokenizer, [prompt])[0],
            cut=True,
        )

    ends = [found.end() for found in re.finditer(r"\S+", whole)]
    fits, too_long = 0, len(ends)  # in words; the search keeps `fits` fitting and `too_long` not
    best = None
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        candidate = shortened(ends[middle - 1])
        if candidate.length(architecture) <= params.max_tokens:
            fits, best = middle, candidate
        else:
            too_long = middle
    if best is None:
        raise BadRow(f"{reason}; it would not fit with {name} cut away either")
    return best
