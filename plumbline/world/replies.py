"""Customer messages with four replies each, the written rubric that grades them, and simulated annotators.

A message asks two things about one order, and the facts that answer them stand above it. A reply is an
opening, one statement for each question that it takes up, and a closing. What is wrong with it is drawn first and
the text follows, so its grades are known and not judged:

correct   the share of its statements that agree with the facts
complete  the share of the questions that it takes up
polite    1 friendly, 0.5 curt, 0 rude
concise   1 to the point, 0.5 a sentence or two too many, 0 rambling

One reply of the four is good in every way; the others are drawn at random until the four gold scores differ.
Beside them stands the reply that was sent, with its facts right.
"""

import datetime
import functools
import random
from collections.abc import Callable
from dataclasses import dataclass

from plumbline.world.shop import CARRIERS, Order, Product, Shop, day, money

RUBRIC = """\
Grade each reply from 0 to 1 on four questions, with the order and the policy in front of you.
Correct: what share of its statements agrees with them? A wrong date, amount, name or order number is a wrong statement.
Complete: what share of the customer's questions does it take up?
Polite: does it speak to the customer as a friend of the house would? Curt is a half, rude is nothing.
Concise: does it come to the point? A sentence or two too many is a half, rambling is nothing.
The score weighs correct 0.4, complete 0.2, polite 0.25 and concise 0.15: a right reply that is rude loses a customer, too."""

WEIGHTS = {"correct": 0.4, "complete": 0.2, "polite": 0.25, "concise": 0.15}


def score(rubric: dict[str, float]) -> float:
    """The gold score of a graded reply, 0 to 1: the weighted mean that `RUBRIC` describes."""
    return round(sum(weight * rubric[quality] for quality, weight in WEIGHTS.items()), 4)


# What customers ask


@dataclass(frozen=True)
class Question:
    """One thing to ask about an order. Sentences are whole; `{}` in an answer is the place of the value."""

    fact: str  # the sentence that holds the value; empty where the order line does, which every message has
    ask: str
    answers: tuple[str, ...]
    value: str
    wrong: tuple[str, ...]  # what a careless agent might claim instead


def other_digits(digits: str, shift: int) -> str:
    """A number that has another digit in every place."""
    return "".join(str((int(digit) + shift) % 10) for digit in digits)


