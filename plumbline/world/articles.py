"""The help articles of an invented shop: Markdown of 200-900 words whose facts are the shop's, with their places.

An article is put together from sections, a section from a template with choices, and a template's slots are
filled with the facts of the shop. So the same fact stands in many articles, worded otherwise, and never
contradicts itself. Each article lists its facts with the characters that hold them, from which questions
with exact evidence are made.
"""

import datetime
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from plumbline.world import article_texts as texts
from plumbline.world.shop import Product, Shop, full_day, money
from plumbline.world.shop import day as short_day
from plumbline.world.spinning import SLOT, plural, spin, upper_first

Facts = dict[str, str]  # the name of a fact -> the words that state it
Subject = tuple[str, tuple[Product, ...]]  # topic, and the products it is about: none, one, or two to compare

AUDIENCES = ("customers", "new customers", "gold members", "support agents", "store staff")
FIRST_UPDATE = datetime.date(2029, 12, 20)
LAST_UPDATE = datetime.date(2032, 12, 28)


def policy_facts(shop: Shop) -> Facts:
    """Every rule of the shop by name, in the words that articles and answers use: `return_days` -> `30 days`."""
    rules = shop.policies
    return {
        "return_days": plural(rules.return_days, "day"),
        "refund_days": plural(rules.refund_days, "day"),
        "delivery_days": plural(rules.delivery_days, "day"),
        "express_days": plural(rules.express_days, "day"),
        "delivery_fee": money(rules.delivery_fee),
        "express_fee": money(rules.express_fee),
        "free_from": money(rules.free_from),
        "damage_report_days": plural(rules.damage_report_days, "day"),
        "cancel_hours": plural(rules.cancel_hours, "hour"),
        "price_match_days": plural(rules.price_match_days, "day"),
        "gift_card_months": plural(rules.gift_card_months, "month"),
        "repair_days": plural(rules.repair_days, "day"),
        "restocking_percent": f"{rules.restocking_percent} percent",
        "points_per_mark": plural(rules.points_per_mark, "point"),
        "gold_discount_percent": f"{rules.gold_discount_percent} percent",
        "support_hours": f"{rules.support_opens}:00 to {rules.support_closes}:00",
    }


def product_facts(shop: Shop, product: Product) -> Facts:
    """Everything the shop states about a product, by name; `remedy 0` to `remedy 4` belong to its faults in order.

    Care and remedies are drawn from the shop's seed and the product's number, so they are the same in all articles.
    """
    rng = random.Random(f"{shop.seed} {product.sku} facts")
    facts = {
        "sku": product.sku,
        "price": money(product.price),
        "colour": product.colour,
        "material": product.material,
        "warranty": plural(product.warranty_months, "month"),
        "launched": full_day(product.launched),
        "rating": f"{product.rating // 10}.{product.rating % 10} stars",
        "stock": plural(product.in_stock, "piece"),
        "care_weeks": plural(rng.randrange(2, 13), "week"),
        "ready_minutes": plural(rng.randrange(5, 60), "minute"),
        "spare_part": f"{product.sku}-{rng.choice('PRSTX')}{rng.randrange(1, 10)}",
    }
    for name, value, unit in product.attributes:
        facts[name.replace(" ", "_")] = f"{value} {unit.removesuffix('s') if value == 1 else unit}"
    for index, fault in enumerate(product.faults):
        number = str(rng.randrange(2, 13))
        facts[f"remedy_{index}"] = rng.choice(texts.REMEDIES[fault]).replace("#", number)
    return facts


def labels(shop: Shop) -> dict[str, str]:
    """What each product (by number) is called: its name, as a singular, with the number where two share the name."""
    names = Counter(product.name for product in shop.products)
    return {
        product.sku: _singular(product.name) + (f" ({product.sku})" if names[product.name] > 1 else "")
        for product in shop.products
    }


def _singular(name: str) -> str:
    """`string lights` takes no `has` and no `a`, `string lights set` does."""
    return f"{name} set" if name.endswith("s") else name


