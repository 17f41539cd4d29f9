"""Arithmetic stories of the shop, each with its answer, a step-by-step solution and a program that computes it.

A story is worked out on a `Sheet`, which writes the solution line and the program line of every computation
together, so that the two cannot disagree. Every number that the program starts from stands in the question.
"""

import random
from collections.abc import Callable
from decimal import Decimal

from plumbline.world.shop import CARRIERS, MONTHS, Product, Shop

Number = int | Decimal

DAYS_IN_MONTH = (
    31,
    29,
    31,
    30,
    31,
    30,
    31,
    31,
    30,
    31,
    30,
    31,
)  # of 2032, the year in which the shop's orders were placed


class Sheet:
    """A solution in the making: what is given, and one computation after the other."""

    def __init__(self) -> None:
        self.values: dict[str, Number] = {}
        self.steps: list[str] = []
        self.program: list[str] = []

    def note(self, thought: str) -> None:
        """Say in the program what is known or wanted next."""
        self.program.append(f"    # {thought}")

    def given(self, **numbers: Number) -> None:
        """Take numbers from the question."""
        for name, number in numbers.items():
            self.values[name] = number
            self.program.append(f"    {name} = {show(number)}")

    def step(self, label: str, name: str, left: str | int, sign: str, right: str | int) -> Number:
        """Compute `name` from two names or constants: one line of the solution, one line of the program."""
        first, second = self.values.get(str(left), left), self.values.get(str(right), right)
        assert not isinstance(first, str) and not isinstance(second, str)
        result = compute(first, sign, second)
        self.values[name] = result
        self.steps.append(f"{label}: {show(first)} {sign} {show(second)} = {show(result)}")
        self.program.append(f"    {name} = {left} {sign} {right}")
        return result

    def row(self, question: str, unit: str, difficulty: int) -> dict:
        """The finished row, but for its id: the last computation is the answer."""
        name, answer = list(self.values.items())[-1]
        # Sums of decimal fractions drift in binary; the shop rounds to its smallest coin.
        exact = all(isinstance(value, int) for value in self.values.values())
        final = f"    return {name}" if exact else f"    return round({name}, 2)"
        return {
            "question": question,
            "steps": "\n".join(self.steps),
            "answer": show(answer),
            "unit": unit,
            "program": "\n".join(["def solution():", *self.program, final]),
            "difficulty": difficulty,
        }


def compute(left: Number, sign: str, right: Number) -> Number:
    """Exact decimal arithmetic; a whole result is an integer."""
    first, second = Decimal(left), Decimal(right)
    if sign == "+":
        result = first + second
    elif sign == "-":
        result = first - second
    elif sign == "*":
        result = first * second
    else:
        result = first / second
    return int(result) if result == int(result) else result


def show(number: Number) -> str:
    """Whole numbers bare, all others with two decimals: `24`, `24.50`."""
    return str(number) if isinstance(number, int) else f"{number:.2f}"


def plural(noun: str) -> str:
    if noun.endswith("s"):
        return noun
    if noun == "scarf":
        return "scarves"
    return noun + ("es" if noun.endswith(("ch", "sh", "x")) else "s")


def one(noun: str) -> str:
    if noun.endswith("s"):
        return f"a set of {noun}"
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def count_of(number: int, noun: str) -> str:
    return f"{number} {plural(noun)}"


def price_at(rng: random.Random, level: int) -> Number:
    """A price in marks: up to 20 at level 1, up to 90 at level 2, with a fraction at level 3."""
    if level == 1:
        return rng.randrange(2, 21)
    if level == 2:
        return rng.randrange(12, 91)
    return Decimal(rng.randrange(12, 140)) + Decimal(rng.choice(["0.50", "0.90", "0.20", "0.40"]))


def many(rng: random.Random, level: int) -> int:
    return rng.randrange(2, (6, 10, 13)[level - 1])


def thing(rng: random.Random, shop: Shop) -> Product:
    """A product that can be counted; string lights and shears only where the shop has nothing else."""
    return rng.choice([product for product in shop.products if not product.noun.endswith("s")] or shop.products)


def two_nouns(rng: random.Random, shop: Shop) -> tuple[str, str]:
    """Two different things, the second of them a plain box where the shop has too few."""
    first = thing(rng, shop).noun
    others = [product.noun for product in shop.products if product.noun != first and not product.noun.endswith("s")]
    return first, rng.choice(others or ["storage box"])


def names(rng: random.Random, shop: Shop, count: int) -> list[str]:
    """First names, all different, of the shop's customers and agents."""
    known = list(dict.fromkeys([person.first for person in shop.customers] + list(shop.agents)))
    return rng.sample(known, count) if len(known) >= count else [*known, "Tamsin", "Orrin", "Bettina"][:count]


