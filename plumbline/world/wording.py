"""A small grammar of wordings: one pattern stands for many sentences.

`[hello|good [morning|evening]|]` stands for any one of its alternatives, an empty one for nothing; `{order}` is a
slot, filled last. A pattern is parsed once and then costs only its draws.
"""

import functools
import random
import re
from collections.abc import Mapping

TOKENS = re.compile(r"[\[\]|]|[^\[\]|]+")
SPACES = re.compile(r"\s+(?=[,.;:!?](?:\s|$))|(?<=\s)\s+")
STARTS = re.compile(r"(?:^|[.!?] )[a-z]")
VOWELS = frozenset("aeiou")


@functools.cache
def parsed(pattern: str) -> tuple:
    """The pattern as nested choices. ValueError for a bracket that is not closed."""
    tokens = TOKENS.findall(pattern)
    position = 0

    def sequence() -> tuple:
        nonlocal position
        nodes: list[str | tuple] = []
        while position < len(tokens) and tokens[position] not in "|]":
            if tokens[position] == "[":
                nodes.append(choice())
            else:
                nodes.append(tokens[position])
                position += 1
        return tuple(nodes)

    def choice() -> tuple:
        nonlocal position
        alternatives = []
        while position < len(tokens) and tokens[position] != "]":
            position += 1  # the opening bracket or a bar
            alternatives.append(sequence())
        if position == len(tokens):
            raise ValueError(f"a bracket is not closed: {pattern}")
        position += 1
        return tuple(alternatives)

    nodes = sequence()
    if position < len(tokens):
        raise ValueError(f"a bar or closing bracket stands outside a choice: {pattern}")
    return nodes


def drawn(rng: random.Random, nodes: tuple) -> str:
    """One wording of a parsed pattern, slots still open."""
    return "".join(
        [node if isinstance(node, str) else drawn(rng, node[int(rng.random() * len(node))]) for node in nodes]
    )


def tidy(text: str) -> str:
    """Single spaces, none before a mark, a capital at the start of every sentence."""
    text = SPACES.sub("", text).strip()
    return STARTS.sub(lambda start: start[0].upper(), text)


def worded(rng: random.Random, pattern: str, slots: Mapping[str, str]) -> str:
    """One wording of the pattern with its slots filled, as tidy text."""
    return tidy(drawn(rng, parsed(pattern)).format_map(slots))


def with_article(noun: str) -> str:
    """`a refund`, `an express delivery`."""
    return f"{'an' if noun[0].lower() in VOWELS else 'a'} {noun}"


def agree(phrase: str, plural: bool) -> str:
    """A phrase that starts with a verb in the third person, made plural if need be: `leaks here`, `leak here`."""
    if not plural:
        return phrase
    verb, _, rest = phrase.partition(" ")
    forms = {"has": "have", "does": "do", "goes": "go", "is": "are", "was": "were"}
    verb = forms.get(verb, verb.removesuffix("s"))
    return f"{verb} {rest.replace(' its ', ' their ')}".strip()
