"""Questions about the help articles, with short answers and the exact places in the articles that hold them."""

import datetime
import random
import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from plumbline.world import question_texts as texts
from plumbline.world.articles import labels, noun_slots, policy_facts, product_facts, sections
from plumbline.world.shop import MONTHS, Shop, full_day, money
from plumbline.world.spinning import fill, plural, spin

UNANSWERABLE = "The passage does not say."
KINDS = ("single",) * 10 + ("multi_part",) * 3 + ("filter",) * 3 + ("unanswerable",) * 4
MOST_WORDS = 150  # of a passage made of two sections, so that a small model's context holds it


class Asker:
    """Draws questions about one shop's articles."""

    def __init__(self, shop: Shop, articles: Sequence[dict[str, Any]], rng: random.Random):
        self.shop, self.articles, self.rng = shop, articles, rng
        self.products = {product.sku: product for product in shop.products}
        self.labels = labels(shop)
        self.rules = policy_facts(shop)
        self.facts = {sku: product_facts(shop, product) for sku, product in self.products.items()}
        self.sections = [sections(article) for article in articles]
        self.starts = [[section["start"] for section in listed] for listed in self.sections]

    def section(self, index: int, fact: dict[str, Any]) -> dict[str, Any]:
        """The section of the article `index` that holds the fact."""
        return self.sections[index][bisect_right(self.starts[index], fact["start"]) - 1]

    def wording(self, name: str, sku: str) -> tuple[tuple[str, str, str, str], dict[str, str]]:
        """The templates for a fact and the values of their slots."""
        shop, rng = self.shop, self.rng
        order = rng.choice(shop.orders)
        values = {
            "shop": shop.name,
            "order": order.number,
            "carrier": order.carrier,
            "someone": rng.choice(shop.customers).first,
            "place": rng.choice(shop.customers).town,
            "day": f"{rng.randrange(1, 29)} {rng.choice(MONTHS)}",
            "value": self.value(name, sku),
        }
        if not sku:
            return texts.POLICY[name], values
        product = self.products[sku]
        values |= {"name": self.labels[sku]} | noun_slots(product)
        if name.startswith("remedy_"):
            values["fault"] = product.faults[int(name.removeprefix("remedy_"))]
            return texts.PRODUCT["remedy"], values
        if name not in texts.PRODUCT:
            values["what"] = name.replace("_", " ")
            return texts.PRODUCT["measure"], values
        return texts.PRODUCT[name], values

    def value(self, name: str, sku: str) -> str:
        return self.facts[sku][name] if sku else self.rules[name]

    def ask(self, name: str, sku: str, plain: bool = False) -> str:
        """A question for the fact; `plain` leaves out what people say around it."""
        (context, question, noun, _), values = self.wording(name, sku)
        draw = self.rng.random()
        if plain or draw < 0.4:
            return fill(spin(question, self.rng), values)
        if draw < 0.5:
            values["noun"] = fill(spin(noun, self.rng), values)
            return fill(spin(texts.INDIRECT, self.rng), values)
        opener = spin(texts.OPENERS, self.rng) if draw < 0.7 else ""
        said = spin(context, self.rng) if draw > 0.6 else ""
        return self.casual(fill(f"{opener} {said} {spin(question, self.rng)}".replace("  ", " ").strip(), values))

    def casual(self, text: str) -> str:
        """Now and then as people type: without capitals and question marks, with short forms."""
        if self.rng.random() > 0.2:
            return text
        for long, short in (("What is", "Whats"), ("Please", "Pls"), ("I am", "Im"), ("do not", "dont"), ("?", "")):
            if self.rng.random() < 0.6:
                text = text.replace(long, short)
        return text[0].lower() + text[1:]

    def judge(self, name: str, sku: str) -> tuple[str, str] | None:
        """A yes-or-no question for the fact and its answer, or None where the fact allows none."""
        if name not in texts.JUDGED:
            return None
        rng, rules = self.rng, self.shop.policies
        question, reason = texts.JUDGED[name]
        _, values = self.wording(name, sku)
        if name == "free_from":
            case = rules.free_from + rng.choice([-1, 1]) * rng.randrange(1, 60) * 50
            yes, values["case"] = case >= rules.free_from, money(case) if case % 100 else f"{case // 100} marks"
        elif name == "support_hours":
            hour = rng.randrange(6, 23)
            yes, values["case"] = rules.support_opens <= hour < rules.support_closes, f"{hour}:00"
        else:
            limit = self.products[sku].warranty_months if name == "warranty" else getattr(rules, name)
            case = max(1, limit + rng.choice([-1, 1]) * rng.randrange(1, max(3, limit)))
            yes = case <= limit
            values["case"] = plural(case, "month" if name == "warranty" else name.rsplit("_", 1)[1].removesuffix("s"))
        opener = spin(texts.OPENERS, rng) if rng.random() < 0.3 else ""
        text = self.casual(fill(f"{opener} {spin(question, rng)}".strip(), values))
        return text, fill(f"{'Yes' if yes else 'No'}, {reason}.", values)

    def single(self, index: int) -> dict[str, Any]:
        fact = self.rng.choice(self.articles[index]["facts"])
        name, sku = fact["name"], fact["product"]
        judged = self.judge(name, sku) if self.rng.random() < 0.6 else None
        question, answer = judged or (self.ask(name, sku), self.value(name, sku))
        answers = [answer] if judged else self.variants(name, sku)
        return self.row(index, [fact], question, answer, answers)

    def multi_part(self, index: int) -> dict[str, Any] | None:
        facts = self.articles[index]["facts"]
        for _ in range(8):
            first, second = self.rng.choice(facts), self.rng.choice(facts)
            one, two = self.section(index, first), self.section(index, second)
            distinct = (first["name"], first["product"]) != (second["name"], second["product"])
            words = len(one["text"].split()) + len(two["text"].split())
            if distinct and one["id"] != two["id"] and words <= MOST_WORDS:
                break
        else:
            return None
        parts = [self.ask(fact["name"], fact["product"], plain=True) for fact in (first, second)]
        values = {"first": parts[0], "second_low": lower_first(parts[1]), "first_low": lower_first(parts[0])}
        for slot, fact in (("first_noun", first), ("second_noun", second)):
            (_, _, noun, _), slots = self.wording(fact["name"], fact["product"])
            values[slot] = fill(noun, slots)
        whats = values["first_noun"].startswith("the ") and values["second_noun"].startswith("the ")
        question = fill(spin(texts.BOTH[self.rng.randrange(2) if whats else 0], self.rng), values)
        found = [self.value(fact["name"], fact["product"]) for fact in (first, second)]
        answers = ["; ".join(found), " and ".join(found)]
        return self.row(index, [first, second], question, answers[0], answers, parts=parts)

    def filter(self, index: int) -> dict[str, Any] | None:
        rng, article = self.rng, self.articles[index]
        filters = self.filters(article)
        fact = rng.choice(article["facts"])
        name, sku = fact["name"], fact["product"]
        asked = lower_first(self.ask(name, sku, plain=True))
        if sku and sku == article["product"] and article["kind"] != "comparison":
            matching = [other for other in self.articles if matches(other, filters)]
            if len(matching) == 1:  # the filter alone says which product is meant
                asked = asked.replace(
                    f"the {self.labels[sku]}", f"the {rng.choice(['product', 'item', 'model'])} described there"
                )
        where = filter_words(filters, rng)
        form = rng.choice(["{In|According to} {}, {}", "Looking only at {}: {}", "I only want {}. {}", "From {}: {}"])
        asked = spin(form.replace("{}", "<>"), rng).replace("<>", where, 1).replace("<>", asked, 1)
        asked = re.sub(r"(\. )([a-z])", lambda match: match[1] + match[2].upper(), asked)
        return self.row(index, [fact], asked, self.value(name, sku), self.variants(name, sku), filters=filters)

    def filters(self, article: dict[str, Any]) -> dict[str, str]:
        """One to three true statements about the article's metadata."""
        rng = self.rng
        names = rng.sample(
            ["category", "kind", "author", "audience", "updated_after", "updated_before"], k=rng.choice([1, 2, 2, 3])
        )
        if {"updated_after", "updated_before"} <= set(names):
            names.remove("updated_before")
        filters = {}
        updated = datetime.date.fromisoformat(article["updated"])
        for name in sorted(names):
            away = datetime.timedelta(days=rng.randrange(1, 120))
            if name == "updated_after":
                filters[name] = (updated - away).isoformat()
            elif name == "updated_before":
                filters[name] = (updated + away).isoformat()
            else:
                filters[name] = article[name]
        return filters

    def unanswerable(self, index: int) -> dict[str, Any] | None:
        """A question beside a section that does not answer it: another fact, another product, or never stated."""
        rng, article = self.rng, self.articles[index]
        place = rng.randrange(len(self.sections[index]))
        section = self.sections[index][place]
        held = [fact for fact in article["facts"] if section["start"] <= fact["start"] < section["end"]]
        if not held:
            return None
        draw = rng.random()
        if draw < 0.2:
            sku = article["product"]
            _, values = self.wording("price" if sku else "return_days", sku)
            question = fill(
                spin(texts.UNSTATED_PRODUCT if sku and rng.random() < 0.7 else texts.UNSTATED_SHOP, rng), values
            )
            return self.row(index, [], self.casual(question), UNANSWERABLE, [UNANSWERABLE], passage=section["text"])
        if draw < 0.5 and len(self.products) > 1 and held[0]["product"]:
            name, sku = held[0]["name"], rng.choice(list(self.products))
            if self.labels[held[0]["product"]] not in section["text"]:
                return None
        else:
            near = [fact for fact in article["facts"] if bool(fact["product"]) == bool(held[0]["product"])]
            fact = rng.choice(near if rng.random() < 0.8 else article["facts"])
            name, sku = fact["name"], fact["product"]
        if name not in (self.facts[sku] if sku else self.rules):
            return None
        stated = any(fact["name"] == name and fact["product"] == sku for fact in held)
        if stated or self.value(name, sku).lower() in section["text"].lower():
            return None
        return self.row(index, [], self.ask(name, sku), UNANSWERABLE, [UNANSWERABLE], passage=section["text"])

    def variants(self, name: str, sku: str) -> list[str]:
        """The value, and the value in a sentence."""
        (_, _, _, sentence), values = self.wording(name, sku)
        return [values["value"], fill(sentence, values)]

    def row(
        self,
        index: int,
        facts: list[dict[str, Any]],
        question: str,
        answer: str,
        answers: list[str],
        *,
        passage: str = "",
        filters: dict[str, str] | None = None,
        parts: list[str] | None = None,
    ) -> dict[str, Any]:
        article = self.articles[index]
        return {
            "group": article["id"],
            "question": question,
            "answer": answer,
            "answers": answers,
            "passage": passage or "\n\n".join(self.section(index, fact)["text"] for fact in facts),
            "evidence": [{"article": article["id"], "start": fact["start"], "end": fact["end"]} for fact in facts],
            "filters": filters or {},
            "parts": parts or [],
        }


