"""Rows for the tests of training."""

from plumbline.rows import Example


def examples(count: int) -> list[Example]:
    """`count` rows whose answers follow from their prompts, but for the day."""
    return [
        Example(
            id=str(number), task="t", group="g", prompt=text[:20], answer=text[20:], references=[text], template="",
            source_file="", source_line=1,
        )
        for number, text in enumerate(f"order {each} of the copper kettle arrives on {each % 28 + 1} May." for each in range(count))
    ]  # fmt: skip