def aside(rng: random.Random, shop: Shop) -> str:
    """Now and then a sentence with no bearing on the question."""
    if rng.random() < 0.6:
        return ""
    person, product, policies = rng.choice(shop.customers), rng.choice(shop.products), shop.policies
    return " " + rng.choice(
        [
            f"The parcel goes to {person.town}.",
            f"The {product.colour} ones are sold out.",
            f"{shop.name} opens its phone lines at {policies.support_opens}.",
            f"Returns are accepted for {policies.return_days} days.",
            f"It rains in {shop.town} that day.",
            f"The {product.name} also comes in {product.colour}.",
            f"{rng.choice(shop.agents)} takes the call.",
            f"A gift card from {shop.name} is valid for {policies.gift_card_months} months.",
            f"The last order was {rng.choice(shop.orders).number}.",
            f"{person.first} lives in {person.street}.",
            f"Order {rng.choice(shop.orders).number} is still waiting for its {product.noun}.",
            "The warehouse is busy this week.",
        ]
    )


def order_total(rng: random.Random, shop: Shop, level: int) -> dict:
    person, product = names(rng, shop, 1)[0], thing(rng, shop)
    price, quantity, fee = price_at(rng, level), many(rng, level), rng.randrange(2, 10)
    items = count_of(quantity, product.noun)
    who = rng.choice([person, f"{person} from {rng.choice(shop.customers).town}", f"A customer called {person}"])
    question = rng.choice(
        [
            f"{who} orders {items} at {show(price)} marks each.{aside(rng, shop)} Delivery costs {fee} marks.",
            f"One {product.noun} costs {show(price)} marks, and {person} buys {quantity}.{aside(rng, shop)} {shop.name} adds {fee} marks for delivery.",
            f"For delivery {shop.name} charges {fee} marks.{aside(rng, shop)} {who} puts {items} in the basket, each priced at {show(price)} marks.",
            f"{who} wants {items}. Each costs {show(price)} marks and the parcel costs {fee} marks to send.{aside(rng, shop)}",
        ]
    )
    sheet = Sheet()
    sheet.note(f"{quantity} times the price of one {product.noun}")
    sheet.given(price=price, quantity=quantity)
    sheet.step(f"Price of {items}", "goods", "quantity", "*", "price")
    sheet.note("plus delivery")
    sheet.given(delivery=fee)
    sheet.step("With delivery", "total", "goods", "+", "delivery")
    if level == 3:
        voucher = rng.randrange(2, 6)
        sheet.note("less the voucher")
        sheet.given(voucher=voucher)
        sheet.step("Less the voucher", "to_pay", "total", "-", "voucher")
        question += f" A voucher takes {voucher} marks off."
    question += rng.choice(
        [
            f" What does {person} pay in all?",
            " What is the total?",
            f" How many marks does {person} pay?",
            " What is the final bill?",
        ]
    )
    return sheet.row(question, "marks", level)


def two_kinds(rng: random.Random, shop: Shop, level: int) -> dict:
    person, (first, second) = names(rng, shop, 1)[0], two_nouns(rng, shop)
    first_price, second_price = price_at(rng, level), price_at(rng, min(level, 2))
    first_count, second_count = many(rng, level), many(rng, 1)
    question = rng.choice(
        [
            f"{person} buys {count_of(first_count, first)} for {show(first_price)} marks each and {count_of(second_count, second)} for {show(second_price)} marks each.",
            f"One {first} costs {show(first_price)} marks and one {second} costs {show(second_price)} marks. {person} takes {first_count} of the first and {second_count} of the second.",
            f"In {person}'s basket are {count_of(first_count, first)} and {count_of(second_count, second)}. The {plural(first)} cost {show(first_price)} marks each, the {plural(second)} {show(second_price)} marks each.",
            f"The list for {person} reads: {count_of(first_count, first)}, {show(first_price)} marks apiece; {count_of(second_count, second)}, {show(second_price)} marks apiece.",
        ]
    )
    question += aside(rng, shop)
    sheet = Sheet()
    sheet.note(f"first the {plural(first)}")
    sheet.given(first_price=first_price, first_count=first_count)
    sheet.step(f"The {plural(first)}", "first", "first_count", "*", "first_price")
    sheet.note(f"then the {plural(second)}")
    sheet.given(second_price=second_price, second_count=second_count)
    sheet.step(f"The {plural(second)}", "second", "second_count", "*", "second_price")
    if level > 1 and rng.random() < 0.5:
        sheet.note(f"the {plural(first)} less the {plural(second)}")
        low, high = sorted(["first", "second"], key=lambda name: sheet.values[name])
        sheet.step("Difference", "difference", high, "-", low)
        more, less = (first, second) if high == "first" else (second, first)
        question += rng.choice(
            [
                f" How much more do the {plural(more)} cost than the {plural(less)}?",
                f" By how many marks are the {plural(more)} dearer than the {plural(less)}, all taken together?",
            ]
        )
    else:
        sheet.note("together")
        sheet.step("Together", "total", "first", "+", "second")
        question += rng.choice(
            [f" How much does {person} spend?", " What does it all cost?", " What do they cost together?"]
        )
    return sheet.row(question, "marks", level)