def questions(shop: Shop, articles: Sequence[dict[str, Any]], count: int, seed: str) -> list[dict[str, Any]]:
    """`count` questions about the articles, which are those of the shop.

    Rows: id, group, kind (single, multi_part, filter or unanswerable), question, answer (the value itself, or one
    short sentence), answers (accepted forms, the answer first), passage (the text of the section that answers; both
    sections for multi_part; for unanswerable one that does not), evidence: [{article, start, end}] (the characters of
    the article's text that are the value), filters (what the question demands of an article's metadata: category,
    kind, author, audience, and updated_after, updated_before as ISO dates, which do not count themselves), parts (the
    two questions of a multi_part one).

    The group is always one article: both parts of a multi_part question stand in the same article, and an
    unanswerable question belongs to the article of its passage. So no group joins two articles.
    """
    if not articles:
        raise ValueError("questions need at least one article")
    rng = random.Random(f"questions {shop.seed} {seed}")
    asker = Asker(shop, articles, rng)
    rows: list[dict[str, Any]] = []
    asked = set[tuple[str, str]]()
    while len(rows) < count:
        kind = rng.choice(KINDS)
        row = getattr(asker, kind)(rng.randrange(len(articles)))
        if row is not None and (row["question"], row["passage"]) not in asked:
            asked.add((row["question"], row["passage"]))
            rows.append({"id": f"question-{seed}-{len(rows):05d}", "kind": kind} | row)
    return rows


