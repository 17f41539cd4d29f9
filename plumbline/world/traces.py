"""Thought, action, observation: a reader answers questions with the help articles, one step at a time.

The actions are those of ReAct (Yao et al. 2022, arXiv 2210.03629): Search opens an article, Lookup walks through
the sentences of the open article that hold a keyword, Finish answers. Observations come from `Reader`, which
runs the actions, so a trace never shows what the tools would not return.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from plumbline.world import trace_texts as texts
from plumbline.world.articles import labels
from plumbline.world.questions import Asker
from plumbline.world.shop import Shop
from plumbline.world.spinning import fill, spin

Step = dict[str, str]

MOST_STEPS = 5
MOST_CHARACTERS = 1300  # of a whole trace, so that a small model's context holds it
SHOWN_SENTENCES, SHOWN_WORDS = 5, 45
NOT_STATED = "The articles do not say."
NO_RESULT = "No more results."

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
MARKER = re.compile(r"(?:- |\d+\. )")


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where an article's sentences start and end; headings and tables have none, an item of a list is one."""
    position = 0
    for line in text.split("\n"):
        if line and not line.startswith(("#", "|")):
            marker = MARKER.match(line)
            start = marker.end() if marker else 0
            for end in SENTENCE_END.finditer(line, start):
                yield position + start, position + end.start()
                start = end.end()
            yield position + start, position + len(line)
        position += len(line) + 1


class Reader:
    """The tools: one open article, and a place in the results of the last keyword."""

    def __init__(self, shop: Shop, articles: Sequence[dict[str, Any]]):
        self.articles = articles
        self.sentences = [
            [article["text"][start:end].replace("**", "") for start, end in sentences(article["text"])]
            for article in articles
        ]
        self.titles = {article["title"].lower(): index for index, article in enumerate(articles)}
        self.products: dict[str, int] = {}
        names = labels(shop)
        for kind in ("product_guide", "troubleshooting", "howto", "comparison"):
            for index, article in enumerate(articles):
                if article["kind"] == kind and article["product"]:
                    self.products.setdefault(article["product"].lower(), index)
                    self.products.setdefault(names[article["product"]].lower(), index)
        self.words = [set(re.findall(r"\w+", article["title"].lower())) for article in articles]
        self.open: int | None = None
        self.keyword, self.results, self.place = "", [""], 0

    def run(self, action: str) -> str:
        """What `Search[...]`, `Lookup[...]` or `Finish[...]` returns. Anything else is a ValueError."""
        match = re.fullmatch(r"(Search|Lookup|Finish)\[(.*)\]", action)
        if match is None:
            raise ValueError(f"no such action: {action}")
        return {"Search": self.search, "Lookup": self.lookup, "Finish": lambda _: ""}[match[1]](match[2])

    def search(self, query: str) -> str:
        """Open the article with this title, or the first about the product of that name or number, guides first.

        Returns its first sentences: at most 5, and of at most 45 words together unless the first alone is longer.
        Where there is no such article none is open, and up to three titles that share words with the query are named.
        """
        wanted = query.strip().lower()
        self.open = self.titles.get(wanted, self.products.get(wanted))
        self.keyword = ""
        if self.open is not None:
            return " ".join(self.shown(self.open))
        similar = self.similar(query)
        return f"Could not find {query}." + (f" Similar: {'; '.join(similar)}." if similar else "")

    def shown(self, index: int) -> list[str]:
        """The sentences of the article that a search shows."""
        listed = self.sentences[index]
        count, words = 1, len(listed[0].split())
        while count < min(SHOWN_SENTENCES, len(listed)) and words + len(listed[count].split()) <= SHOWN_WORDS:
            words += len(listed[count].split())
            count += 1
        return listed[:count]

    def similar(self, query: str) -> list[str]:
        """Up to three titles that share most words with the query, of equal ones the shortest, then the earliest."""
        wanted = set(re.findall(r"\w+", query.lower())) - texts.SMALL_WORDS
        ranked = sorted(
            (-len(wanted & words), len(words), index) for index, words in enumerate(self.words) if wanted & words
        )
        return [self.articles[index]["title"] for _, _, index in ranked[:3]]

    def lookup(self, keyword: str) -> str:
        """The next sentence of the open article that holds the keyword, with its place: `(Result 1 / 3) ...`."""
        if self.open is None:
            return "Search for an article first."
        if keyword.lower() != self.keyword:
            self.keyword, self.place = keyword.lower(), 0
            self.results = [sentence for sentence in self.sentences[self.open] if self.keyword in sentence.lower()]
        if self.place >= len(self.results):
            return NO_RESULT
        self.place += 1
        return f"(Result {self.place} / {len(self.results)}) {self.results[self.place - 1]}"


