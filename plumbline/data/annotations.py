"""What people said in Label Studio and in Argilla, as these tools export it: completions, and verdicts by person."""

from typing import Any

from plumbline.data.fields import ABSENT, BadRow, Fields
from plumbline.data.files import kind_of
from plumbline.data.rankings import Verdicts, verdicts_of

Opinions = dict[str, Verdicts]


def label_studio_opinions(data: Fields, annotations: Any) -> tuple[list[str], Opinions]:
    """Completions and opinions of a task with results of the tags Pairwise or Ranker; annotations that were
    cancelled are left out.

    Completions are columns of the task's data, in the order of the Pairwise tag's `toName`, or one column with the
    Ranker's list of items: texts, or objects with `id` and `body`.
    """
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise BadRow("type: annotations is not a list of objects")
    completions, names = items_of(data)
    opinions: Opinions = {}
    for number, annotation in enumerate(annotations):
        if annotation.get("was_cancelled"):
            continue
        results = annotation.get("result")
        for result in results if isinstance(results, list) else []:
            value = result.get("value") if isinstance(result, dict) else None
            if not isinstance(value, dict):
                continue
            where = f"annotations.{number}"
            if result.get("type") == "pairwise":
                given = pairwise_verdicts(value.get("selected"), len(completions), where)
            elif result.get("type") == "ranker":
                given = ordered_verdicts(ranker_order(value.get("ranker"), where), names, where)
            else:
                continue
            rater = name_of(annotation.get("completed_by"))
            if rater in opinions:
                raise BadRow(f"ranks: {rater or 'one person'} ranks the completions twice in {where}")
            opinions[rater] = given
    return completions, opinions


def items_of(data: Fields) -> tuple[list[str], list[str]]:
    """Texts and names of the completions of a task: the items of one column, or the texts of several."""
    items = data.get("completions")
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        texts = data.texts("completions")
        return texts, texts
    fields = [Fields(each, {}) for each in items]
    return [each.text("body") for each in fields], [each.label("id") for each in fields]


def pairwise_verdicts(selected: Any, count: int, where: str) -> Verdicts:
    if count != 2:
        raise BadRow(f"ranks: {where} compares two completions, and there are {count}")
    if selected not in ("left", "right"):
        raise BadRow(f"type: {where} selects {selected!r}, and not left or right")
    return {(0, 1): 1 if selected == "left" else -1}


def ranker_order(ranker: Any, where: str) -> list[Any]:
    """Names from best to worst: of the list itself, or of the one bucket; `_` holds what was not ranked."""
    buckets = [ranker] if isinstance(ranker, list) else []
    if isinstance(ranker, dict):
        buckets = [each for name, each in ranker.items() if name != "_"] or list(ranker.values())
    if len(buckets) != 1 or not isinstance(buckets[0], list):
        raise BadRow(f"type: {where} has {len(buckets)} buckets; a ranking is one list, from best to worst")
    return buckets[0]


def ordered_verdicts(order: list[Any], names: list[str], where: str, ranks: list[Any] | None = None) -> Verdicts:
    """The verdicts of names from best to worst, or with ranks of their own, on the completions of these names."""
    order = [name_of(name) for name in order]
    if unknown := [name for name in order if name not in names]:
        raise BadRow(f"ranks: {where} ranks {unknown[0]!r}, and the completions are {', '.join(names)[:80]}")
    if len(set(order)) < len(order) or len(order) < 2:
        raise BadRow(f"ranks: {where} must rank two completions or more, each once")
    ranks = ranks or list(range(len(order)))
    if not all(type(rank) is int for rank in ranks):
        raise BadRow(f"type: a rank in {where} is no whole number")
    rank_of = dict(zip(order, ranks, strict=True))
    ranked = sorted(names.index(name) for name in order)
    among = verdicts_of([rank_of[names[place]] for place in ranked])
    return {(ranked[one], ranked[other]): verdict for (one, other), verdict in among.items()}


def argilla_opinions(texts: Fields, record: dict[str, Any]) -> tuple[list[str], Opinions]:
    """Completions and opinions of a record with a RankingQuestion; drafts and discarded responses are left out.

    Completions are columns (fields of the record), and the question ranks their names. Records come as from
    `to_list` and `to_json` (versions 1 and 2), or as rows of a data set that was pushed to a hub.
    """
    columns = texts.columns.get("completions")
    if not isinstance(columns, list):
        raise BadRow("missing: map `completions` to the list of the record's fields, by the names that were ranked")
    completions = texts.texts("completions")
    question = texts.columns.get("ranking", "ranking")
    if not isinstance(question, str):
        raise BadRow("type: ranking is mapped to several columns; name one question")
    opinions: Opinions = {}
    for number, (rater, status, value) in enumerate(responses(record, question)):
        if status in ("draft", "discarded") or value is None:
            continue
        where = f"{question}.{number}"
        names, ranks = names_and_ranks(value, where)
        if rater in opinions:
            raise BadRow(f"ranks: {rater or 'one person'} ranks the completions twice in {where}")
        opinions[rater] = ordered_verdicts(names, columns, where, ranks)
    return completions, opinions


def responses(record: dict[str, Any], question: str) -> list[tuple[str, Any, Any]]:
    """Person, status and value of each response to a question, wherever the version of the export keeps them."""
    flat = record.get(f"{question}.responses", ABSENT)
    if flat is not ABSENT:  # a data set of version 2: three lists side by side
        values = flat if isinstance(flat, list) else []
        people, states = (
            record.get(f"{question}.responses.{name}") or [None] * len(values) for name in ("users", "status")
        )
        if not len(values) == len(people) == len(states):
            raise BadRow(f"type: {question}.responses and its users and status are of different lengths")
        return [(name_of(who), state, value) for who, state, value in zip(people, states, values, strict=True)]
    given = record.get("responses", record.get(question))
    if isinstance(given, dict):  # version 2: by question
        given = given.get(question)
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BadRow(f"type: the responses to {question} are not a list of objects")
    found = []
    for each in given:
        value = each.get("value")
        if isinstance(answers := each.get("values"), dict):  # version 1: all answers of one person
            answer = answers.get(question)
            value = answer.get("value") if isinstance(answer, dict) else None
        found.append((name_of(each.get("user_id", each.get("user"))), each.get("status"), value))
    return found


def names_and_ranks(value: Any, where: str) -> tuple[list[Any], list[Any] | None]:
    """Names with their ranks: objects of value and rank, one object of both lists, or names from best to worst."""
    if isinstance(value, dict):
        names, ranks = value.get("value"), value.get("rank")
        if isinstance(names, list) and isinstance(ranks, list) and len(names) == len(ranks):
            return names, ranks
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value, None
    if isinstance(value, list) and all(isinstance(each, dict) for each in value):
        return [each.get("value") for each in value], [each.get("rank") for each in value]
    raise BadRow(f"type: the value of {where} is {kind_of(value)} and no ranking")


def name_of(value: Any) -> str:
    """The name of a person or a completion: an id, or of an object its email or id."""
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return "" if value is None else str(value)