def matches(article: dict[str, Any], filters: dict[str, str]) -> bool:
    """Whether the article's metadata satisfy every filter."""
    for name, wanted in filters.items():
        if name == "updated_after":
            if article["updated"] <= wanted:
                return False
        elif name == "updated_before":
            if article["updated"] >= wanted:
                return False
        elif article[name] != wanted:
            return False
    return True


def filter_words(filters: dict[str, str], rng: random.Random) -> str:
    """The filters in words: `the kitchen product guides by Ada that were updated after 1 May 2031`."""
    text = rng.choice(["the ", "our ", "your "]) if rng.random() < 0.8 else ""
    text += f"{filters['category']} " if "category" in filters else ""
    text += texts.KINDS[filters["kind"]] if "kind" in filters else rng.choice(["articles", "pages", "help pages"])
    text += f" for {filters['audience']}" if "audience" in filters else ""
    text += f" {rng.choice(['by', 'written by', 'from'])} {filters['author']}" if "author" in filters else ""
    for name, word in (("updated_after", "after"), ("updated_before", "before")):
        if name in filters:
            date = full_day(datetime.date.fromisoformat(filters[name]))
            text += f" {rng.choice(['that were ', ''])}updated {word} {date}"
    return text


def lower_first(text: str) -> str:
    """A small first letter, but for I, so that the question can stand inside a sentence."""
    return text if text.startswith("I ") else text[:1].lower() + text[1:]