def amounts(cents: int) -> tuple[str, tuple[str, ...]]:
    others = [cents + 1450, cents * 2, cents * 3, cents // 2 + 15, cents // 3 + 120]
    return money(cents), tuple(money(other) for other in others if str(other)[0] != str(cents)[0])


def days_near(date: datetime.date) -> tuple[str, tuple[str, ...]]:
    return day(date), tuple(day(date + datetime.timedelta(days=shift)) for shift in (-23, -17, -12, 13, 19, 24))


def arrival(rng: random.Random, shop: Shop, order: Order, product: Product) -> Question:
    value, wrong = days_near(order.due)
    ask = rng.choice(
        [
            "When will my parcel be here?",
            f"What is the delivery date of the {product.noun}?",
            "Could you tell me the delivery date?",
        ]
    )
    answers = (
        "Your parcel should be with you on {}.",
        "The delivery date is {}.",
    )
    return Question("", ask, answers, value, wrong)


def carrier(rng: random.Random, shop: Shop, order: Order, product: Product) -> Question:
    ask = rng.choice(
        [
            "Which carrier has it?",
            f"Who is the carrier of the {product.noun}?",
            "I need the name of the carrier.",
        ]
    )
    answers = ("The carrier is {}.", "It travels with {}.")
    return Question("", ask, answers, order.carrier, tuple(name for name in CARRIERS if name != order.carrier))


def total(rng: random.Random, shop: Shop, order: Order, product: Product) -> Question:
    value, wrong = amounts(order.total)
    ask = rng.choice(
        [
            "What does the order come to?",
            f"What is the total of {order.number}?",
            "Please tell me the total.",
        ]
    )
    answers = ("The total is {}.", "The order comes to {}.")
    return Question("", ask, answers, value, wrong)


def tracking(rng: random.Random, shop: Shop, order: Order, product: Product) -> Question:
    others = tuple(order.tracking[0] + other_digits(order.tracking[1:], shift) for shift in (2, 3, 6, 7))
    fact = rng.choice(
        [
            f"Tracking number: {order.tracking}.",
            f"The parcel is tracked as {order.tracking}.",
        ]
    )
    ask = rng.choice(
        [
            "What is the tracking number?",
            "Could you send me the tracking number?",
            "Under which number can I trace it?",
        ]
    )
    answers = ("The tracking number is {}.", "You can trace it under {}.")
    return Question(fact, ask, answers, order.tracking, others)


TOPICS: tuple[Callable[[random.Random, Shop, Order, Product], Question], ...] = (
    arrival,
    carrier,
    total,
    tracking,
)


# The message


def bought(shop: Shop) -> list[tuple[Order, Product]]:
    """What somebody may write about: every product of every order.

    String lights and shears are left out where there is anything else: "the shears is" would be bad English.
    """
    lines = [(order, product) for order in shop.orders for product, _ in order.lines]
    return [line for line in lines if not line[1].noun.endswith("s")] or lines


def order_line(rng: random.Random, order: Order, product: Product) -> str:
    """The order as the agent's screen shows it: number, customer, thing, total, due date and carrier."""
    return rng.choice(
        [
            f"Order {order.number} of {order.customer.name}: {product.name}, total {money(order.total)}, due {day(order.due)} with {order.carrier}.",
            f"{order.number} | {order.customer.name} | {product.name} | {money(order.total)} | due {day(order.due)} | {order.carrier}",
            f"{order.carrier} delivers {order.number} to {order.customer.name} on {day(order.due)}: {product.name}, together {money(order.total)}.",
            f"Number {order.number}, {order.customer.name}. Goods: {product.name}. Sum: {money(order.total)}. Delivery {day(order.due)} by {order.carrier}.",
        ]
    )


def lower_first(sentence: str) -> str:
    return sentence if sentence.startswith(("I ", "I'")) else sentence[0].lower() + sentence[1:]


def slip(rng: random.Random, text: str) -> str:
    """Two letters of one longer word change places, as in a mail written in haste."""
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if len(word) > 4 and word.isalpha() and word.islower()]
    if not places:
        return text
    place = rng.choice(places)
    word = words[place]
    at = rng.randrange(1, len(word) - 2)
    words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def mail(rng: random.Random, shop: Shop, order: Order, product: Product, questions: list[Question]) -> str:
    """What the customer writes: a greeting, some background, the questions, a name."""
    customer = order.customer
    hello = rng.choice(
        [
            "Hello,",
            "Hi there,",
            "Good morning,",
            "Good evening,",
            "Dear team,",
            f"Hi {rng.choice(shop.agents)},",
            "hey,",
        ]
    )
    background = rng.choice(
        [
            "",
            "",
            f"I write about {order.number}. ",
            f"My order is {order.number}. ",
            f"It is about the {product.noun}. ",
            f"I have the {product.name}. ",
        ]
    )
    feeling = rng.choice(
        [
            "",
            "",
            "",
            "This is my first order with you. ",
            "Nobody picked up the phone. ",
            "I am a bit annoyed. ",
            "So far I am happy. ",
            "Time is short. ",
        ]
    )
    asked = questions[0].ask
    for question in questions[1:]:
        link = rng.choice(["Also,", "And", "Besides,", "Then,", "Oh, and", "Second,"])
        asked += f" {link} {lower_first(question.ask)}"
    end = rng.choice(["Thanks,", "Thank you,", "Best wishes,", "Regards,", "Cheers,", "Greetings,"])
    body = f"{background}{feeling}{asked}"
    body = slip(rng, body) if rng.random() < 0.2 else body
    return f"{hello}\n{body[0].upper() + body[1:]}\n{end} {rng.choice([customer.first, customer.name])}"


# The replies

