"""Stage `world`: invent a mail-order shop and derive every kind of row from its one set of facts.

reads    nothing
writes   out  products, customers, orders, articles, dialogues, instructions, questions, traces, replies, gold, redteam
              and arithmetic as .jsonl, policies.json, metrics.json. Nothing is trained on gold.jsonl
maths    plumbline/world/
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from plumbline.params import World
from plumbline.stage import run_stage
from plumbline.store import unfinished, write_json
from plumbline.tracking import track


def world(params: World, *, out: Path) -> Path:
    """Write the rows of the world. The same seed gives the same bytes on every machine."""
    from plumbline.rows import write_rows
    from plumbline.world import arithmetic, articles, dialogues, questions, redteam, replies, rewrites, traces
    from plumbline.world.instructions import instructions
    from plumbline.world.shop import make_shop

    seed = str(params.seed)
    shop = make_shop(
        seed, products=params.products, customers=params.customers, agents=params.agents, orders=params.orders
    )
    pages = articles.articles(shop, params.articles, seed)
    asked = questions.questions(shop, pages, params.questions, seed)
    talks = dialogues.dialogues(shop, params.dialogues, seed)
    polite = rewrites.rewrites(shop, params.rewrites, seed)
    mails = replies.replies(shop, params.replies, seed, params.rater_noise, params.raters)
    files: dict[str, list[dict[str, Any]]] = {
        "products": [plain(asdict(product)) for product in shop.products],
        "customers": [asdict(customer) for customer in shop.customers],
        "orders": [plain(asdict(order)) for order in shop.orders],
        "articles": pages,
        "dialogues": talks,
        "instructions": instructions(talks, asked, polite, mails[: params.demonstrations]),
        "questions": asked,
        "traces": traces.traces(shop, pages, params.traces, seed),
        "replies": list(map(replies.seen, mails)),
        "gold": list(map(replies.hidden, mails)),
        "redteam": redteam.redteam(shop, params.redteam, seed),
        "arithmetic": arithmetic.arithmetic(shop, params.stories, seed),
    }
    with track("world", params) as run, unfinished(out) as folder:
        counts = {name: write_rows(folder / f"{name}.jsonl", rows) for name, rows in files.items()}
        write_json(folder / "policies.json", asdict(shop.policies) | {"shop": shop.name, "town": shop.town})
        run.finish(folder, rows=counts)
    return out


def plain(value: Any) -> Any:
    """`value` with dates as ISO text, so that it can be written as JSON."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


if __name__ == "__main__":
    run_stage(world)
