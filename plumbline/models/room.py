"""Whether a prompt leaves a model room to answer."""


def has_room(prompt: int, answer: int, context: int | None, *, encoder_decoder: bool) -> bool:
    """Whether prompt and answer of so many tokens fit into a context: together in a decoder, each on its own side else.

    `context` is None where positions have no end.
    """
    return context is None or (max(prompt, answer) if encoder_decoder else prompt + answer) <= context