def discount(rng: random.Random, shop: Shop, level: int) -> dict:
    person, product = names(rng, shop, 1)[0], thing(rng, shop)
    percent = (
        rng.choice([10, 20, 50])
        if level == 1
        else rng.choice([5, 10, 15, 20, 25, 30, shop.policies.gold_discount_percent])
    )
    price = (
        rng.randrange(1, 10) * 10 if level == 1 else rng.randrange(20, 200) if level == 3 else rng.randrange(2, 21) * 10
    )
    why = rng.choice(
        ["a sale", "gold members", "the end of the season", "the shop's birthday", "display models", "early orders"]
    )
    name = rng.choice([product.noun, product.name])
    question = rng.choice(
        [
            f"The {name} costs {price} marks. There are {percent} percent off for {why}.",
            f"{shop.name} takes {percent} percent off for {why}. The {name} was {price} marks.",
            f"{person} has picked the {name} at {price} marks and gets {percent} percent off for {why}.",
            f"For {why} the price of the {name}, {price} marks, goes down by {percent} percent.",
        ]
    )
    sheet = Sheet()
    sheet.note(f"{percent} percent of the price")
    sheet.given(price=price, percent=percent)
    sheet.step(f"Price times {percent}", "scaled", "price", "*", "percent")
    sheet.step("Discount", "discount", "scaled", "/", 100)
    sheet.note("the price without the discount")
    sheet.step("Reduced price", "reduced", "price", "-", "discount")
    if level > 1 and rng.random() < 0.6:
        quantity = many(rng, 1)
        sheet.note(f"{person} takes {quantity}")
        sheet.given(quantity=quantity)
        sheet.step(f"Price of {quantity}", "total", "reduced", "*", "quantity")
        question += f"{aside(rng, shop)} {person} takes {quantity}." + rng.choice(
            [" What is the bill?", f" How much does {person} pay?"]
        )
    else:
        question += aside(rng, shop) + rng.choice(
            [" What does it cost now?", " What is the new price?", f" How much does {person} pay?"]
        )
    return sheet.row(question, "marks", level)


def change(rng: random.Random, shop: Shop, level: int) -> dict:
    person, (first, second) = names(rng, shop, 1)[0], two_nouns(rng, shop)
    first_price, second_price = price_at(rng, level), price_at(rng, level)
    note = next(value for value in (20, 50, 100, 200, 500) if value > first_price + second_price)
    question = rng.choice(
        [
            f"At the counter in {shop.town} {person} buys {one(first)} for {show(first_price)} marks and {one(second)} for {show(second_price)} marks, and pays with a {note} mark note.",
            f"{person} hands over {note} marks for {one(first)} at {show(first_price)} marks and {one(second)} at {show(second_price)} marks.",
            f"The {first} is {show(first_price)} marks, the {second} is {show(second_price)} marks. {person} pays both with {note} marks.",
            f"With a gift card of {note} marks {person} buys {one(first)} ({show(first_price)} marks) and {one(second)} ({show(second_price)} marks).",
        ]
    )
    question += aside(rng, shop) + rng.choice(
        [f" How much does {person} have left?", f" How many marks of the {note} are left?", " What remains?"]
    )
    sheet = Sheet()
    sheet.note("what the two cost")
    sheet.given(first_price=first_price, second_price=second_price)
    sheet.step("Both together", "spent", "first_price", "+", "second_price")
    sheet.note("what is left of the money")
    sheet.given(paid=note)
    sheet.step("Left", "left", "paid", "-", "spent")
    return sheet.row(question, "marks", level)


