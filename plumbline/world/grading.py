"""Grade any reply to a customer message against the facts of the message, by the rubric of `replies`.

The grades of the world's own replies are known when they are written; a model's reply has to be read. It is taken
apart into opening, sentences and closing, and a sentence counts for something only if it is one that the shop writes:

correct   the share of its statements that agree with the facts. A question is answered right if all that is said of
          it is right, so a reply that offers every value is wrong. A sentence with a number that is no statement of
          the shop is one that agrees with nothing
complete  the share of the questions that it takes up, each in a whole sentence with a value of the right kind
polite    1 with a friendly opening to this customer and a friendly closing at the very end, 0 with a rude sentence
concise   1 to the point; 0.5 with one or two sentences that say nothing asked for, or repeat; 0 with more

A reply that takes up no question is neither correct nor concise, and polite only as far as it opens or closes as the
shop does. A statement in other words than the shop's counts as none: the grader would rather miss a right answer than
be talked into one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from plumbline.world.replies import (
    CURT_END,
    CURT_START,
    FRIENDLY_END,
    FRIENDLY_HELLO,
    FRIENDLY_START,
    ORDER_LINES,
    RUDE_END,
    RUDE_HELLO,
    RUDE_START,
)

LONGEST_SENTENCE = 24  # words; a longer one counts as several
HISTORY = re.compile(r".* has stood in .* since \d{4}\.")  # the one idle sentence of the shop with a number


def any_of(texts: Iterable[str]) -> str:
    """A pattern for one of the texts, the longest first."""
    return "(?:" + "|".join(map(re.escape, sorted(filter(None, texts), key=len, reverse=True))) + ")"


def openings(hellos: Iterable[str], names: Iterable[str], lines: Iterable[str]) -> str:
    return f"{any_of(hellos)} {any_of(names)}, {any_of(lines)}"


def closings(lines: Iterable[str]) -> str:
    return rf"{any_of(lines)} [A-Z]\w+"


def kind(value: str) -> str:
    """What a value looks like: `7 days` and `30 days` are of one kind, and so are two dates or two names."""
    shape = re.sub(r"\d[\d.,]*", "0", value)
    shape = re.sub(r"[A-Z][a-z]*(?: [A-Z][a-z]*)*", "A", shape)
    return re.sub(r"[a-z']+", "a", shape)


def value_in(sentence: str, templates: Iterable[str], right: str) -> str | None:
    """The value that a sentence made by one of the templates holds; None if it is none, or the value of no such kind."""
    for template in templates:
        before, after = map(re.escape, template.split("{}"))
        found = re.fullmatch(f"{before}(.+){after}", sentence)
        if found and kind(found[1]) == kind(right):
            return found[1]
    return None


def grade(text: str, facts: dict) -> dict[str, float]:
    """The grades of a reply, each 0 to 1, as `replies.score` weighs them.

    `facts` are those of a row of `replies.replies`: the order's number, the customer's names (a greeting may use any),
    and statements with the sentences that make them, the right value, and whether the customer asked for it.
    """
    rest = " ".join(text.split())
    rude = re.search(any_of([*RUDE_START, *RUDE_END]), rest, re.IGNORECASE) is not None
    names = facts["names"]
    start, rest = cut(rest, openings(FRIENDLY_HELLO, names, FRIENDLY_START), "^(?:{})(?= |$)")
    end, rest = cut(rest, closings(FRIENDLY_END), "(?:^|(?<= ))(?:{})$")
    friendly = start and end
    if not start:
        start, rest = cut(rest, f"{openings(RUDE_HELLO, names, RUDE_START)}|{any_of(CURT_START)}", "^(?:{})(?= |$)")
    if not end:
        end, rest = cut(rest, f"{closings(RUDE_END)}|{any_of(CURT_END)}", "(?:^|(?<= ))(?:{})$")

    statements = facts["statements"]
    asked = [number for number, each in enumerate(statements) if each["asked"]]
    said: defaultdict[int, list[bool]] = defaultdict(list)  # of each statement, whether it is right each time
    order: list[bool] = []
    claims = idle = 0
    known: set[str] = set()
    for sentence in filter(None, re.split(r"(?<=[.!?:]) ", rest)):
        if sentence in known:
            idle += 1
            continue
        known.add(sentence)
        values = {
            number: value
            for number, each in enumerate(statements)
            if (value := value_in(sentence, each["answers"], each["value"])) is not None
        }
        if values:
            number = min(values, key=lambda each: (not statements[each]["asked"], each in said))
            idle += number in said or number not in asked
            said[number].append(values[number] == statements[number]["value"])
        elif (number_said := value_in(sentence, ORDER_LINES, facts["order"])) is not None:
            idle += bool(order)
            order.append(number_said == facts["order"])
        else:
            idle += 1 + (len(sentence.split()) - 1) // LONGEST_SENTENCE
            claims += bool(re.search(r"\d", sentence) and not HISTORY.fullmatch(sentence))

    answered = [number for number in asked if number in said]
    # What nobody asked for can only be wrong; what is right of it is idle, and counted so.
    verdicts = [all(said[number]) for number in answered]
    verdicts += [False for number, each in said.items() if number not in asked and not all(each)]
    verdicts += [all(order)] if order else []
    verdicts += [False] * claims
    return {
        "correct": round(sum(verdicts) / len(verdicts), 2) if answered else 0.0,
        "complete": round(len(answered) / len(asked), 2),
        "polite": 0.0 if rude else 1.0 if friendly else 0.5 if answered or start or end else 0.0,
        "concise": 0.0 if not answered or idle > 2 else 0.5 if idle else 1.0,
    }


def cut(text: str, pattern: str, place: str) -> tuple[bool, str]:
    """Whether the pattern stands at its place of a text, and the text without it."""
    found = re.search(place.format(pattern), text)
    return (False, text) if not found else (True, (text[: found.start()] + text[found.end() :]).strip())
