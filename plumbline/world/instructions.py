"""Instruction rows of several tasks, from the world's dialogues, questions, rewritings and replies."""

from collections.abc import Sequence
from typing import Any

DIALOGUE_TASKS = ("intent", "sentiment", "extract")
NO_DATE = "none"


def instructions(
    dialogues: Sequence[dict[str, Any]],
    questions: Sequence[dict[str, Any]],
    rewrites: Sequence[dict[str, Any]],
    replies: Sequence[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Rows {id, group, task, fields, answer, references}; `fields` fill the places of the task's prompt templates.

    Each dialogue gives one row, its task taken in turn; a row shares the group of what it was made from, so that
    one dialogue or article never stands on both sides of a split.
    """
    rows = [dialogue_row(dialogue, DIALOGUE_TASKS[turn % 3]) for turn, dialogue in enumerate(dialogues)]
    rows += [
        row("answer", each, {"passage": each["passage"], "question": each["question"]}, each["answer"], each["answers"])
        for each in questions
    ]
    rows += [row("rewrite", each, {"rough": each["rough"]}, each["polite"], [each["polite"]]) for each in rewrites]
    rows += [demonstration(each) for each in replies]
    return rows


def row(
    task: str, origin: dict[str, Any], fields: dict[str, str], answer: str, references: list[str]
) -> dict[str, Any]:
    return {
        "id": f"{task}-{origin['id']}",
        "group": origin["group"],
        "task": task,
        "fields": fields,
        "answer": answer,
        "references": references,
    }


def dialogue_row(dialogue: dict[str, Any], task: str) -> dict[str, Any]:
    """The intent, the sentiment or the facts of a dialogue, to be read from its text."""
    if task == "extract":
        facts = dialogue["fields"]
        answer = "\n".join(f"{name}: {value or NO_DATE}" for name, value in facts.items())
        return row(task, dialogue, {"dialogue": dialogue["dialogue"]}, answer, [answer])
    said = "\n".join(line for line in dialogue["dialogue"].splitlines() if not line.startswith("Agent "))
    answer = dialogue[task].replace("_", " ")
    return row(task, dialogue, {"message": said}, answer, [answer])


def demonstration(message: dict[str, Any]) -> dict[str, Any]:
    """A customer message with the reply that was sent: it has the facts right, and manners of every kind.

    So a model that learns from these copies facts and writes replies of every quality, and reinforcement has something
    to choose from. The row has the message's id, and by it the same prompt as the message's rankings.
    """
    sent = message["sent"]
    return row("reply", message, {"prompt": message["message"]}, sent, [sent]) | {"id": message["id"]}