def points(rng: random.Random, shop: Shop, level: int) -> dict:
    person, product = names(rng, shop, 1)[0], thing(rng, shop)
    price, rate = int(price_at(rng, level)), shop.policies.points_per_mark
    before = rng.randrange(2, (30, 200, 900)[level - 1])
    sheet = Sheet()
    start = rng.choice(
        [
            f"{shop.name} gives {rate} {'points' if rate > 1 else 'point'} for every mark.",
            f"Each mark spent at {shop.name} earns {rate} {'points' if rate > 1 else 'point'}.",
            f"Members collect {rate} {'points' if rate > 1 else 'point'} per mark.",
        ]
    )
    buy = rng.choice(
        [
            f"{person} has {before} points and buys the {product.name} for {price} marks.",
            f"{person}, who has {before} points already, spends {price} marks on {one(product.noun)}.",
            f"{person} pays {price} marks for {one(product.noun)}; the account stood at {before} points.",
        ]
    )
    question = f"{start} {buy}{aside(rng, shop)}" if rng.random() < 0.6 else f"{buy} {start}{aside(rng, shop)}"
    sheet.note("points for this purchase")
    sheet.given(price=price, points_per_mark=rate)
    sheet.step("Points earned", "earned", "price", "*", "points_per_mark")
    sheet.note("plus the points from before")
    sheet.given(before=before)
    balance = sheet.step("New balance", "balance", "before", "+", "earned")
    if level == 3:
        spent = rng.randrange(2, min(int(balance), 90))
        sheet.note("less the points spent")
        sheet.given(spent=spent)
        sheet.step("After spending", "remaining", "balance", "-", "spent")
        question += f" Then {person} spends {spent} points on wrapping. How many points are left?"
    else:
        question += rng.choice([f" How many points does {person} have now?", " What is the new balance in points?"])
    return sheet.row(question, "points", level)


def stock(rng: random.Random, shop: Shop, level: int) -> dict:
    product, agent = thing(rng, shop), rng.choice(shop.agents)
    a_day, days = many(rng, level), many(rng, level)
    start = a_day * days + rng.randrange(1, (20, 80, 400)[level - 1])
    things = plural(product.noun)
    question = rng.choice(
        [
            f"The warehouse holds {start} {things}. It sells {a_day} a day for {days} days.",
            f"On Monday morning {agent} counts {start} {things}. Over the next {days} days {a_day} leave each day.",
            f"{shop.name} starts with {start} {things} and ships {a_day} of them on each of {days} days.",
            f"There are {start} {things} on the shelf in {shop.town}. Every day {a_day} are sold, {days} days long.",
        ]
    )
    question += aside(rng, shop)
    sheet = Sheet()
    sheet.note(f"{things} sold in {days} days")
    sheet.given(a_day=a_day, days=days)
    sheet.step("Sold", "sold", "a_day", "*", "days")
    sheet.note("what is left of the stock")
    sheet.given(start=start)
    sheet.step("Left", "left", "start", "-", "sold")
    if level > 1:
        boxes, in_box = many(rng, 1), rng.choice([4, 5, 6, 8, 10, 12])
        sheet.note("the new delivery")
        sheet.given(boxes=boxes, in_box=in_box)
        sheet.step("Delivered", "delivered", "boxes", "*", "in_box")
        sheet.step("New stock", "stock", "left", "+", "delivered")
        question += rng.choice(
            [
                f" Then {boxes} boxes of {in_box} arrive.",
                f" After that a lorry brings {boxes} boxes with {in_box} in each.",
            ]
        )
    question += rng.choice(
        [
            f" How many {things} are in stock then?",
            f" How many {things} are there now?",
            " How many are there in the end?",
        ]
    )
    return sheet.row(question, things, level)


def delivery_date(rng: random.Random, shop: Shop, level: int) -> dict:
    person, order, policies = names(rng, shop, 1)[0], rng.choice(shop.orders), shop.policies
    month = rng.randrange(12)
    wait, late = policies.delivery_days, rng.randrange(1, 7)
    last = DAYS_IN_MONTH[month]
    placed = rng.randrange(1, last - wait - late) if level < 3 else rng.randrange(last - wait - late + 1, last + 1)
    carrier = rng.choice(CARRIERS)
    start = rng.choice(
        [
            f"{person} places order {order.number} on {placed} {MONTHS[month]}.",
            f"Order {order.number} came in on {placed} {MONTHS[month]}.",
            f"On {placed} {MONTHS[month]} {person} orders {one(order.lines[0][0].noun)}.",
        ]
    )
    middle = rng.choice(
        [
            f"Delivery takes {wait} days, but {carrier} is {late} {'days' if late > 1 else 'day'} late.",
            f"{shop.name} promises delivery in {wait} days; a storm adds {late} more.",
            f"It should take {wait} days, and {carrier} needs {late} {'days' if late > 1 else 'day'} longer.",
        ]
    )
    sheet = Sheet()
    sheet.note("days until the parcel arrives")
    sheet.given(wait=wait, late=late)
    sheet.step("Days in all", "days", "wait", "+", "late")
    sheet.note("count from the day of the order")
    sheet.given(placed=placed)
    sheet.step("Day of arrival", "arrival", "placed", "+", "days")
    unit = MONTHS[month]
    question = f"{start} {middle}{aside(rng, shop)}"
    if level == 3:
        unit = MONTHS[(month + 1) % 12]
        sheet.note(f"{MONTHS[month]} has {last} days")
        sheet.given(month_days=last)
        sheet.step(f"Day in {unit}", "day", "arrival", "-", "month_days")
        question += f" {MONTHS[month]} has {last} days."
    question += rng.choice([f" On which day of {unit} does it arrive?", f" On what day in {unit} is the parcel there?"])
    return sheet.row(question, unit, level)