FRIENDLY_HELLO = ("Dear", "Hello", "Good day,")
RUDE_HELLO = ("Hello", "Well,", "Look,", "Listen,")
FRIENDLY_START = (
    "thank you for your message.",
    "thank you for writing to us.",
    "thanks for getting in touch.",
    "it is good to hear from you.",
    "I am glad to help.",
    "I have looked this up for you.",
    "I am sorry for the uncertainty.",
    "thank you for your patience.",
    "of course, here are the details.",
    "many thanks for your mail.",
)
FRIENDLY_END = (
    "Kind regards,",
    "Warm regards,",
    "Best wishes,",
    "Please write again if anything is unclear.",
    "I am happy to help with anything else.",
    "Have a pleasant day!",
    "We wish you much joy with your order.",
    "Do let us know if you need more.",
)
CURT_START = ("Re your mail.", "Noted.", "Answer as follows.", "Your mail of today.", "See below.", "")
CURT_END = ("Regards.", "Done.", "That is all.", "Ticket closed.", "")
RUDE_START = (
    "you could have found this out yourself.",
    "I wonder whether you read anything that we send.",
    "again one of these mails.",
    "some of us have real work to do.",
    "is it so hard to look at your own order?",
    "what a silly thing to ask.",
    "I will say this once and slowly.",
    "people like you keep the whole desk busy.",
    "your mail is a mess, but here you are.",
    "nobody else seems to have trouble with this.",
    "I had hoped for a quiet day without you.",
    "anyone with eyes could have seen this.",
)
RUDE_END = (
    "Do not write about this again.",
    "Next time use your head.",
    "Now stop bothering us.",
    "I doubt that you will understand it, but there it is.",
    "If you do not like it, shop somewhere else.",
    "Was that really so difficult?",
    "We have better customers than you.",
    "Try to remember it this time.",
    "Spare us the next mail.",
)


def rambling(rng: random.Random, shop: Shop, product: Product, count: int) -> list[str]:
    """So many friendly sentences that the customer did not need."""
    agent, year, other = rng.choice(shop.agents), rng.randrange(1890, 2020), rng.choice(shop.products)
    return rng.sample(
        [
            f"{shop.name} has stood in {shop.town} since {year}.",
            f"The {product.noun} is one of my own favourites.",
            "A parcel goes through many hands on its way.",
            f"My colleague {agent} has one in {other.colour} at home.",
            "The weather here has been mild.",
            "There is a lot to say about this.",
            f"You may also like our {other.name}.",
            "Every question is a chance for us to learn.",
            f"{agent} would tell you the same.",
            "Let me say how much we value such letters.",
            "Some shops see this in another way.",
            f"In {shop.town} we often talk about such things.",
            "It is what it is, in a manner of speaking.",
            f"{product.material.capitalize()} is a fine material, if I may say so.",
            f"I remember when the first {product.noun} came in.",
            "This has always been our way.",
        ],
        count,
    )


ORDER_LINES = ("This concerns order {}.", "I have order {} in front of me.", "Your order is {}.", "About {}:")
ASKED = 2  # questions of a message
HABITS = ("missing", "rude", "rambling")
FLAWS = ("wrong", *HABITS)