def noun_slots(product: Product) -> Facts:
    """What a product is, without and with its article."""
    noun = _singular(product.noun)
    return {"noun": noun, "a_noun": f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"}


class Writer:
    """Puts an article together: draws forms of templates, fills them, and notes where each fact stands.

    The slots of a second product start with `other_`.
    """

    def __init__(self, shop: Shop, names: dict[str, str], products: tuple[Product, ...], rng: random.Random):
        self.shop, self.products, self.rng = shop, products, rng
        self.text = ""
        self.words = 0
        self.facts: list[dict[str, Any]] = []
        # slot -> its words, and the fact they state (or "") of which product (or "")
        self.values = {name: (words, name, "") for name, words in policy_facts(shop).items()}
        for product, prefix in zip(products, ("", "other_"), strict=False):
            for name, words in product_facts(shop, product).items():
                self.values[prefix + name] = (words, name, product.sku)
            for slot, words in ({"name": names[product.sku]} | noun_slots(product)).items():
                self.values[prefix + slot] = (words, "", "")

    def plain(self, **values: str) -> None:
        """Fill these slots with words that state no fact: names, examples."""
        for slot, words in values.items():
            self.values[slot] = (words, "", "")

    def draw(self, template: str) -> str:
        return spin(template, self.rng)

    def section(self, heading: str, body: str) -> None:
        """Write a section; both are templates."""
        self.heading(self.draw(heading), 2)
        self.body(body)

    def heading(self, text: str, level: int) -> None:
        """Write a heading; a fact in it is not noted, as a heading answers no question."""
        self._write(SLOT.sub(lambda slot: self.values[slot[1]][0], f"{'#' * level} {text}"))

    def body(self, template: str) -> None:
        """Write a form of the template, and note the places of its facts."""
        text, position, length = self.draw(template), 0, len(self.text)
        out = []
        for slot in SLOT.finditer(text):
            words, fact, sku = self.values[slot[1]]
            before = text[position : slot.start()]
            start = length + len(before)
            length = start + len(words)
            if fact:
                self.facts.append({"name": fact, "product": sku, "start": start, "end": length})
            out += [before, words]
            position = slot.end()
        self._write("".join(out) + text[position:])

    def _write(self, text: str) -> None:
        self.text += text + "\n\n"
        self.words += len(text.split())


def articles(shop: Shop, count: int, seed: str) -> list[dict[str, Any]]:
    """`count` help articles of the shop.

    Rows: id, group (its id), title (unique), kind (policy, product_guide, howto, comparison or troubleshooting),
    category, product (number or "", of a comparison the first), updated (ISO date), author (an agent), audience, text
    (Markdown of 200-900 words) and facts: [{name, product, start, end}], the places in the text that state a fact of
    `policy_facts` (product "") or `product_facts`.
    """
    rng = random.Random(f"articles {shop.seed} {seed}")
    names, titles = labels(shop), set[str]()
    rows = []
    for index, (kind, topic, products) in enumerate(itertools.islice(_subjects(shop, rng), count)):
        row = _article(Writer(shop, names, products, rng), kind, topic, titles)
        identity = f"article-{seed}-{index:05d}"
        rows.append({"id": identity, "group": identity} | row)
    return rows


def _subjects(shop: Shop, rng: random.Random) -> Iterator[tuple[str, str, tuple[Product, ...]]]:
    """What to write about, for ever: each kind in turn goes through all of its subjects before one comes again."""
    queues: dict[str, list[Subject]] = {}
    for kind in itertools.cycle(("policy", "product_guide", "howto", "product_guide", "comparison", "troubleshooting")):
        if kind == "comparison" and len(shop.products) < 2:
            continue
        if not queues.get(kind):
            queues[kind] = _queue(shop, kind, rng)
        topic, products = queues[kind].pop()
        if kind == "comparison":
            products += (_rival(shop, products[0], rng),)
        yield kind, topic, products


def _queue(shop: Shop, kind: str, rng: random.Random) -> list[Subject]:
    """All subjects of a kind in random order; of how-to articles about half are about the care of a product."""
    queue: list[Subject]
    if kind == "policy":
        queue = [(topic, ()) for topic in texts.POLICY]
    elif kind == "howto":
        cared = rng.sample(shop.products, k=min(len(shop.products), len(texts.HOWTO)))
        queue = [(topic, ()) for topic in texts.HOWTO]
        queue += [("care", (product,)) for product in cared]
    else:
        queue = [(kind, (product,)) for product in shop.products]
    rng.shuffle(queue)
    return queue


def _rival(shop: Shop, product: Product, rng: random.Random) -> Product:
    """Another product to compare with, of the same category where there is one."""
    others = [other for other in shop.products if other.sku != product.sku]
    return rng.choice([other for other in others if other.category == product.category] or others)


def _article(writer: Writer, kind: str, topic: str, titles: set[str]) -> dict[str, Any]:
    """The article without its id; its title is added to `titles`, those that are taken."""
    rng, products = writer.rng, writer.products
    first = max([product.launched for product in products], default=FIRST_UPDATE) + datetime.timedelta(days=10)
    updated = first + datetime.timedelta(days=rng.randrange((LAST_UPDATE - first).days + 1))
    author, audience = rng.choice(writer.shop.agents), rng.choice(AUDIENCES)
    writer.plain(author=author, audience=audience, updated=full_day(updated), **_examples(writer.shop, rng))

    core: tuple[str, ...]
    related: tuple[str, ...]
    if products:
        category = products[0].category
        (title_forms, lead, core, related), own_sections = {
            "care": (texts.CARE, _care),
            "product_guide": (texts.GUIDE, _guide),
            "comparison": (texts.COMPARISON, _comparison),
            "troubleshooting": (texts.TROUBLE, _troubleshooting),
        }[topic]
    else:
        category, title_forms, lead, core, related = (texts.POLICY | texts.HOWTO)[topic]
        own_sections = None

    title = _title(writer, title_forms, titles, updated)
    writer.heading(title, 1)
    writer.body(lead)
    if own_sections:
        own_sections(writer)
    for theme in core:
        _theme(writer, theme)
    others = [theme for theme in texts.THEMES if theme not in core + related]
    words = rng.randrange(230, 640)
    for theme in rng.sample(related, k=len(related)) + rng.sample(others, k=len(others)):
        if writer.words >= words:
            break
        _theme(writer, theme)
    writer.section(*texts.CLOSING)
    return {
        "title": title,
        "kind": kind,
        "category": category,
        "product": products[0].sku if products else "",
        "updated": updated.isoformat(),
        "author": author,
        "audience": audience,
        "text": writer.text.rstrip("\n") + "\n",
        "facts": writer.facts,
    }


def _title(writer: Writer, forms: str, taken: set[str], updated: datetime.date) -> str:
    """A title that no other article has: after some tries with the date, then with the number of its edition."""
    for attempt in itertools.count():
        title = SLOT.sub(lambda slot: writer.values[slot[1]][0], writer.draw(forms))
        if attempt >= 6:
            title += f" ({full_day(updated)})" if attempt < 10 else f" (edition {attempt - 8})"
        if title.lower() not in taken:
            break
    taken.add(title.lower())
    return title


def _theme(writer: Writer, theme: str) -> None:
    heading, *bodies = texts.THEMES[theme]
    writer.section(heading, writer.rng.choice(bodies))


def _examples(shop: Shop, rng: random.Random) -> dict[str, str]:
    """Numbers and names for worked examples, true by the shop's rules."""
    rules = shop.policies
    arrival = datetime.date(2032, 1, 1) + datetime.timedelta(days=rng.randrange(0, 300))
    order, customer = rng.choice(shop.orders), rng.choice(shop.customers)
    small = rng.randrange(800, rules.free_from - 100)
    spent = rng.randrange(10, 120)

    def after(days: int) -> str:
        return short_day(arrival + datetime.timedelta(days=days))

    return {
        "shop": shop.name,
        "town": shop.town,
        "someone": customer.first,
        "place": customer.town,
        "order": order.number,
        "carrier": order.carrier,
        "example_day": short_day(arrival),
        "return_last": after(rules.return_days),
        "refund_last": after(rules.refund_days),
        "report_last": after(rules.damage_report_days),
        "delivery_last": after(rules.delivery_days),
        "express_last": after(rules.express_days),
        "match_last": after(rules.price_match_days),
        "repair_last": after(rules.repair_days),
        "small_order": money(small),
        "large_order": money(rules.free_from + rng.randrange(0, 9000)),
        "small_total": money(small + rules.delivery_fee),
        "spent": f"{spent} marks",
        "points_earned": f"{spent * rules.points_per_mark} points",
        "list_price": money(20000),
        "kept": money(200 * rules.restocking_percent),
        "gold_price": money(200 * (100 - rules.gold_discount_percent)),
    }


def _guide(writer: Writer) -> None:
    writer.section(texts.SPECIFICATION_HEADING, _specification(writer, writer.products[0], ""))
    writer.section(texts.PRICE_HEADING, writer.rng.choice(texts.PRICE))
    writer.section(texts.WARRANTY_HEADING, writer.rng.choice(texts.WARRANTY))
    writer.section(texts.USE_HEADING, writer.rng.choice(texts.CARE_OFTEN))


def _care(writer: Writer) -> None:
    writer.section(texts.STEPS_HEADING, writer.rng.choice(texts.CARE_STEPS))
    writer.section(texts.OFTEN_HEADING, writer.rng.choice(texts.CARE_OFTEN))


def _comparison(writer: Writer) -> None:
    first, second = writer.products
    cheap, dear = ("", "other_") if first.price <= second.price else ("other_", "")
    writer.plain(difference=money(abs(first.price - second.price)))
    for slot in ("name", "price", "warranty", "rating"):
        writer.values[f"cheap_{slot}"] = writer.values[cheap + slot]
        writer.values[f"dear_{slot}"] = writer.values[dear + slot]
    shown = writer.rng.sample(("price", "warranty", "rating", "colour", "material"), k=writer.rng.randrange(3, 6))
    lines = ["¦ ¦ <name> ¦ <other_name> ¦", "¦ --- ¦ --- ¦ --- ¦"]
    lines += [f"¦ {texts.ROW_NAMES[slot]} ¦ <{slot}> ¦ <other_{slot}> ¦" for slot in shown]
    writer.section(texts.TABLE_HEADING, "\n\n".join([texts.TABLE_LEAD, "\n".join(lines)]))
    writer.section("The <name>", _specification(writer, first, ""))
    writer.section("The <other_name>", _specification(writer, second, "other_"))
    verdicts = texts.VERDICTS if first.price != second.price else texts.EVEN
    writer.section(texts.VERDICT_HEADING, writer.rng.choice(verdicts))


def _troubleshooting(writer: Writer) -> None:
    faults = writer.products[0].faults
    for index in writer.rng.sample(range(len(faults)), k=writer.rng.randrange(2, 5)):
        writer.plain(fault=faults[index])
        writer.values["remedy"] = writer.values[f"remedy_{index}"]
        writer.section(texts.FAULT_HEADING, writer.rng.choice(texts.FAULTS))
    writer.section(texts.GIVE_UP_HEADING, writer.rng.choice(texts.GIVE_UP))


def _specification(writer: Writer, product: Product, prefix: str) -> str:
    """A product's data as a table, a list or prose: a template whose slots start with the prefix."""
    rng = writer.rng
    measures = [(name, name.replace(" ", "_")) for name, _, _ in product.attributes]
    layout = rng.choice(("table", "list", "prose", "prose"))
    if layout == "prose":
        sentences = [
            rng.choice(texts.MEASURES).replace("<measure>", f"<{slot}>").replace("<what>", name)
            for name, slot in measures
        ]
        sentences += rng.sample(texts.PROSE, k=rng.randrange(3, 6))
        rng.shuffle(sentences)
        template = " ".join([texts.PROSE_LEAD, *sentences])
    else:
        rows = [(upper_first(name), slot) for name, slot in measures]
        rows += [(texts.ROW_NAMES[slot], slot) for slot in rng.sample(list(texts.ROW_NAMES), k=rng.randrange(3, 6))]
        rng.shuffle(rows)
        if layout == "table":
            lines = ["¦ Property ¦ Value ¦", "¦ --- ¦ --- ¦"] + [f"¦ {name} ¦ <{slot}> ¦" for name, slot in rows]
        else:
            form = rng.choice(["- **{}**: <{}>", "- {}: <{}>"])
            lines = [form.format(name, slot) for name, slot in rows]
        template = "\n\n".join([texts.LIST_LEAD, "\n".join(lines)])
    return SLOT.sub(lambda slot: f"<{prefix}{slot[1]}>", template)


SECTION = re.compile(r"^#{1,2} (.+)$", re.MULTILINE)


def sections(article: dict[str, Any]) -> list[dict[str, Any]]:
    """The sections of an article in order: {id, article, heading, start, end, text}, text = article text[start:end].

    A section starts with the line of its heading and ends with its last word; the first is the title with the lead.
    """
    text = article["text"]
    starts = [match for match in SECTION.finditer(text)]
    ends = [match.start() for match in starts[1:]] + [len(text)]
    rows = []
    for index, (match, end) in enumerate(zip(starts, ends, strict=True)):
        body = text[match.start() : end].rstrip()
        rows.append(
            {
                "id": f"{article['id']}-{index:02d}",
                "article": article["id"],
                "heading": match[1],
                "start": match.start(),
                "end": match.start() + len(body),
                "text": body,
            }
        )
    return rows


def raw(article: dict[str, Any]) -> str:
    """The article as a file of the shop's archive: its metadata in one of several layouts, then its text."""
    layout = random.Random(f"raw {article['id']} {article['title']}").randrange(5)
    fields = {name: article[name] for name in ("title", "kind", "category", "product", "updated", "author", "audience")}
    fields = {name: value for name, value in fields.items() if value}
    if layout == 0:
        return "---\n" + "".join(f"{name}: {value}\n" for name, value in fields.items()) + "---\n\n" + article["text"]
    if layout == 1:
        head = ", ".join(f'{name}="{value}"' for name, value in fields.items() if name != "title")
        return f"<!-- {head} -->\n{article['text']}"
    if layout == 2:
        tail = " | ".join(f"{name} {value}" for name, value in fields.items() if name != "title")
        return f"{article['text']}\n({tail})\n"
    if layout == 3:
        return "".join(f"{name.upper()}: {value}\n" for name, value in fields.items()) + "\n" + article["text"]
    return article["text"]