def return_date(rng: random.Random, shop: Shop, level: int) -> dict:
    person, product = names(rng, shop, 1)[0], thing(rng, shop)
    days, month = shop.policies.return_days, rng.randrange(12)
    arrived, later = rng.randrange(1, 12), rng.randrange(2, min(days, 15))
    sheet = Sheet()
    question = rng.choice(
        [
            f"{shop.name} takes goods back for {days} days. {person}'s {product.noun} arrived on {arrived} {MONTHS[month]}; today is {arrived + later} {MONTHS[month]}.",
            f"The {product.name} came on {arrived} {MONTHS[month]}. It may be returned within {days} days, and now it is {arrived + later} {MONTHS[month]}.",
            f"Today, on {arrived + later} {MONTHS[month]}, {person} thinks of returning {one(product.noun)} that came on {arrived} {MONTHS[month]}. Returns are open for {days} days.",
        ]
    )
    question += aside(rng, shop) + rng.choice(
        [f" How many days does {person} have left?", " How many days are left for the return?"]
    )
    sheet.note("days since it arrived")
    sheet.given(today=arrived + later, arrived=arrived)
    sheet.step("Days gone", "gone", "today", "-", "arrived")
    sheet.note("days that are left")
    sheet.given(allowed=days)
    sheet.step("Days left", "left", "allowed", "-", "gone")
    return sheet.row(question, "days", min(level, 2))


