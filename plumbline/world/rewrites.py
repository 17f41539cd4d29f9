"""Blunt replies by the shop's agents, each with the polite reply that the shop's style guide asks for.

The blunt reply is worded in many ways; the polite one is house style, fixed by what the blunt one says: greeting,
regret if the shop is at fault and thanks if not, the facts, the next step, an extra if there is one, sign-off.
"""

import random
from dataclasses import dataclass

from plumbline.world.dialogues import PLURALS, later
from plumbline.world.shop import Order, Product, Shop, day, money
from plumbline.world.wording import agree, worded


@dataclass(frozen=True)
class Matter:
    """What a reply is about. The blunt texts are patterns, the polite ones have slots only."""

    blunt_facts: str
    blunt_step: str
    opening: str
    facts: str
    step: str


SORRY = "we are sorry for {}."
THANKS = "thank you for your message."

MATTERS = (
    Matter(
        blunt_facts="[your {product} [{is}|{was}] late, so what|yes, [the|your] {product} [{is}|got] held "
        "up|the courier was slow with the {product}, [big deal|not my fault|it happens]]. [order {order} comes on "
        "{date}|{order} gets there on {date}|you get order {order} on {date}, not before]",
        blunt_step="[be at home|just be there] [or it goes back|and open the door|for once]|[do not go out|stay in] "
        "that day",
        opening=SORRY.format("the delay"),
        facts="Your {product} from order {order} {arrives} on {date}.",
        step="Please make sure that somebody is at home.",
    ),
    Matter(
        blunt_facts="[your|the] [money|refund] for the {product} [takes time|is not here yet, I know|is slow]. [you "
        "get {price} for order {order} by {date}|{price} for {order} by {date}[, like it or not|]|order {order}: "
        "{price}, by {date}]",
        blunt_step="[check your account|look at your account|look in your bank] [then|after that][, not now|]",
        opening=SORRY.format("the wait"),
        facts="Your refund of {price} for the {product} from order {order} will be paid by {date}.",
        step="Please check your account after that day.",
    ),
    Matter(
        blunt_facts="[so we [sent|packed] the wrong thing|wrong box, [it happens|so what]|somebody mixed up your "
        "box]. [the right one, the {product},|the {product}|the {product} you [wanted|ordered]] [{comes}|{gets} to "
        "you|{is} there] on {date}, order {order}",
        blunt_step="[keep|you can keep] the [other|wrong] [one|thing], [we do not want it|I do not care]|[throw the "
        "wrong one away or] keep [it|the wrong one]",
        opening=SORRY.format("the mistake"),
        facts="The right {product} for order {order} {arrives} on {date}.",
        step="You are welcome to keep the wrong one.",
    ),
    Matter(
        blunt_facts="[so {subject} broke|broken, I [know|heard]|the broken {noun}, what a drama]. [[the next|the "
        "new] {product} [{comes}|{gets} to you|{is} there]|expect another {product}] on {date} for order {order}",
        blunt_step="[put|throw] the [old|broken] [one|thing] in the bin|[bin|get rid of] the [old|broken] one[ "
        "yourself|]",
        opening=SORRY.format("the damage"),
        facts="A replacement for the {product} from order {order} arrives on {date}.",
        step="You need not send the broken one back.",
    ),
    Matter(
        blunt_facts="[we took|somebody took|the till took] your money twice for the {product}, [so what|it "
        "happens|big deal]. [{price} for order {order} [go|goes] back by {date}|you get the {price} from order "
        "{order} back by {date}]",
        blunt_step="[do not call your bank|leave your bank out of it]|no need to [call|bother] your bank",
        opening=SORRY.format("the double payment"),
        facts="The {price} for the {product} from order {order} will be paid back by {date}.",
        step="You need not contact your bank.",
    ),
    Matter(
        blunt_facts="[you want to return|you do not like|so you are bored of] the {product}[? your problem|? fine|, "
        "whatever]. [order {order} has to be here by {date}|get order {order} to us by {date}|we take {order} back "
        "until {date}, not a day longer]",
        blunt_step="[the|a] label is in your mail, [print it yourself|so use it]|[use|print] the label [we mailed|in "
        "your mail]",
        opening=THANKS,
        facts="You can return the {product} from order {order} until {date}.",
        step="Please use the label in your e-mail.",
    ),
    Matter(
        blunt_facts="[too late|you are too late|you slept through it], [no returns after|we take nothing back "
        "after|the limit is] {return_days} days. [the {product} from order {order} stays with you|keep your "
        "{product}, order {order}|order {order} is closed, so enjoy your {product}]",
        blunt_step="[all|the most] you get is a voucher of {voucher}[, be glad|]|take [this|a] voucher of {voucher} "
        "[or nothing|and be glad]",
        opening=THANKS,
        facts="The {return_days} days for a return of the {product} from order {order} are over.",
        step="We can offer you a voucher of {voucher}.",
    ),
    Matter(
        blunt_facts="[the warranty is over|your warranty ran out|{warranty} months are over], [it was|you had|we "
        "give] {warranty} months[, learn to count|]. [fixing|to fix] the {product} from order {order} [costs|will "
        "cost you] {repair}",
        blunt_step="[say yes or no|tell me yes or no|make up your mind] by {date}[, or forget it|]",
        opening=THANKS,
        facts="The warranty of {warranty} months for the {product} from order {order} is over, and a repair costs "
        "{repair}.",
        step="Please let us know by {date} if you want it.",
    ),
    Matter(
        blunt_facts="[you have not paid!|where is our money?|pay up!] [{price} for the {product}[,| and it is] order "
        "{order}|the {product} from order {order} {costs} {price}|order {order}, {product}, {price}]",
        blunt_step="[pay|send it|we want it] by {date} [or you get nothing|or forget the parcel|at the latest]",
        opening=THANKS,
        facts="The {price} for the {product} from order {order} have not reached us yet.",
        step="Please pay by {date}.",
    ),
    Matter(
        blunt_facts="[you cannot cancel|no, you cannot cancel|cancel? no way,] order {order} [any more|now][, think "
        "faster next time|]. the {product} [left|went out] [already|long ago] and [{comes}|will be there] on {date}",
        blunt_step="[do not want it? say no|just refuse it|send it away] [at the door|when the driver rings]",
        opening=THANKS,
        facts="Order {order} cannot be cancelled any more, and the {product} {arrives} on {date}.",
        step="You can refuse the parcel at the door.",
    ),
    Matter(
        blunt_facts="[how should I help|I cannot help|what am I supposed to do] without [a photo|a picture]? [we "
        "need one|send me one] of the {product} from order {order}",
        blunt_step="[do it|you have] [by|until] {date}[, or it is closed|, or forget it|]|{date} [is the last "
        "day|and not later]",
        opening=THANKS,
        facts="To help you with the {product} from order {order}, we need a photo.",
        step="Please send it by {date}.",
    ),
    Matter(
        blunt_facts="[the {product} {is} sold out|no {product} left|we have run out of the {product}], [can you not "
        "read|it says so on the page|tough luck]. [order {order} has to wait until {date}|{date} is when order "
        "{order} goes out]",
        blunt_step="[wait|just wait] or cancel, [I do not mind|your choice|I do not care which]",
        opening=SORRY.format("the wait"),
        facts="The {product} {is} sold out, so order {order} leaves us on {date}.",
        step="You can wait or cancel the order.",
    ),
)

