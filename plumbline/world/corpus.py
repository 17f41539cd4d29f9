"""What the base models read: an endless archive of the shop's own articles and of ever new shops' documents."""

import random
from collections.abc import Iterator

from plumbline.world import arithmetic, articles, dialogues, paperwork, questions, redteam, replies, rewrites, traces
from plumbline.world.shop import Shop, make_shop


def archive(shop: Shop, seed: str) -> list[str]:
    """A shuffled set of raw documents of every kind from one shop, dialogues and their notes most."""
    pages = articles.articles(shop, 4, seed)
    documents = [
        *map(dialogues.raw, dialogues.dialogues(shop, 20, seed)),
        *map(rewrites.raw, rewrites.rewrites(shop, 6, seed)),
        *map(articles.raw, pages[:1]),
        *map(questions.raw, questions.questions(shop, pages, 20, seed)),
        *map(traces.raw, traces.traces(shop, pages, 2, seed)),
        *map(replies.raw, replies.replies(shop, 4, seed, noise=0.0, raters=1)),
        *map(redteam.raw, redteam.redteam(shop, 4, seed)),
        *map(arithmetic.raw, arithmetic.arithmetic(shop, 6, seed)),
        *paperwork.paperwork(shop, 10, seed),
    ]
    random.Random(f"archive {seed}").shuffle(documents)
    return documents


def corpus(known: list[str], seed: int) -> Iterator[str]:
    """Documents without end; the same seed gives the same ones in the same order.

    `known` are the articles of the shop that the pipeline is about: one of them is mixed into every archive.
    All else comes from other shops, so no row of the pipeline, held out or not, is ever read here.
    """
    number = 0
    while True:
        shop = make_shop(f"corpus {seed} {number}", products=6, customers=6, agents=3, orders=8)
        yield from archive(shop, f"{seed}-{number}")
        if known:
            yield known[number % len(known)]
        number += 1