def free_delivery(rng: random.Random, shop: Shop, level: int) -> dict:
    person, (first, second) = names(rng, shop, 1)[0], two_nouns(rng, shop)
    limit = shop.policies.free_from // 100
    fraction = Decimal(rng.choice(["0.50", "0.90", "0.20", "0.40"])) if level == 3 else 0
    first_price, second_price = rng.randrange(2, limit // 2) + fraction, rng.randrange(2, limit // 2)
    question = rng.choice(
        [
            f"At {shop.name} delivery is free from {limit} marks. {person} has {one(first)} for {show(first_price)} marks and {one(second)} for {second_price} marks in the basket.",
            f"{person} has picked {one(first)} ({show(first_price)} marks) and {one(second)} ({second_price} marks). From {limit} marks on delivery costs nothing.",
            f"The basket of {person}: {one(first)}, {show(first_price)} marks, and {one(second)}, {second_price} marks. Free delivery starts at {limit} marks.",
        ]
    )
    question += aside(rng, shop) + rng.choice(
        [" How many marks are missing for free delivery?", f" How much more must {person} spend to get free delivery?"]
    )
    sheet = Sheet()
    sheet.note("what is in the basket")
    sheet.given(first_price=first_price, second_price=second_price)
    sheet.step("Basket", "basket", "first_price", "+", "second_price")
    sheet.note("what is missing")
    sheet.given(free_from=limit)
    sheet.step("Missing", "missing", "free_from", "-", "basket")
    return sheet.row(question, "marks", level)


def restocking(rng: random.Random, shop: Shop, level: int) -> dict:
    person, product = names(rng, shop, 1)[0], thing(rng, shop)
    percent = 10 if level == 1 else shop.policies.restocking_percent
    price = (
        rng.randrange(1, 10) * 10 if level == 1 else rng.randrange(1, 25) * 10 if level == 2 else rng.randrange(21, 260)
    )
    postage = rng.randrange(2, 9)
    question = rng.choice(
        [
            f"{person} sends back the {product.name}, which cost {price} marks. {shop.name} keeps {percent} percent for restocking",
            f"For opened goods {shop.name} keeps {percent} percent. {person} returns {one(product.noun)} that cost {price} marks",
            f"{person} paid {price} marks for {one(product.noun)} and returns it opened, so {percent} percent are kept",
        ]
    )
    sheet = Sheet()
    sheet.note(f"{percent} percent of the price are kept")
    sheet.given(price=price, percent=percent)
    sheet.step(f"Price times {percent}", "scaled", "price", "*", "percent")
    sheet.step("Restocking fee", "fee", "scaled", "/", 100)
    sheet.note("the rest is paid back")
    sheet.step("Paid back", "refund", "price", "-", "fee")
    if level == 3:
        sheet.note("plus the postage")
        sheet.given(postage=postage)
        sheet.step("With postage", "total", "refund", "+", "postage")
        question += (
            f", but pays back the {postage} marks of postage."
            if "keeps" in question
            else f", while the {postage} marks of postage are paid back."
        )
    else:
        question += "."
    question += aside(rng, shop) + rng.choice(
        [f" How many marks does {person} get back?", " How large is the refund?", f" What is paid back to {person}?"]
    )
    return sheet.row(question, "marks", level)


def instalments(rng: random.Random, shop: Shop, level: int) -> dict:
    person, product = names(rng, shop, 1)[0], thing(rng, shop)
    months = rng.choice([2, 3, 4, 5] if level == 1 else [3, 4, 6, 8, 10, 12])
    rate = rng.randrange(2, (11, 20, 40)[level - 1])
    deposit = rng.randrange(2, (15, 50, 90)[level - 1])
    price = months * rate + deposit
    question = rng.choice(
        [
            f"{person} buys the {product.name} for {price} marks, pays {deposit} marks at once and the rest in {months} equal instalments.",
            f"One {product.noun} costs {price} marks. {person} pays {deposit} marks down and splits the rest evenly over {months} months.",
            f"The price of {price} marks for {one(product.noun)} is paid like this: {deposit} marks now, the rest in {months} equal parts.",
        ]
    )
    question += aside(rng, shop) + rng.choice([" How much is one instalment?", " What does each instalment come to?"])
    sheet = Sheet()
    sheet.note("what is left after the first payment")
    sheet.given(price=price, deposit=deposit)
    sheet.step("Rest", "rest", "price", "-", "deposit")
    sheet.note("in equal parts")
    sheet.given(instalments=months)
    sheet.step("One instalment", "instalment", "rest", "/", "instalments")
    return sheet.row(question, "marks", level)


def boxes(rng: random.Random, shop: Shop, level: int) -> dict:
    (first, second), agent = two_nouns(rng, shop), rng.choice(shop.agents)
    in_box = rng.choice([3, 4, 5] if level == 1 else [4, 6, 8, 9, 12])
    total = in_box * rng.randrange(2, (9, 16, 40)[level - 1])
    first_count = rng.randrange(2, total - 1)
    second_count = total - first_count
    question = rng.choice(
        [
            f"{agent} packs {count_of(first_count, first)} and {count_of(second_count, second)} into boxes of {in_box}.",
            f"{count_of(first_count, first)} and {count_of(second_count, second)} are to be shipped, {in_box} things to a box.",
            f"Each box at {shop.name} holds {in_box} things. On the table are {count_of(first_count, first)} and {count_of(second_count, second)}.",
        ]
    )
    question += aside(rng, shop) + rng.choice([" How many boxes are needed?", " How many boxes does that make?"])
    sheet = Sheet()
    sheet.note("all things")
    sheet.given(first=first_count, second=second_count)
    sheet.step("Things", "things", "first", "+", "second")
    sheet.note("so many to a box")
    sheet.given(in_box=in_box)
    sheet.step("Boxes", "boxes", "things", "/", "in_box")
    return sheet.row(question, "boxes", level)


def support_desk(rng: random.Random, shop: Shop, level: int) -> dict:
    first, second = names(rng, shop, 2)
    an_hour, other, hours = many(rng, level), many(rng, level), rng.randrange(2, 9)
    what = rng.choice(["calls", "letters", "mails", "tickets", "complaints", "chats"])
    question = rng.choice(
        [
            f"At the support desk {first} answers {an_hour} {what} an hour and {second} answers {other}. Both work {hours} hours.",
            f"{first} gets through {an_hour} {what} an hour, {second} through {other}. They share a shift of {hours} hours.",
            f"In one hour {first} closes {an_hour} {what} and {second} {other}. Their shift lasts {hours} hours.",
        ]
    )
    question += aside(rng, shop)
    sheet = Sheet()
    sheet.note("both together in an hour")
    sheet.given(first=an_hour, second=other)
    sheet.step("In an hour", "an_hour", "first", "+", "second")
    sheet.note("in the whole shift")
    sheet.given(hours=hours)
    done = sheet.step("In the shift", "done", "an_hour", "*", "hours")
    if level > 1:
        waiting = int(done) + rng.randrange(3, 90)
        sheet.note("what is still open")
        sheet.given(waiting=waiting)
        sheet.step("Still open", "open", "waiting", "-", "done")
        question += rng.choice(
            [f" In the morning {waiting} {what} were waiting.", f" The queue held {waiting} {what} at the start."]
        )
        question += " How many are still open at the end?"
    else:
        question += rng.choice([f" How many {what} do they answer together?", f" How many {what} is that in all?"])
    return sheet.row(question, what, level)


def shared_gift(rng: random.Random, shop: Shop, level: int) -> dict:
    person, product = names(rng, shop, 1)[0], thing(rng, shop)
    friends = rng.randrange(2, 6) if level == 1 else rng.randrange(3, 9)
    share = rng.randrange(5, (13, 21, 46)[level - 1])
    fee = rng.randrange(2, 9)
    price = friends * share - fee
    group = rng.choice(["friends", "colleagues", "neighbours", "cousins", "members of a choir"])
    question = rng.choice(
        [
            f"{friends} {group} buy {one(product.noun)} for {person}. It costs {price} marks and wrapping costs {fee} marks.",
            f"For {person}'s birthday {friends} {group} order the {product.name} at {price} marks, with delivery for {fee} marks.",
            f"The {product.name} costs {price} marks plus {fee} marks for delivery, and {friends} {group} of {person} share the cost.",
        ]
    )
    question += aside(rng, shop) + rng.choice(
        [" The cost is shared evenly. How much does each pay?", " What is one person's equal share?"]
    )
    sheet = Sheet()
    sheet.note("the whole cost")
    sheet.given(price=price, extra=fee)
    sheet.step("Whole cost", "cost", "price", "+", "extra")
    sheet.note("shared evenly")
    sheet.given(people=friends)
    sheet.step("Each", "share", "cost", "/", "people")
    return sheet.row(question, "marks", level)


def weight(rng: random.Random, shop: Shop, level: int) -> dict:
    (first, second), person = two_nouns(rng, shop), names(rng, shop, 1)[0]
    unit = "kilograms" if level == 1 else "grams"
    scale = 1 if level == 1 else 10 if level == 2 else 5
    one_weight, other_weight, packing = (rng.randrange(2, 30) * scale for _ in range(3))
    quantity = many(rng, 1)
    question = rng.choice(
        [
            f"A parcel for {person} holds {count_of(quantity, first)} of {one_weight} {unit} each and {one(second)} of {other_weight} {unit}. The packing weighs {packing} {unit}.",
            f"One {first} weighs {one_weight} {unit}, one {second} {other_weight} {unit}, the carton {packing} {unit}. {person} gets {count_of(quantity, first)} and {one(second)} in one carton.",
        ]
    )
    question += aside(rng, shop) + rng.choice(
        [" What does the parcel weigh?", f" How many {unit} does it weigh in all?"]
    )
    sheet = Sheet()
    sheet.note(f"the {plural(first)}")
    sheet.given(one_weight=one_weight, quantity=quantity)
    sheet.step(f"The {plural(first)}", "first", "quantity", "*", "one_weight")
    sheet.note(f"with the {second}")
    sheet.given(other_weight=other_weight)
    sheet.step(f"With the {second}", "contents", "first", "+", "other_weight")
    sheet.note("with the packing")
    sheet.given(packing=packing)
    sheet.step("With the packing", "parcel", "contents", "+", "packing")
    return sheet.row(question, unit, level)


def multipack(rng: random.Random, shop: Shop, level: int) -> dict:
    product, person = thing(rng, shop), names(rng, shop, 1)[0]
    single, in_pack = price_at(rng, level), rng.choice([2, 3, 4, 5, 6])
    packs = 1 if level == 1 else many(rng, 1)
    saving = rng.randrange(1, 2 + int(single))
    pack_price = in_pack * single - saving
    things = plural(product.noun)
    question = rng.choice(
        [
            f"A single {product.noun} costs {show(single)} marks; a pack of {in_pack} costs {show(pack_price)} marks.",
            f"{shop.name} sells {things} at {show(single)} marks each, or {in_pack} in a pack for {show(pack_price)} marks.",
            f"{person} compares: one {product.noun} for {show(single)} marks, or {in_pack} {things} together for {show(pack_price)} marks.",
        ]
    )
    question += aside(rng, shop)
    sheet = Sheet()
    sheet.note(f"{in_pack} bought one by one")
    sheet.given(single=single, in_pack=in_pack)
    sheet.step("One by one", "singly", "in_pack", "*", "single")
    sheet.note("less the price of the pack")
    sheet.given(pack=pack_price)
    sheet.step("Saved by the pack", "saving", "singly", "-", "pack")
    if packs > 1:
        sheet.note(f"for {packs} packs")
        sheet.given(packs=packs)
        sheet.step(f"Saved by {packs} packs", "saved", "saving", "*", "packs")
        question += rng.choice(
            [f" How much does {person} save with {packs} packs?", f" What does one save by taking {packs} packs?"]
        )
    else:
        question += rng.choice([f" How much does {person} save with the pack?", " How many marks does the pack save?"])
    return sheet.row(question, "marks", level)


def mean_rating(rng: random.Random, shop: Shop, level: int) -> dict:
    product, people = thing(rng, shop), names(rng, shop, 3)
    count = 2 if level == 1 else 3
    mean = rng.randrange(4, 9) if level < 3 else rng.randrange(30, 90)
    out_of = 10 if level < 3 else 100
    spread = rng.randrange(0, min(mean, out_of - mean, 12) + 1)
    marks = [mean - spread, mean + spread, mean][:count]
    question = rng.choice(
        [
            f"{count} customers rated the {product.name} out of {out_of}: "
            + ", ".join(f"{who} gave {mark}" for who, mark in zip(people, marks, strict=False))
            + ".",
            f"{shop.name} asked {count} customers to rate {one(product.noun)} from 0 to {out_of}. "
            + ", ".join(f"{who} says {mark}" for who, mark in zip(people, marks, strict=False))
            + ".",
        ]
    )
    question += aside(rng, shop) + rng.choice([" What is the mean rating?", " What do they give on average?"])
    sheet = Sheet()
    sheet.note("all ratings added up")
    sheet.given(**dict(zip(("first", "second", "third"), marks, strict=False)))
    total = "first_two" if count == 3 else "total"
    sheet.step("First two", total, "first", "+", "second")
    if count == 3:
        sheet.step("All three", "total", total, "+", "third")
    sheet.note("divided by how many there are")
    sheet.given(count=count)
    sheet.step("Mean", "mean", "total", "/", "count")
    return sheet.row(question, "points", level)


def warranty_left(rng: random.Random, shop: Shop, level: int) -> dict:
    product, person = thing(rng, shop), names(rng, shop, 1)[0]
    years = rng.randrange(2, 6)
    owned_years = rng.randrange(1, years)
    owned_months = rng.randrange(1, 12)
    question = rng.choice(
        [
            f"The {product.name} has a warranty of {years * 12} months.",
            f"{shop.name} gives {years * 12} months of warranty on every {product.noun}.",
        ]
    )
    question += rng.choice(
        [
            f" {person} has owned one for {owned_years} {'years' if owned_years > 1 else 'year'} and {owned_months} {'months' if owned_months > 1 else 'month'}.",
            f" {person} bought it {owned_years} {'years' if owned_years > 1 else 'year'} and {owned_months} {'months' if owned_months > 1 else 'month'} ago.",
        ]
    )
    question += aside(rng, shop) + rng.choice(
        [" How many months of warranty are left?", " For how many more months does the warranty run?"]
    )
    sheet = Sheet()
    sheet.note("the years in months")
    sheet.given(years=owned_years)
    sheet.step("Years in months", "months_of_years", "years", "*", 12)
    sheet.note("and the months on top")
    sheet.given(months=owned_months)
    sheet.step("Months owned", "owned", "months_of_years", "+", "months")
    sheet.note("what is left of the warranty")
    sheet.given(warranty=years * 12)
    sheet.step("Months left", "left", "warranty", "-", "owned")
    return sheet.row(question, "months", max(level, 2))


STORIES: tuple[Callable[[random.Random, Shop, int], dict], ...] = (
    order_total,
    two_kinds,
    discount,
    change,
    points,
    stock,
    delivery_date,
    return_date,
    free_delivery,
    restocking,
    instalments,
    boxes,
    support_desk,
    shared_gift,
    weight,
    multipack,
    mean_rating,
    warranty_left,
)


def arithmetic(shop: Shop, count: int, seed: str) -> list[dict]:
    """`count` stories about the shop, no two of them alike.

    Keys: id, group, question, steps (one computation a line), answer (a number as text), unit, program (Python
    source of a function `solution` that returns the answer), difficulty (1 to 3).
    """
    rng = random.Random(f"arithmetic {shop.seed} {seed}")
    by_question: dict[str, dict] = {}
    while len(by_question) < count:
        story = rng.choice(STORIES)
        row = story(rng, shop, rng.choice((1, 1, 2, 2, 3)))
        name = f"arithmetic-{shop.seed}-{seed}-{len(by_question)}"
        by_question.setdefault(row["question"], {"id": name, "group": name, **row})
    return list(by_question.values())


def raw(row: dict) -> str:
    """The story as the shop's training sheets, till notes and scripts keep it."""
    rng = random.Random(row["id"])
    answer = f"{row['answer']} {row['unit']}"
    lines = row["steps"].split("\n")
    return rng.choice(
        [
            f"{row['question']}\n{row['steps']}\nAnswer: {answer}",
            f"Training sheet, level {row['difficulty']}\n\n{row['question']}\n\nWorking:\n{row['steps']}\n\nResult: {answer}",
            f"{row['question']}\n\n"
            + "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
            + f"\n\nSo the answer is {answer}.",
            f"TILL NOTE\n{row['question']}\n---\n{row['steps']}\n---\n{answer}",
            f'"""{row["question"]}"""\n\n\n{row["program"]}\n\n\nprint(solution())  # {row["answer"]}',
            f"{row['question']}\n\n{row['program']}\n\nAnswer: {answer}",
            f"Question: {row['question']}\nAnswer: {answer}\nWhy: " + "; ".join(lines) + ".",
            f"Ledger exercise\n{row['question']}\n\n"
            + "\n".join(f"| {line.replace(': ', ' | ', 1)} |" for line in lines)
            + f"\n\nAnswer: {answer}",
        ]
    )