class Solver:
    """Draws a question and takes the steps that answer it."""

    def __init__(self, shop: Shop, articles: Sequence[dict[str, Any]], rng: random.Random):
        self.shop, self.articles, self.rng = shop, articles, rng
        self.asker = Asker(shop, articles, rng)
        self.reader = Reader(shop, articles)
        self.holding = [self._holding(article) for article in articles]
        self.steps: list[Step] = []
        couples = [shop.products[index : index + 2] for index in range(0, len(shop.products), 2)]
        self.group = {product.sku: "+".join(one.sku for one in couple) for couple in couples for product in couple}
        self.couples = [
            couple
            for couple in couples
            if len(couple) == 2 and all(one.sku.lower() in self.reader.products for one in couple)
        ]

    def _holding(self, article: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
        """Each fact (name, product) of the article with the sentences that state it."""
        places = list(sentences(article["text"]))
        found: dict[tuple[str, str], set[str]] = {}
        for fact in article["facts"]:
            for start, end in places:
                if start <= fact["start"] and fact["end"] <= end:
                    sentence = article["text"][start:end].replace("**", "")
                    found.setdefault((fact["name"], fact["product"]), set()).add(sentence)
        return found

    def think(self, template: str, **values: str) -> str:
        return fill(spin(template, self.rng), values)

    def act(self, thought: str, action: str) -> str:
        observation = self.reader.run(action)
        self.steps.append({"thought": thought, "action": action, "observation": observation})
        return observation

    def noun(self, name: str, sku: str) -> str:
        """The fact as a noun phrase: `the price of the Ember copper kettle`."""
        (_, _, noun, _), values = self.asker.wording(name, sku)
        return fill(spin(noun, self.rng), values)

    def reach(self, name: str, sku: str, index: int, opening: str) -> str | None:
        """Open the article and look until a sentence states the fact; that sentence, or None if it was not found."""
        article, rng = self.articles[index], self.rng
        label = self.asker.labels.get(sku, "")
        if sku and self.reader.products.get(label.lower()) == index and rng.random() < 0.8:
            query = label if rng.random() < 0.85 else sku
        else:
            query = article["title"]
        if rng.random() < (0.45 if sku else 0.8) and not self.steps:
            vague = self.vague(name, sku)
            if article["title"] in self.reader.similar(vague) and self.reader.run(f"Search[{vague}]").startswith(
                "Could"
            ):
                self.act(self.think(opening, noun=self.noun(name, sku), query=vague), f"Search[{vague}]")
                opening, query = texts.AGAIN, article["title"]
        self.act(self.think(opening, noun=self.noun(name, sku), query=query), f"Search[{query}]")
        stated = self.holding[index][name, sku]
        for sentence in self.reader.shown(index):
            if sentence in stated:
                return sentence
        keywords = [word for word in self.keywords(name, sku) if any(word in sentence.lower() for sentence in stated)]
        if not keywords:
            return None
        keyword, template = rng.choice(keywords), texts.LOOK
        while len(self.steps) < MOST_STEPS - 1:
            found = self.act(self.think(template, noun=self.noun(name, sku), keyword=keyword), f"Lookup[{keyword}]")
            sentence = found.partition(") ")[2]
            if sentence in stated:
                return sentence
            template = texts.FURTHER
        return None

    def vague(self, name: str, sku: str) -> str:
        """A query as somebody would type it who does not know the titles."""
        if not sku:
            return spin(texts.QUERIES[name], self.rng)
        product = self.asker.products[sku]
        style = product.name.split()[0]
        return f"{self.rng.choice([style, product.material, product.colour])} {product.noun}"

    def keywords(self, name: str, sku: str) -> list[str]:
        if name.startswith("remedy_"):
            fault = self.asker.products[sku].faults[int(name.removeprefix("remedy_"))]
            return [word for word in fault.split() if len(word) > 3]
        return texts.KEYWORDS.get(name, name.split("_"))

    def fact(self) -> tuple[str, str, int] | None:
        """A fact and an article that states it: rules are read in pages on rules, products in pages on that product."""
        index = self.rng.randrange(len(self.articles))
        article = self.articles[index]
        if article["kind"] == "comparison":
            return None
        facts = [key for key in self.holding[index] if bool(key[1]) == bool(article["product"])]
        return (*self.rng.choice(facts), index) if facts else None

    def single(self) -> dict[str, Any] | None:
        """One fact, asked for outright or by a yes-or-no question."""
        chosen = self.fact()
        if chosen is None:
            return None
        name, sku, index = chosen
        judged = self.asker.judge(name, sku) if self.rng.random() < 0.5 else None
        question, answer = judged or (self.asker.ask(name, sku), self.asker.value(name, sku))
        if self.reach(name, sku, index, texts.START) is None:
            return None
        value = self.asker.value(name, sku)
        self.act(
            self.think(texts.DECIDE if judged else texts.DONE, value=value, noun=self.noun(name, sku)),
            f"Finish[{answer}]",
        )
        return self.row(index, question, answer)

    def compare(self) -> dict[str, Any] | None:
        """The better of two products, each looked up in its own article."""
        if not self.couples:
            return None
        couple = self.rng.sample(self.rng.choice(self.couples), k=2)
        name = self.rng.choice(list(texts.COMPARED))
        sizes = [texts.SIZE[name](product) for product in couple]
        if sizes[0] == sizes[1]:
            return None
        question, lower = self.rng.choice(texts.COMPARED[name])
        first, second = (self.asker.labels[product.sku] for product in couple)
        winner = first if (sizes[0] < sizes[1]) == lower else second
        for product, opening in zip(couple, (texts.START, texts.OTHER), strict=True):
            index = self.reader.products[product.sku.lower()]
            if (name, product.sku) not in self.holding[index]:
                return None
            if self.reach(name, product.sku, index, opening) is None:
                return None
        values = [self.asker.value(name, product.sku) for product in couple]
        thought = self.think(texts.WEIGH, one=values[0], two=values[1], winner=winner)
        self.act(thought, f"Finish[{winner}]")
        return self.row(index, self.think(question, one=first, two=second), winner)

    def unstated(self) -> dict[str, Any] | None:
        """A question that no article answers: the reader looks, finds nothing and says so."""
        index = self.reader.products.get(self.rng.choice(self.shop.products).sku.lower())
        if index is None or self.articles[index]["kind"] == "comparison":
            return None
        label = self.asker.labels[self.articles[index]["product"]]
        question, keyword, what = self.rng.choice(texts.UNSTATED)
        if any(keyword in sentence.lower() for sentence in self.reader.sentences[index]):
            return None
        self.act(self.think(texts.START, noun=f"{what} of the {label}", query=label), f"Search[{label}]")
        self.act(self.think(texts.LOOK, noun=what, keyword=keyword), f"Lookup[{keyword}]")
        self.act(self.think(texts.GIVE_UP, noun=what), f"Finish[{NOT_STATED}]")
        return self.row(index, self.think(question, name=label), NOT_STATED)

    def row(self, index: int, question: str, answer: str) -> dict[str, Any]:
        article = self.articles[index]
        return {
            "group": self.group[article["product"]] if article["product"] else article["id"],
            "question": question,
            "steps": self.steps,
            "answer": answer,
        }


def traces(shop: Shop, articles: Sequence[dict[str, Any]], count: int, seed: str) -> list[dict[str, Any]]:
    """`count` traces over the articles, which are those of the shop.

    Rows: id, group, question, steps: [{thought, action, observation}] (2 to 5; the last action is Finish and
    observes nothing), answer.

    Products are compared in fixed couples, and all traces about either of a couple share its group; a trace about a
    rule of the shop belongs to the group of the article it read. So an article is read in one group only.
    """
    if not articles:
        raise ValueError("traces need at least one article")
    rng = random.Random(f"traces {shop.seed} {seed}")
    solver = Solver(shop, articles, rng)
    kinds = (solver.single,) * 14 + (solver.compare,) * 4 + (solver.unstated,)
    rows: list[dict[str, Any]] = []
    seen = set[str]()
    while len(rows) < count:
        solver.steps = []
        row = rng.choice(kinds)()
        if row is None or len(row["steps"]) > MOST_STEPS:
            continue
        text = _plain(row)
        if len(text) <= MOST_CHARACTERS and text not in seen:
            seen.add(text)
            rows.append({"id": f"trace-{seed}-{len(rows):05d}"} | row)
    return rows


def raw(row: dict[str, Any]) -> str:
    """The trace as text: plain, with a blank line before each step, or with the answer once more at the end."""
    layout = random.Random(f"raw {row['id']} {row['question']}").randrange(3)
    text = _plain(row)
    if layout == 1:
        text = text.replace("\nThought", "\n\nThought")
    return text + f"Answer: {row['answer']}\n" if layout == 2 else text


def _plain(row: dict[str, Any]) -> str:
    lines = [f"Question: {row['question']}"]
    for number, step in enumerate(row["steps"], 1):
        lines += [f"Thought {number}: {step['thought']}", f"Action {number}: {step['action']}"]
        if step["observation"]:
            lines.append(f"Observation {number}: {step['observation']}")
    return "\n".join(lines) + "\n"