def reply(
    rng: random.Random, shop: Shop, order: Order, product: Product, questions: list[Question], flaws: list[str]
) -> tuple[str, dict]:
    """One reply with the flaws given, and its grades."""
    asked = len(questions)
    taken = list(range(asked))
    if "missing" in flaws:
        taken = sorted(rng.sample(taken, rng.randrange(1, asked)))
    names_order = rng.random() < 0.3
    wrongs: list[int] = []  # positions of the wrong statements; the order number stands at position -1
    if "wrong" in flaws:
        places = taken + ([-1] if names_order else [])
        wrongs = rng.sample(places, rng.randrange(1, len(places) + 1))
    polite = 1.0 if "rude" not in flaws else rng.choice([0.5, 0.0, 0.0])
    concise = 1.0 if "rambling" not in flaws else rng.choice([0.5, 0.0])

    sentences = []
    if names_order:
        other = order.number[:2] + other_digits(order.number[2:], rng.choice([2, 3, 6, 7]))
        number = other if -1 in wrongs else order.number
        sentences.append(rng.choice(ORDER_LINES).format(number))
    for place in taken:
        question = questions[place]
        value = rng.choice(question.wrong) if place in wrongs else question.value
        sentences.append(rng.choice(question.answers).format(value))
    for extra in rambling(rng, shop, product, {1.0: 0, 0.5: rng.choice([1, 1, 2]), 0.0: 3}[concise]):
        sentences.insert(rng.randrange(len(sentences) + 1), extra)

    agent = rng.choice(shop.agents)
    name = rng.choice([order.customer.first, order.customer.name])
    if polite == 0.5:
        start, end = rng.choice(CURT_START), rng.choice(CURT_END)
    else:
        line = rng.choice(FRIENDLY_START if polite else RUDE_START)
        hello = rng.choice(FRIENDLY_HELLO if polite else RUDE_HELLO)
        start = f"{hello} {name}, {line}"
        end = f"{rng.choice(FRIENDLY_END if polite else RUDE_END)} {agent}"
    text = " ".join(part for part in (start, *sentences, end) if part)
    statements = len(taken) + names_order
    return text, {
        "correct": round(1 - len(wrongs) / statements, 2),
        "complete": round(len(taken) / asked, 2),
        "polite": polite,
        "concise": concise,
    }


def draw_flaws(rng: random.Random) -> list[str]:
    return rng.sample(FLAWS, rng.choice([1, 1, 1, 2, 2, 3]))


def draw_habits(rng: random.Random) -> list[str]:
    """The flaws of a reply that was sent by an agent who had looked everything up, but was in a hurry or in a mood."""
    return rng.sample(HABITS, rng.choice([0, 1, 2, 2, 3]))


# The annotators


@functools.cache
def dispersion(noise: float, items: int) -> float:
    """The Mallows dispersion at which the expected share of pairs out of order is `noise`, found by bisection.

    Inserting the item number k above j of the k-1 better ones has probability proportional to dispersion**j
    (repeated insertion, Doignon et al. 2004), so the expected number of pairs out of order is a sum over k.
    """
    pairs = items * (items - 1) / 2
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        expected = 0.0
        for size in range(2, items + 1):
            weights = [middle**jump for jump in range(size)]
            expected += sum(jump * weight for jump, weight in enumerate(weights)) / sum(weights)
        low, high = (middle, high) if expected / pairs < noise else (low, middle)
    return (low + high) / 2


def ranks(rng: random.Random, gold: list[float], noise: float) -> list[int]:
    """One annotator's ranks, 1 for the best: gold's ranking with a share of `noise` of its pairs out of order.

    A draw from the Mallows model around the gold ranking. Replies that stand next to each other change places far
    more often than the best and the worst do, as with people.
    """
    spread = dispersion(noise, len(gold))
    ranking: list[int] = []
    for item in sorted(range(len(gold)), key=lambda place: -gold[place]):
        weights = [spread**jump for jump in range(len(ranking) + 1)]
        jump = rng.choices(range(len(weights)), weights)[0]
        ranking.insert(len(ranking) - jump, item)
    return [ranking.index(item) + 1 for item in range(len(gold))]


