"""The wording of the traces: thoughts, vague queries, keywords, and questions that compare two products."""

from collections.abc import Callable

from plumbline.world.shop import Product

SMALL_WORDS = {
    "a",
    "an",
    "and",
    "at",
    "by",
    "for",
    "how",
    "in",
    "is",
    "of",
    "on",
    "or",
    "the",
    "to",
    "what",
    "when",
    "with",
}

START = """{{I need|The question asks for|I have to find|This is about} <noun>. {I {search|look} for "<query>"{
    first|}.|Let me search for "<query>".|First I search for "<query>".}|{I should search for "<query>" and
    find|Searching
    for "<query>" should give me} <noun>.}"""
AGAIN = """{{That page does not exist|No such page|Nothing under that name|There is no page of that name}, but "<query>"
    {looks right|is close|should help}.|{I try|Let me try|I open} "<query>", {which is the closest|from the list}.|One
    of the similar pages is "<query>". {I open it.|Let me open that.}}"""
OTHER = """{{Now|Next} I need <noun>, so I search for "<query>".|{That is one of them|One down}. {Next|Now} I search for
    "<query>"{ to find <noun>|}.|I still need <noun>. I search for "<query>".}"""
LOOK = """{The {first|opening} {lines|sentences} do not {say|state|give} <noun>.|I do not see <noun> {yet|here|in
    the first
lines}.|So far nothing about <noun>.} {I look up "<keyword>".|Let me look up "<keyword>".|I look for "<keyword>"{ in the
page|}.}"""
FURTHER = """{{That|This} is not {it|what I need}|{That|This} sentence does not {answer it|help}|Not this one}. {I
    look up "<keyword>" again.|The next result for "<keyword>" may help.|I go on to the next "<keyword>".}"""
DONE = """{{The page|It|The text|The article} says <value>{, so that is the answer|}.|{As to <noun>|There it is}:
    <value>.|{I
found it|Now I know}: <value>.|That {gives|answers the question with} <value>.}"""
DECIDE = """{{The page|It|The text|The article} says <value>, {which decides it|and that settles the question}.|{The
    rule|What counts} is <value>. {I compare that with the question.|Now I can answer.}|I found it: <value>. {I can
    compare now.|That is enough to answer.}}"""
WEIGH = """{It is <one> against <two>|One has <one>, the other <two>|I compare <one> with <two>}{, so|:} {it is|the
    answer is} the <winner>."""
GIVE_UP = """{{The page|The article} {says nothing about|does not mention} <noun>.|Nothing is said about <noun>.|I
    cannot find <noun>{ here|}.} {I say so.|I should not guess.|So I cannot answer.|}"""

QUERIES = {
    "return_days": "{{return|returning} {rules|an item}|sending items back|{return policy|returns}}",
    "refund_days": "{{refund|refunds|money back}{ time|}|returns and money}",
    "delivery_days": "{delivery time|delivery|standard delivery|how long delivery takes here}",
    "express_days": "{express|express delivery|fast delivery|fast parcel}",
    "delivery_fee": "{delivery cost|delivery costs|cost of delivery|delivery price}",
    "express_fee": "{express|express orders|express cost|fast parcel}",
    "free_from": "{free delivery|delivery for free|delivery costs}",
    "damage_report_days": "{damage|report damage in time|broken parcel|damaged goods|broken item}",
    "cancel_hours": "{cancel|cancel my order|cancelling|stop an order}",
    "price_match_days": "{price match|lower price|match|prices}",
    "gift_card_months": "{gift card|gift cards|old gift card|cards}",
    "repair_days": "{repair|repairs|repair time|workshop}",
    "restocking_percent": "{restocking|returns charge|return an opened item|return fee}",
    "points_per_mark": "{points|points per mark|collect points|members points}",
    "gold_discount_percent": "{gold|gold discount|gold members|discounts}",
    "support_hours": "{opening hours|contact|support desk|reach the desk|calling}",
}

# A keyword is used where the sentence that states the fact holds it.
KEYWORDS = {
    "return_days": ["return", "back", "days", "delivery"],
    "refund_days": ["refund", "money", "days"],
    "delivery_days": ["standard", "delivery", "days"],
    "express_days": ["express", "day"],
    "delivery_fee": ["fee", "delivery", "cost", "charge"],
    "express_fee": ["express", "fee", "cost"],
    "free_from": ["free", "charge", "from"],
    "damage_report_days": ["report", "damage", "broken", "days"],
    "cancel_hours": ["cancel", "hours"],
    "price_match_days": ["match", "price", "days"],
    "gift_card_months": ["gift card", "valid", "months"],
    "repair_days": ["repair", "workshop", "days"],
    "restocking_percent": ["restocking", "percent", "charge"],
    "points_per_mark": ["points", "each mark", "rate"],
    "gold_discount_percent": ["gold", "discount", "percent"],
    "support_hours": ["open", "hours", "reach", "call"],
    "sku": ["number", "listed", "catalogue"],
    "price": ["price", "costs", "cost", "marks"],
    "colour": ["colour", "comes in"],
    "material": ["material", "made of"],
    "warranty": ["warranty"],
    "launched": ["since", "on sale", "came out"],
    "rating": ["rating", "stars", "rate"],
    "stock": ["stock", "count", "warehouse"],
    "care_weeks": ["clean", "weeks"],
    "ready_minutes": ["first use", "minutes", "before"],
    "spare_part": ["spare part", "part"],
}

# What two products are compared by: (question, whether the lower one wins).
COMPARED = {
    "price": (
        (
            """{Which is cheaper, the <one> or the <two>?|Which costs less: the <one> or the <two>?|Does the
            <one> or the <two> cost less?}""",
            True,
        ),
        ("{Which is more expensive, the <one> or the <two>?|Which one costs more: the <one> or the <two>?}", False),
    ),
    "warranty": (
        (
            """{Which has the longer warranty, the <one> or the <two>?|Is the warranty longer on the <one> or on the
            <two>?}""",
            False,
        ),
        (
            """{Which has the shorter warranty, the <one> or the <two>?|Is the warranty shorter on the <one> or on the
            <two>?}""",
            True,
        ),
    ),
    "rating": (
        (
            """{Which is rated higher, the <one> or the <two>?|Do customers prefer the <one> or the <two>, by
            rating?}""",
            False,
        ),
        ("{Which is rated lower, the <one> or the <two>?|Which one has fewer stars: the <one> or the <two>?}", True),
    ),
}
SIZE: dict[str, Callable[[Product], int]] = {
    "price": lambda product: product.price,
    "warranty": lambda product: product.warranty_months,
    "rating": lambda product: product.rating,
}

# Never stated: (question, keyword, noun).
UNSTATED = (
    ("{Who designed the <name>?|Do you know who designed the <name>?}", "design", "the designer"),
    ("{In which country is the <name> made?|Where is the <name> made?}", "country", "the country"),
    ("{Which batteries does the <name> need?|What kind of batteries are in the <name>?}", "batteries", "the batteries"),
    ("{How loud is the <name>?|What is the noise level of the <name>?}", "noise", "the noise level"),
    ("{Has the <name> won an award?|Which awards has the <name> won?}", "award", "an award"),
    ("{Can I hire the <name>?|Is it possible to hire the <name>?}", "hire", "the terms of hire"),
)