STARTS = (
    "[[listen|look here|oh please|seriously|what now|not again|calm down|for the last time|once more|come on], "
    "{first}[,|.|!]|{first}, [listen|stop it|enough|I have read your mail|how many mails do you want to write][.|!]|"
    "[you again|it is you again|well, well], {first}[.|!|?]|{first}[.|!|,]|[hi|hey|hello] {first}[,|.]]"
)
GRUMBLES = (
    "[I have [other|better] things to do|we are not your [servants|babysitters]|do I look like I care|stop "
    "[whining|bothering us|moaning]|[use your brain|think] for once|[can you not|why do people never] read|it is not "
    "that hard|you are not the only customer|I said [it|this] before|nobody [here|] has time for this|do not get "
    "excited|your mail was far too long|I am tired of [this|your mails]|[what a fuss|so much noise] about "
    "[nothing|the {noun}]][.|!]"
)
ENDINGS = (
    "[that is all|end of story|deal with it|take it or leave it|do not write again|happy now|now leave us alone|done|"
    "so be it|and stop writing|bye|live with it|I will not say it twice][.|!]"
)
# What else a reply may hold, blunt and polite; in two of five nothing.
EXTRAS = (
    ("", ""),
    ("", ""),
    (
        "[the case number is|your case:|case number] {case}[, write it down|, do not lose it|].",
        "Your case number is {case}.",
    ),
    (
        "[call|ring] [us|] between {opens} and {closes} [if you must|if you cannot let it go|or not at all].",
        "You can reach us by phone from {opens} to {closes}.",
    ),
    (
        "[here is|take|and you get] {gift} [off|less] [on|for] the next order[ so you stop asking|, be quiet|].",
        "We take {gift} off your next order.",
    ),
)