def raw(row: dict[str, Any]) -> str:
    """The row as a piece of a FAQ, a forum's export or an internal sheet of questions."""
    rng = random.Random(f"raw {row['id']} {row['question']}")
    passage, question, answer = row["passage"], row["question"], row["answer"]
    filters = "".join(f" {name}={value}" for name, value in row["filters"].items())
    layout = rng.randrange(7)
    if layout == 0:
        return f"{passage}\n\nQ: {question}\nA: {answer}\n"
    if layout == 1:
        return f"# FAQ\n\n**{question}**\n\n> " + passage.replace("\n", "\n> ") + f"\n\n{answer}\n"
    if layout == 2:
        return f"Passage: {passage}\nQuestion: {question}\nAnswer: {answer}\n"
    if layout == 3:
        user, agent = (
            rng.choice(["guest", "member", "visitor"]) + str(rng.randrange(10, 999)),
            rng.choice(["desk", "support", "helper"]),
        )
        return f"[{user}] {question}\n[{agent}] Our help page says:\n{passage}\n[{agent}] So: {answer}\n"
    if layout == 4:
        sheet = f"kind: {row['kind']}\nfrom: {row['group']}\n" + (f"filter:{filters}\n" if filters else "")
        return f"{sheet}text: {passage}\nasked: {question}\nreply: {answer}\n"
    if layout == 5:
        return f"{question}\n\n{passage}\n\n{answer}\n"
    return f"{passage}\n\n{question} {answer}\n"