def replies(shop: Shop, count: int, seed: str, noise: float, raters: int) -> list[dict]:
    """`count` customer messages, each with four replies, their grades, gold scores and `raters` rankings.

    `noise` is the expected share of reply pairs that an annotator puts in the wrong order, 0 to 0.5; it changes the
    rankings and nothing else. Keys: id, group (the order), message (the context, then the customer's mail), context,
    sent (the reply that the customer got), replies (4 other texts), rankings ({rater, ranks}; rank 1 is the best), and
    those of `GOLD`: facts (what grading.grade reads), rubric (4 gradings), gold (4 different scores).
    """
    if not 0 <= noise <= 0.5:
        raise ValueError(f"noise is {noise}, a share of pairs between 0 and 0.5")
    rng, annotators = random.Random(f"replies {shop.seed} {seed}"), random.Random(f"annotators {shop.seed} {seed}")
    lines = bought(shop)
    by_message: dict[str, dict] = {}
    while len(by_message) < count:
        order, product = rng.choice(lines)
        every = [topic(rng, shop, order, product) for topic in rng.sample(TOPICS, len(TOPICS))]
        told = ASKED + rng.choice([0, 1, 1, 1])  # a fact that nobody asks for, too
        questions = every[:ASKED]
        facts = [question.fact for question in every[:told] if question.fact]
        facts_told = [
            {"answers": list(question.answers), "value": question.value, "asked": number < ASKED}
            for number, question in enumerate(every)
            if number < told or not question.fact
        ]
        rng.shuffle(facts)
        context = "\n".join([order_line(rng, order, product), " ".join(facts)]).strip()
        message = f"{context}\n\n{mail(rng, shop, order, product, questions)}"
        if message in by_message:
            continue
        graded = [reply(rng, shop, order, product, questions, [])]
        while len(graded) < 4:
            text, rubric = reply(rng, shop, order, product, questions, draw_flaws(rng))
            if all(score(rubric) != score(other) for _, other in graded):
                graded.append((text, rubric))
        rng.shuffle(graded)
        gold = [score(rubric) for _, rubric in graded]
        by_message[message] = {
            "id": f"replies-{shop.seed}-{seed}-{len(by_message)}",
            "group": f"order-{order.number}",
            "message": message,
            "context": context,
            "sent": reply(rng, shop, order, product, questions, draw_habits(rng))[0],
            "replies": [text for text, _ in graded],
            "rankings": [
                {"rater": f"rater-{number}", "ranks": ranks(annotators, gold, noise)} for number in range(1, raters + 1)
            ],
            "facts": {
                "order": order.number,
                "names": [order.customer.name, order.customer.first],
                "statements": facts_told,
            },
            "rubric": [rubric for _, rubric in graded],
            "gold": gold,
        }
    return list(by_message.values())


# What the annotators do not see and nothing is trained on: it is kept in a file of its own, for measurement.
GOLD = ("facts", "rubric", "gold")


def seen(row: dict) -> dict:
    """A row as annotators and training see it."""
    return {name: value for name, value in row.items() if name not in GOLD}


def hidden(row: dict) -> dict:
    """The gold of a row, under the row's id."""
    return {name: row[name] for name in ("id", "group", *GOLD)}


def raw(row: dict) -> str:
    """The message in the shop's archive: with the reply that was sent, or on a sheet of the quality review."""
    rng = random.Random(row["id"])
    best = max(range(4), key=lambda place: row["gold"][place])
    other = rng.choice([place for place in range(4) if place != best])
    sent = row["replies"][best]
    customer_mail = row["message"].removeprefix(row["context"]).strip()

    def graded(place: int) -> str:
        grades = ", ".join(f"{quality} {value:g}" for quality, value in row["rubric"][place].items())
        return f"{row['replies'][place]}\n({grades}; score {row['gold'][place]:.2f})"

    shown = [best, other]
    rng.shuffle(shown)
    better = "first" if shown[0] == best else "second"
    return rng.choice(
        [
            f"{row['message']}\n\nReply:\n{sent}",
            f"MAIL IN\n{customer_mail}\n\nON SCREEN\n{row['context']}\n\nMAIL OUT\n{sent}",
            f"{row['context']}\n\nCustomer:\n{customer_mail}\n\nSupport:\n{sent}",
            f"{row['message']}\n\nSent: {sent}",
            f"Quality review\n\n{row['message']}\n\n"
            + "\n\n".join(f"{letter}: {graded(place)}" for letter, place in zip("AB", shown, strict=True)),
            f"{row['message']}\n\nFirst draft: {row['replies'][shown[0]]}\n\nSecond draft: {row['replies'][shown[1]]}\n\nThe {better} draft was sent.",
        ]
    )