def slots_of(rng: random.Random, shop: Shop, order: Order, product: Product, agent: str) -> dict[str, str]:
    """The facts of a reply, drawn from an order."""
    plural = product.noun in PLURALS
    policies = shop.policies
    facts = {
        "first": order.customer.first,
        "agent": agent,
        "shop": shop.name,
        "order": order.number,
        "product": product.name,
        "noun": product.noun,
        "subject": "they" if plural else "it",
        "case": f"C{rng.randrange(10000, 99999)}",
        "date": day(later(order.due, rng.randrange(1, 40))),
        "price": money(product.price),
        "repair": money(max(200, product.price * rng.randrange(10, 41) // 100)),
        "voucher": money(rng.randrange(2, 13) * 250),
        "gift": money(rng.randrange(2, 13) * 100),
        "return_days": str(policies.return_days),
        "warranty": str(product.warranty_months),
        "opens": f"{policies.support_opens}:00",
        "closes": f"{policies.support_closes}:00",
    }
    return facts | {verb: agree(verb, plural) for verb in ("is", "was", "comes", "gets", "arrives", "costs")}


def reply(rng: random.Random, shop: Shop, identifier: str) -> dict:
    """Draw a matter and its facts, and word it bluntly and politely."""
    order = rng.choice(shop.orders)
    product, _ = rng.choice(order.lines)
    slots = slots_of(rng, shop, order, product, rng.choice(shop.agents))
    matter = rng.choice(MATTERS)
    extra, polite_extra = rng.choice(EXTRAS)

    parts = [STARTS, f"{matter.blunt_facts}[.|.|.|!]", f"[{matter.blunt_step}][.|.|!]", extra]
    if rng.random() < 0.6:
        parts.insert(rng.choice([1, 1, 2]), GRUMBLES)
    if rng.random() < 0.5:
        parts.append(ENDINGS)
    parts.append("[{agent}|- {agent}|{agent}, {shop}|{agent} from {shop}|yours, {agent}]")

    sentences = (f"Dear {{first}}, {matter.opening}", matter.facts, matter.step, polite_extra, "Kind regards, {agent}")
    return {
        "id": identifier,
        "group": f"{order.number}-{identifier}",
        "rough": worded(rng, " ".join(parts), slots),
        "polite": " ".join(sentence for sentence in sentences if sentence).format_map(slots),
    }


def rewrites(shop: Shop, count: int, seed: str) -> list[dict]:
    """`count` blunt replies of the shop's agents with their polite forms; the same seed gives the same rows."""
    rng = random.Random(f"rewrites {shop.seed} {seed}")
    return [reply(rng, shop, f"rewrite-{shop.seed}-{seed}-{index:05d}") for index in range(count)]


def raw(row: dict) -> str:
    """The row as an entry of the shop's style guide, in one of several layouts fixed by its id."""
    rng = random.Random(f"raw {row['id']}")
    rough, polite = row["rough"], row["polite"]
    title = rng.choice(["How we write", "Style guide", "Tone of our letters", "Writing to customers", "Replies"])
    rule = rng.choice(
        [
            "Keep every fact and say it kindly.",
            "Greet by name, give the facts, name the next step, sign.",
            "Say sorry where we were wrong, and thank the customer otherwise.",
            "Dates, amounts and numbers stay; the grumbling goes.",
        ]
    )
    layouts = (
        f"{title}\n{rule}\nInstead of: {rough}\nWrite: {polite}",
        f"Instead of: {rough}\nWrite: {polite}",
        f"Do not write: {rough}\nWrite: {polite}\n{rule}",
        f"{title}: an example\nDraft: {rough}\nAfter editing: {polite}",
        f"Too blunt:\n{rough}\n\nIn our tone:\n{polite}",
        f"{title}\nWhat was sent: {rough}\nWhat should have been sent: {polite}",
        f"Write: {polite}\nAnd not: {rough}\n{rule}",
    )
    return rng.choice(layouts)
