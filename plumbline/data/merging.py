"""What several rows say of one prompt, put together: rankings of the same completions, and thumbs up and down."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from plumbline.data.formats import Draft
from plumbline.data.rankings import Pair, Verdicts, cycle, turned
from plumbline.data.rendering import Rendered
from plumbline.data.splits import connected

SHOWN = 40  # characters of a completion in a message


def merged(drafts: Sequence[Draft], ties: bool, reject: Callable[[Draft, str], None]) -> list[Draft]:
    """The drafts, with those rankings of one prompt as one that have a completion in common; the first one's place.

    `reject` is told of rankings by one person that contradict each other or repeat what that person said before, and,
    unless `ties` are wanted, of those that hold nothing else.
    """
    refused: dict[int, str] = {}
    for cluster in clusters(drafts):
        refused |= contradictions(cluster)
    for draft in drafts:
        if reason := refused.get(id(draft)):
            reject(draft, reason)
    kept = [draft for draft in drafts if id(draft) not in refused]
    firsts: dict[int, Draft | None] = {}
    for cluster in clusters(kept):
        whole = put_together(cluster)
        firsts |= {id(draft): None for draft in cluster}
        if ties or any(any(verdicts.values()) for verdicts in (whole.opinions or {}).values()):
            firsts[id(cluster[0])] = whole
        else:
            reject(whole, "tie: nobody finds one completion better than another, and ties are dropped")
    return [row for draft in kept if (row := firsts.get(id(draft), draft))]


def clusters(drafts: Sequence[Draft]) -> list[list[Draft]]:
    """The rankings, those together that are about one prompt and connected by common completions."""
    rankings = [draft for draft in drafts if draft.opinions is not None]
    keys = [
        [(draft.task, draft.group, *sorted(draft.fields.items()), answer) for answer in draft.answers]
        for draft in rankings
    ]
    found: defaultdict[int, list[Draft]] = defaultdict(list)
    for root, draft in zip(connected(keys), rankings, strict=True):
        found[root].append(draft)
    return list(found.values())


def opinions_on(texts: Sequence[str], draft: Draft) -> dict[str, dict[Pair, int]]:
    """The verdicts of a draft by person, on the places of its completions among `texts`."""
    places = [texts.index(answer) for answer in draft.answers]
    return {
        rater: dict(turned(places[one], places[other], verdict) for (one, other), verdict in verdicts.items())
        for rater, verdicts in (draft.opinions or {}).items()
    }


def contradictions(cluster: Sequence[Draft]) -> dict[int, str]:
    """By id of a draft why it cannot be used: a person prefers in a circle, judges a pair in two ways, or repeats."""
    texts = list(dict.fromkeys(answer for draft in cluster for answer in draft.answers))
    refused: dict[int, str] = {}
    said: defaultdict[str, defaultdict[Pair, list[tuple[int, Draft]]]] = defaultdict(lambda: defaultdict(list))
    for draft in cluster:
        own = opinions_on(texts, draft)
        before = [said[rater][pair] for rater, verdicts in own.items() for pair in verdicts]
        now = [verdict for verdicts in own.values() for verdict in verdicts.values()]
        if all(then and then[0][0] == verdict for then, verdict in zip(before, now, strict=True)):
            refused[id(draft)] = f"duplicate: of {before[0][0][1].place}"
            continue
        for then, verdict in zip(before, now, strict=True):
            then.append((verdict, draft))

    for rater, pairs in said.items():
        who = rater or "one person (name people in a column `rater`)"
        for (one, other), given in pairs.items():
            if len({verdict for verdict, _ in given}) > 1:
                both = f"{short(texts[one])} and {short(texts[other])}"
                refused |= named(f"cycle: {who} judges {both} in two ways", [draft for _, draft in given])
        while True:
            left = {
                pair: given[0] for pair, given in pairs.items() if not any(id(draft) in refused for _, draft in given)
            }
            circle = cycle({pair: verdict for pair, (verdict, _) in left.items()})
            if not circle:
                break
            way = " over ".join(short(texts[place]) for place in [*circle, circle[0]])
            steps = zip(circle, [*circle[1:], circle[0]], strict=True)
            refused |= named(f"cycle: {who} puts {way}", [left[min(step), max(step)][1] for step in steps])
    return refused


def named(reason: str, drafts: Sequence[Draft]) -> dict[int, str]:
    """The reason for each of the drafts, with the places of all of them."""
    places = ", ".join(sorted({draft.place for draft in drafts}))
    return {id(draft): f"{reason} ({places})" for draft in drafts}


def short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def put_together(cluster: Sequence[Draft]) -> Draft:
    """One draft of all completions and everybody's verdicts, under the name of the first."""
    texts = list(dict.fromkeys(answer for draft in cluster for answer in draft.answers))
    opinions: defaultdict[str, dict[Pair, int]] = defaultdict(dict)
    for draft in cluster:
        for rater, verdicts in opinions_on(texts, draft).items():
            opinions[rater] |= verdicts
    everybody: dict[str, Verdicts] = {**opinions}
    others = tuple(record for draft in cluster[1:] for record in draft.records)
    return replace(cluster[0], answers=texts, opinions=everybody, others=(*cluster[0].others, *others))


def rankings_of_thumbs(rows: Sequence[Rendered]) -> list[Rendered]:
    """For each prompt with completions that were liked and others that were not, a ranking of the ones over the others."""
    by_prompt: defaultdict[tuple[Any, ...], list[Rendered]] = defaultdict(list)
    for row in rows:
        if row.draft.kind == "thumb":
            by_prompt[row.draft.task, *sorted(row.draft.fields.items())].append(row)  # whatever template each has
    found = []
    for thumbs in by_prompt.values():
        first = thumbs[0]
        liked = {row.draft.answers[0] for row in thumbs if row.draft.liked}
        disliked = {row.draft.answers[0] for row in thumbs if not row.draft.liked}
        texts = [*sorted(liked - disliked), *sorted(disliked - liked)]  # people differ on the ones left out
        better = len(liked - disliked)
        verdicts = {(one, other): 1 for one in range(better) for other in range(better, len(texts))}
        if verdicts:
            draft = replace(
                first.draft, id=f"{first.draft.id}-thumbs", answers=texts, opinions={"": verdicts}, liked=None
            )
            found.append(replace(first, draft=draft, answer_tokens=max(row.answer_tokens for row in thumbs)))
    return found
