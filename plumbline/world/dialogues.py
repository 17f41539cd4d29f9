"""Conversations of the shop's customers with its agents, each with two summaries and the facts they rest on.

A course of events is drawn first (`Case`, `Resolution`, mood), from an order and the shop's policies; only then is it
worded. The first summary is house style: one sentence for the matter, one for the resolution, one for the mood,
all fixed by the facts. The second says the same more loosely. Every fact of both stands in the conversation.
"""

import datetime
import random
import re
from dataclasses import dataclass

from plumbline.world.shop import COLOURS, FIRST_NAMES, SENTIMENTS, Order, Product, Shop, day, money, town
from plumbline.world.wording import SPACES, agree, drawn, parsed, tidy, with_article, worded

PLURALS = ("pruning shears", "string lights")
WORDS = range(90, 231)  # of a whole conversation, speakers' names included
CHARACTERS = 1350
TURNS = range(5, 13)


@dataclass(frozen=True)
class Resolution:
    """One way to settle a case. All texts are patterns; `noun` reads well after `a` or `the`."""

    noun: str
    short: str  # what customer and agent call it among themselves
    house: str  # a sentence of the first summary
    loose: str  # a clause of the second summary, after "Wim said that"
    plan: str  # what the agent says about it; names its date, if it has one


@dataclass(frozen=True)
class Case:
    """What a customer comes with. All texts but `issue` are patterns."""

    intent: str
    issue: str  # verbatim in the conversation and in the first summary
    house: str  # a sentence of the first summary
    loose: str  # a clause of the second summary
    tell: str  # how the customer says it
    finding: str  # what the agent sees or knows about it
    resolutions: tuple[str, ...]  # allowed by the policies
    refused: str = ""  # what the policies do not allow, if the customer might ask for it
    agrees: bool = False  # the issue is said of the product, so its verb follows it
    answer: str = ""  # to a question about the product


RESOLUTIONS = {
    "replacement": Resolution(
        noun="replacement",
        short="replacement",
        house="{agent} offered a replacement, which arrives on {date}.",
        loose="[a replacement will be delivered on {date}|a new one [is due|arrives] on {date} as a replacement]",
        plan="[the new {noun}|it|the parcel] [leaves [our warehouse|us|the warehouse] [today|tonight|tomorrow "
        "morning]|goes out [today|tonight|tomorrow]|is packed [today|this afternoon]] and [arrives|will be with "
        "you|reaches you|gets to you|should be at your door] on {date}",
    ),
    "refund": Resolution(
        noun="refund of {amount}",
        short="refund",
        house="{agent} approved a refund of {amount}, to be paid by {date}.",
        loose="[{amount} will be paid back by {date}|a refund of {amount} follows by {date}|the money, {amount}, "
        "will be back by {date}]",
        plan="[the money|it|the whole amount] [will be|should be|is] [back|back with you|paid|on your account|in your "
        "account] by {date}[ at the latest|, not later|]",
    ),
    "discount": Resolution(
        noun="discount of {amount}",
        short="discount",
        house="{agent} gave a discount of {amount}, to be paid by {date}.",
        loose="[a discount of {amount} will be paid by {date}|{amount} come off the price, paid back by {date}]",
        plan="[you keep {object} and|you can keep {object}, and|{subject} {stays} with you and] [we pay|we "
        "transfer|I send] [the amount|the discount|it|the money] [to your account|to you|back] by {date}",
    ),
    "part": Resolution(
        noun="free spare part",
        short="spare part",
        house="{agent} sent a free spare part, which arrives on {date}.",
        loose="[a spare part comes free of charge on {date}|the part that is needed will come for free on {date}]",
        plan="[the part|it] [is easy to fit and|goes in the post [today|tomorrow] and|comes with [a small "
        "guide|instructions] and] [arrives|will be with you|reaches you] on {date}",
    ),
    "repair": Resolution(
        noun="free repair",
        short="repair",
        house="{agent} offered a free repair, to be finished by {date}.",
        loose="[the workshop repairs {object} at no cost by {date}|{subject} will be repaired for free by {date}]",
        plan="[our workshop|the workshop] [takes a look|has a look|sees to {object}] and [{subject} will be "
        "[ready|back with you|finished]|you have {object} back] by {date}",
    ),
    "paid_repair": Resolution(
        noun="repair for {amount}",
        short="repair",
        house="{agent} offered a repair for {amount}, to be finished by {date}.",
        loose="[the workshop can repair {object} for {amount} by {date}|a repair would cost {amount} and be done by "
        "{date}]",
        plan="[the workshop|our workshop|they] [would have|will have|has|have] {object} [ready|finished|back with "
        "you] by {date}",
    ),
    "express": Resolution(
        noun="new parcel by express",
        short="new parcel",
        house="{agent} sent a new parcel by express, which arrives on {date}.",
        loose="[an express parcel will come on {date}|a new parcel will come by express on {date}]",
        plan="[it|this one|the new one] [leaves [today|tonight|within the hour]|goes straight to the van] and "
        "[arrives|is with you|gets to you|will be at your door] on {date}",
    ),
    "search": Resolution(
        noun="parcel search with {carrier}",
        short="search",
        house="{agent} started a parcel search with {carrier}, with an answer by {date}.",
        loose="[{carrier} will look for the parcel and answer by {date}|a search at {carrier} should bring news by "
        "{date}]",
        plan="[they|{carrier}] [must|have to|will] [answer|report back|let us know] [to us|] by {date}, [and I write "
        "to you [then|at once]|and you hear from me]",
    ),
    "fee": Resolution(
        noun="refund of the delivery fee of {amount}",
        short="refund of the fee",
        house="{agent} refunded the delivery fee of {amount} and expects the parcel on {date}.",
        loose="[the fee of {amount} is paid back and the parcel comes on {date}|the parcel will come on {date} and "
        "delivery, {amount}, is free]",
        plan="[the parcel itself|the parcel] [is moving again|is on its way|is back on the road] and "
        "[comes|arrives|will be there|gets to you] on {date}",
    ),
    "voucher": Resolution(
        noun="voucher of {amount}",
        short="voucher",
        house="{agent} offered a voucher of {amount}, valid for {valid} months.",
        loose="[a voucher of {amount} can be used for {valid} months|there is a voucher over {amount}, good for "
        "{valid} months]",
        plan="[it is [valid|good]|you can [use|spend] it] for {valid} months [on anything [in the shop|we sell]|]",
    ),
    "label": Resolution(
        noun="free return label",
        short="label",
        house="{agent} sent a free return label, to be used by {date}.",
        loose="[the parcel can go back with a free label until {date}|a label for a free return was sent, good until "
        "{date}]",
        plan="[it is in your mail [in a minute|now|already]|you get it by e-mail|I am sending it to your e-mail "
        "address], [please use it|just use it|it has to be used|hand the parcel in] by {date}",
    ),
    "pickup": Resolution(
        noun="pick-up by {carrier}",
        short="pick-up",
        house="{agent} booked a pick-up by {carrier} on {date}.",
        loose="[{carrier} will collect {object} on {date}|the parcel will be fetched by {carrier} on {date}]",
        plan="[the driver|someone] [comes to your door|will be at your place|rings at your door|will be there] on "
        "{date}, [so please have it packed|just leave it by the door|you need not print anything]",
    ),
    "reduced": Resolution(
        noun="refund of {amount} after a fee of {percent} percent",
        short="refund",
        house="{agent} approved a refund of {amount} after a fee of {percent} percent, to be paid by {date}.",
        loose="[{amount} will be paid back by {date}, {percent} percent being kept as a fee|less {percent} percent, "
        "a refund of {amount} follows by {date}]",
        plan="[the money|it|the rest|that sum] [will be|is] [on your account|with you|back] by {date}",
    ),
    "cancellation": Resolution(
        noun="cancellation with a refund of {amount}",
        short="cancellation",
        house="{agent} made a cancellation with a refund of {amount}, to be paid by {date}.",
        loose="[the order is cancelled and {amount} go back by {date}|it is cancelled, with {amount} paid back by "
        "{date}]",
        plan="[the order is stopped|nothing will be sent|I have taken it off the list] and [the money|your money] "
        "[is back|is on your account|will be with you|returns to you] by {date}",
    ),
    "sender": Resolution(
        noun="free return to the sender",
        short="return to the sender",
        house="{agent} offered a free return to the sender when the parcel comes on {date}.",
        loose="[the parcel, due on {date}, can be refused at the door for free|it can go straight back when it comes "
        "on {date}]",
        plan="[when the driver comes|when it is brought|the driver comes] on {date}, [simply say no|just refuse "
        "it|please do not take it] and it [comes|goes|travels] [back to us|home]",
    ),
    "later": Resolution(
        noun="later delivery",
        short="later delivery",
        house="{agent} offered a later delivery on {date}.",
        loose="[the parcel will come later, on {date}|delivery is moved to {date}]",
        plan="[{carrier}|the driver|it] [would then come|comes|will come] on {date}, [so you have time to think|if "
        "you still want it|and you can still say no]",
    ),
    "answer": Resolution(
        noun="{answer}",
        short="answer",
        house="{agent} answered that {subject} {has} a {answer}.",
        loose="{subject} {has} a {answer}",
        plan="[that is what the [data sheet|product page|maker] says|I have it [here|] from the data sheet|I have "
        "just looked it up]",
    ),
    "answer_and_day": Resolution(
        noun="{answer}",
        short="answer",
        house="{agent} answered that {subject} {has} a {answer} and {arrives} on {date}.",
        loose="{subject} {has} a {answer} and will be delivered on {date}",
        plan="[by the way, the parcel|and your parcel|the parcel, by the way,] [arrives|should arrive|will be with "
        "you|is due] on {date}",
    ),
}

HOUSE_MOODS = {
    "angry": "{first} was angry.",
    "disappointed": "{first} was disappointed.",
    "neutral": "{first} stayed calm.",
    "pleased": "{first} was pleased.",
}
LOOSE_MOODS = {
    "angry": "[The customer was [furious|very angry]|There was a lot of anger|{first} sounded furious]",
    "disappointed": "[The customer felt let down|{first} sounded disappointed|There was disappointment on the other "
    "end]",
    "neutral": "[The tone was matter-of-fact|The customer was calm|{first} sounded neutral]",
    "pleased": "[The customer was happy with us|{first} sounded delighted|It was a cheerful talk]",
}
LOOSE_OPENINGS = (
    "[{name} [got in touch|contacted us|called|wrote] [about|because of|regarding] order {order}: {matter}|Order "
    "{order} of {name}: {matter}|{agent} [spoke|talked] with {name} about order {order}: {matter}|In order {order} "
    "by {name}, {matter}]. "
)
LOOSE_RESOLUTIONS = "[{agent} said that|According to {agent},|As {agent} put it,|{agent} explained that] {outcome}. "

# What the customer's mood adds, by the moment of the conversation.
OPENING_MOODS = {
    "angry": "[this is [absolutely|really|] [ridiculous|unacceptable|outrageous|a disgrace]|I am "
    "[absolutely|really|] [furious|fed up|livid]|I have had enough [of this|of your shop]|what kind of "
    "[shop|service] is this|how hard can it [possibly|] be|I am not going to put up with this|I want to make a "
    "complaint, and a loud one]!",
    "disappointed": "[I am [really|very|rather|a bit|quite] [disappointed|let down|sad about this]|this is [such a|a "
    "real|a] [pity|let-down|shame]|I had [expected|hoped for] [more|better] [from you|from {shop}|]|I was "
    "[so|really|] looking forward to {object}, and now this|it makes me [a little|rather|quite] sad].",
    "neutral": "[just a [quick|short] [matter|question|thing].|it is about [an order|my order|something I "
    "ordered].|I need some help with [an order|something].||I hope I am in the right place.]",
    "pleased": "[I [really|] [love|like] your shop|you have always been [so|very] [helpful|kind] to me|I am still a "
    "[very|] happy customer, [really|do not worry]|no hurry at all, and [thank you|thanks] for [the lovely card in "
    "the parcel|picking up so fast]|it is always [a pleasure|nice|lovely] to talk to you people|my last "
    "[parcel|order] was [wonderful|perfect], [by the way|I must say]][.|!]",
}
MIDDLE_MOODS = {
    "angry": "[I [cannot|can not] believe [this|that I have to ask]|do you even check [anything|what you send]|this "
    "has [cost|wasted] my whole [day|morning|evening]|and do not [give me excuses|tell me to wait]|I am [losing my "
    "patience|really angry now]][.|!]",
    "disappointed": "[it is not what I [know|am used to] from you|I [really|] had [thought|hoped] this would go "
    "better|I feel a [bit|little] let down|it was meant [as a treat|to be a nice surprise]|I do not want to "
    "complain, but it is [sad|a pity]].",
    "neutral": "[|that is all I know.|I can wait a moment.|in case that helps.|no more to say about that.]",
    "pleased": "[you are [so|very] [quick|kind]|thank you for [looking|checking]|I am glad [I reached you|you are "
    "there]|what a nice [service|start]|I am in no hurry][.|!]",
}
CLOSING_MOODS = {
    "angry": "[[fine|well|whatever], but I am [still|] [furious|angry|fuming]|it is the least you can do[ after this "
    "mess|]|about time! [I will not order here again|never again will I recommend you]|and [it|this] had better "
    "[work|happen] this time, or [I am done with you|you have seen me for the last time]|you should be ashamed of "
    "[this|yourselves]][.|!]",
    "disappointed": "[all right, [though|but] it [is still|remains] a [pity|shame|let-down]|okay, I had "
    "[hoped|wished] for [more|better], [but well|but so be it]|fine, I [just|] wish it had [gone|worked out] "
    "[better|otherwise]|well, it [does not|will not] quite make up for [it|the trouble], [but okay|sadly]].",
    "neutral": "[okay|all right|fine|good|understood|noted], [that works [for me|]|that is fine|I have written it "
    "down|let us do it that way|that answers it|thanks].",
    "pleased": "[[wonderful|great|perfect|brilliant|lovely|marvellous], [you have made my day|you are a star|thank "
    "you so much|that was quick|I am so happy with that|that is more than I hoped for]|thank you, [what "
    "[lovely|great] service|I will tell all my friends|this is why I [shop|buy] with you]][.|!]",
}

HELLOS = "[hello|hi|hi there|good [morning|afternoon|evening|day]|hello again|hey],"
AGENT_HELLOS = (
    "[good [morning|afternoon|evening]|hello|hi|welcome|hello and welcome], [you have reached {shop}|this is "
    "{shop}|{shop} customer service|you are through to {shop}]. [[my name is|I am|you are talking to] {agent}[,|.] "
    "|][how can I help [you|]|what can I do for you|what is it about|how may I help][ today|]?"
)
RAMBLES = (
    "[my neighbour {neighbour} [has|bought] [the same|one too] and [never had|has had no|had no] trouble|I "
    "[ordered|bought] {object} on {placed}[, I think|, if I am right|]|I paid by {paid_by}, [if that matters|in case "
    "you ask]|my [earlier|last] order, {distractor}, [was fine|came without any trouble|went well]|I also [have|own] "
    "{a_distractor} from you, [and that one is fine|no trouble there]|sorry, [the dog is barking|my tea is boiling "
    "over|the children are loud], [one moment|where was I|now]|my [cousin|friend|colleague] {neighbour} told me to "
    "[call|write]|we [moved|have just moved] to {town}, so [things are|it is] a bit of a mess here|it [was|is] [a "
    "present|a gift] for {neighbour}|I had a [long|busy] day, so [bear with me|I will keep it short]|I tried the "
    "[website|phone] first, but [nobody answered|it was no use]]."
)
BOTH_FIRST = "[[this is|I am] {name}, order {order}|{name} here, [about|it is about] order {order}|{name}, {order}]."
NAME_FIRST = "[this is {name}|{name} here|my name is {name}]."
ORDER_FIRST = "[it is about|I write about|my order is|the order number is] {order}."
ASK_BOTH = "[[may|could] I have|can you give me] your [full|] name and [the|your] order number[, please|]?"
ASK_ORDER = "[what is [the|your] order number|which order is it|[may|could] I have the order number[, please|]]?"
ASK_NAME = "[and your name[, please|]|who am I talking to|may I ask your name|what name is it under]?"
NAME = "[{name}|my name is {name}|I am {name}|it is {name}|{name}, that is me]."
ORDER = "[it is|that would be|the number is|order|] {order}."
ORDER_CORRECTED = (
    "[it is|order|] {misheard}[, no, sorry, {order}|, [sorry|wait|no], {order}|... [sorry, it is {order}, not "
    "{misheard}|no, I misread it: {order}]]."
)
FOUND = "[I have it here|here it is|I found it|I see it]: {name}, order {order}, the {product}[, placed on {placed}|]."
FOUND_BRIEFLY = "[I see|I have] [the|your] {product} [here|in front of me|on my screen][, placed on {placed}|]."
ASK_BACK = (
    "[so {a_resolution}, [right|is that right|yes]|did you say {a_resolution}|let me write that down: "
    "{a_resolution}, yes]?"
)
CHOSEN = "[then|I prefer|I take|let us do|I would rather have|please,|] the {short}[, please|, then|]."
WISHES = (
    "[so [no {refused}|I get no {refused}]|I [wanted|hoped for|thought of] {a_refused}|what about {a_refused}|could I "
    "[still|] [have|get] {a_refused}]?"
)
REFUSALS = (
    "[I am sorry, no|that is not possible any more|I am afraid not|sadly not]. [but|instead,|what I can do:] [I can "
    "offer you {a_resolution}|you can have {a_resolution}|I can give you {a_resolution}]."
)
ASK_WHEN = (
    "[when|how long does it take|and by when|when will that be|how does that work|and then|what does that mean for me]?"
)
NOTED = "[so: {a_resolution}, all noted|I have noted {a_resolution}|that is {a_resolution}, done]."
SYMPATHIES = {
    "angry": "[I [fully|] understand [your anger|that you are angry]|I am [very|truly|so] sorry[, this should not "
    "happen|]|please accept our apologies|I hear you, and I am sorry].",
    "disappointed": "[I am [very|] sorry to hear that|that is [a pity|not what we want]|oh no, [I am sorry|that "
    "should not be]|I understand that this is a let-down].",
    "neutral": "[thank you for [letting us know|getting in touch|your message]|of course|certainly|let me [see|have "
    "a look]|sure, I will look into it].",
    "pleased": "[how nice of you to say|thank you for the kind words|that is good to hear, and I will gladly "
    "help|you are very welcome here, let me see].",
}
# What agents check on the way, with the replies; box and photo only where the customer has the goods.
GOODS_AT_HAND = ("damaged_item", "wrong_item", "return", "warranty")
GOODS_CHECKS = (
    (
        "[do you still have the [box|packaging]|is the [box|packaging] still there]?",
        (
            "[yes, [it is in the hall|I kept it|the box is here]|no, [it went out with the paper|I threw it away]|I "
            "think so, [in the cellar|somewhere]]."
        ),
    ),
    (
        "[could you send [me|us] a photo|do you have a photo of it|can you take a picture]?",
        (
            "[I have just sent [one|two]|done, it should be in your mail|yes, one moment... there it is|I can do that "
            "[tonight|later]]."
        ),
    ),
)
CHECKS = (
    (
        "[is your address still {street} in {town}|do you still live at {street}|is it still {street}, {town}]?",
        "[yes, [that is right|still the same|nothing has changed]|correct|that is it, yes].",
    ),
    (
        "[which e-mail address should I use|where shall I send the papers]?",
        "[to {email}[, please|]|use {email}|the best one is {email}].",
    ),
    ("[may I use {email}|shall I write to {email}]?", "[yes|yes, please|yes, that is fine|please do]."),
    (
        "[have you [spoken|talked] to [one of us|somebody here] before|did you [call|write] before]?",
        "[no, this is the first time|yes, once, [but nothing came of it|to a colleague of yours]|not yet].",
    ),
    (
        "[did you pay by {paid_by}|you paid by {paid_by}, is that right]?",
        "[yes, I did|right, by {paid_by}|yes, as always|by {paid_by}, yes].",
    ),
)
OFFERS = (
    "[[I can offer you|what I can do is|I suggest|let me offer you|we will arrange|I would arrange|you get|"
    "I can give you] {a_resolution}[.|.|, [is that all right|does that suit you|would that help]?]|how about "
    "{a_resolution}?]"
)
CHOICES = (
    "[[you can have|I can offer you|there is|I can give you] [{a_resolution} or "
    "{a_other_resolution}|{a_other_resolution} or {a_resolution}][, [which do you prefer|what would you like]?|. [it "
    "is your choice|you decide|please choose].]|shall it be [{a_resolution} or "
    "{a_other_resolution}|{a_other_resolution} or {a_resolution}]?]"
)
SETTLED = (
    "[[so|good|all right], [I will arrange|I note|we do|you get] {a_resolution}|{a_resolution} it is|gladly, "
    "{a_resolution}]."
)
THANKS = "[thank you|thanks|thank you very much|got it|perfect|one moment, please|just a second]"
FAREWELLS = (
    "[you are welcome|gladly|thank you for your patience|thank you for calling|I have put it all in your file|you "
    "will get this by e-mail too]. [[have a [nice|good|lovely] [day|evening|week]|goodbye|take care|all the "
    "best]|[goodbye, {first}|take care, {first}|all the best, {first}]][.|!]"
)
ANYTHING_ELSE = "[is there anything else|anything else I can do|can I help with anything else]?"
ANYTHING_NO = "[no, [that is all|that was it|nothing else]|that is everything|not today]."

# How hurried customers spell, and how everybody shortens; slots and their values stay as they are.
SLOPPY_WORDS = {
    "received": "recieved",
    "really": "realy",
    "because": "cos",
    "I am": "im",
    "do not": "dont",
    "cannot": "cant",
    "it is": "its",
    "address": "adress",
    "thank you": "thx",
    "please": "pls",
    "you": "u",
    "believe": "beleive",
    "I have": "ive",
    "disappointed": "dissapointed",
    "though": "tho",
    "does not": "doesnt",
    "neighbour": "neigbour",
    "something": "somthing",
    "right": "rigth",
    "with": "wiht",
}
SLOPPY = re.compile(rf"(?<!\{{)\b({'|'.join(sorted(SLOPPY_WORDS, key=len, reverse=True))})\b")
CONTRACTIONS = {
    "I am": "I'm",
    "do not": "don't",
    "it is": "it's",
    "I will": "I'll",
    "does not": "doesn't",
    "that is": "that's",
    "you are": "you're",
    "cannot": "can't",
}
CONTRACTED = re.compile(rf"\b({'|'.join(CONTRACTIONS)})\b(?= [a-z])")

DAMAGES = (
    "has a deep scratch",
    "has a dent in the side",
    "has a crack",
    "is bent",
    "has a broken corner",
    "came in two pieces",
    "has a stain",
    "has a missing screw",
    "is scratched all over",
    "has a hole in one side",
)
RETURN_REASONS = (
    "is too large",
    "is too small",
    "is too heavy",
    "does not match the room",
    "looks different from the picture",
    "was given twice",
    "is no longer needed",
    "feels cheap",
    "does not suit the purpose",
)
CANCEL_REASONS = (
    "ordered it by mistake",
    "found it cheaper elsewhere",
    "ordered it twice",
    "received one as a gift",
    "changed plans",
    "picked the wrong model",
    "decided on another brand",
    "lost the need for it",
    "found an old one in the attic",
)


def later(date: datetime.date, days: int) -> datetime.date:
    return date + datetime.timedelta(days=days)


def late_delivery(rng: random.Random, shop: Shop, order: Order, product: Product) -> tuple[Case, datetime.date]:
    today = later(order.due, rng.randrange(1, 10))
    return Case(
        intent="late_delivery",
        issue="has not arrived",
        agrees=True,
        house="{name} reported that the {product} from order {order} {issue}, though it was due on {due}.",
        loose="the parcel with the {product}, due on {due}, has not [come|arrived|turned up]",
        tell="[{thing} {issue} [yet|]|I am [still|] waiting for {thing}, {subject} {issue}|the parcel with {thing} "
        "is not here, {subject} {issue}]. [it was [due|promised|supposed to come] on {due}|you [said|promised] "
        "{due}|the e-mail said {due}][, and [now it is {today}|today is {today}]|][.|!]",
        finding="[the tracking [shows|says] that|I see [here|] that|it looks as if] [{carrier} has it in {depot}|the "
        "parcel is stuck in {depot} [with {carrier}|]|{carrier} lost sight of it [in|near] {depot}|it was last "
        "scanned in {depot}][ since {due}|][, number {tracking}|].",
        resolutions=(("express", "refund") if product.in_stock else ("refund",)) + ("search", "fee"),
    ), today


def damaged_item(rng: random.Random, shop: Shop, order: Order, product: Product) -> tuple[Case, datetime.date]:
    limit = shop.policies.damage_report_days
    days = rng.randrange(0, 2 * limit)
    allowed = (("replacement",) if product.in_stock else ()) + ("refund", "discount", "part")
    return Case(
        intent="damaged_item",
        issue=rng.choice(DAMAGES),
        agrees=True,
        house="{name} reported that the {product} from order {order} arrived damaged and {issue}.",
        loose="the {product} [came|arrived] broken and {issue}",
        tell="[{thing} [came|arrived] [today|yesterday|on {due}|this week] and {issue}|I [unpacked|opened] {thing} "
        "and {subject} {issue}|{thing} {issue}[, straight out of the box|, and I have not even used {object}|]|[look "
        "at this:|can you believe it:|so:|] {thing} {issue}, [and the box was [torn|wet|crushed]|it must have "
        "happened on the way]].",
        finding="[damage has to be reported within {damage_days} days|we ask for a report within {damage_days} days], "
        + (
            "[and you are in time|so that is fine|and you did]."
            if days <= limit
            else "[and that is over|so you are "
            "a bit late|and it has been longer], [but we find a way|but let me see what I can do]."
        ),
        resolutions=allowed if days <= limit else ("repair", "voucher", "part"),
        refused="" if days <= limit else "full refund",
    ), later(order.due, days)


def wrong_item(rng: random.Random, shop: Shop, order: Order, product: Product) -> tuple[Case, datetime.date]:
    others = [other for other in shop.products if other.name != product.name]
    if others and rng.random() < 0.65:
        issue = f"received the {rng.choice(others).name}"
    else:
        issue = f"received the {rng.choice([colour for colour in COLOURS if colour != product.colour])} one"
    return Case(
        intent="wrong_item",
        issue=issue,
        house="{name} ordered the {product} with order {order} but {issue}.",
        loose="the {product} was ordered, but {name} {issue}",
        tell="[I ordered {thing}[ in {colour}|] [but|and|, and] {issue}|I {issue}, [but|though] I "
        "[ordered|wanted|paid for] {thing}[ in {colour}|]|you [mixed|must have mixed] something up: I {issue} "
        "instead of {thing}|I [opened|unpacked] the [box|parcel] and saw that I {issue}, not {thing}].",
        finding="[somebody [took|reached for] the wrong box|the labels were mixed up in the warehouse|I see it, the "
        "picking list was wrong|that was our mistake]. [you can keep what you have|what you have can stay with "
        "you|please keep the wrong one|give the wrong one to somebody].",
        resolutions=(("replacement", "express") if product.in_stock else ()) + ("refund", "discount"),
    ), later(order.due, rng.randrange(0, 6))


def refund(rng: random.Random, shop: Shop, order: Order, product: Product) -> tuple[Case, datetime.date]:
    today = later(order.due, rng.randrange(8, 25))
    matter = rng.choice(["missing", "missing", "dropped", "twice"])
    if matter == "missing":
        return Case(
            intent="refund",
            issue="refund has not come",
            house="{name} sent the {product} from order {order} back on {sent}, but the refund has not come.",
            loose="the {product} went back on {sent}, yet no money came",
            tell="[I sent {thing} back on {sent}[ with {carrier}|], [but|and] [the|my] refund has not come "
            "[yet|]|where is my money? {thing} went back on {sent} and the refund has not come|the refund has not "
            "come[, and I sent {thing} back on {sent}| for {thing}, which I posted on {sent}]].",
            finding="[the parcel [reached|came to] us [safely|in good order]|our warehouse has booked it in], [but "
            "[the payment|the money] was never released|and a colleague forgot to release the money|yet the bank "
            "sent the money back|only the account number was wrong].",
            resolutions=("refund", "refund", "voucher"),
        ), today
    if matter == "twice":
        return Case(
            intent="refund",
            issue="was charged twice",
            house="{name} was charged twice for the {product} from order {order}.",
            loose="the {product} was paid for two times",
            tell="[I was charged twice for {thing}|look at my [bank statement|account]: I was charged twice for "
            "{thing}|why is it that I was charged twice? I bought {thing} only once|it seems that I was charged "
            "twice for {thing}].",
            finding="[I see both payments [here|], on {placed} and a day later|the payment by {paid_by} went through "
            "two times|you are right, there are two bookings on {placed}|our system took it two times].",
            resolutions=("refund", "refund", "voucher"),
        ), today
    limit = shop.policies.price_match_days
    days = rng.randrange(3, 2 * limit)
    return Case(
        intent="refund",
        issue="price has dropped",
        house="{name} asked for money back because the price of the {product} from order {order} has dropped.",
        loose="the {product} is cheaper now, and some money back was asked for",
        tell="[I bought {thing} [for {price}|] and now the price has dropped|the price has dropped for {thing}, and "
        "I paid {price}|I saw that the price has dropped [since I bought|for] {thing}]. [can I get [the "
        "difference|something] back|could you pay back the difference|I would like the difference back]?",
        finding=f"[we match our own prices for {limit} days|the price promise runs {limit} days], "
        + (
            "[and you are within that time|so this is covered]."
            if days <= limit
            else "[and that time is over|so it is too late]."
        ),
        resolutions=("discount",) if days <= limit else ("voucher",),
    ), later(order.placed, days)


def send_back(rng: random.Random, shop: Shop, order: Order, product: Product) -> tuple[Case, datetime.date]:
    limit = shop.policies.return_days
    days = rng.randrange(1, limit + limit // 2)
    return Case(
        intent="return",
        issue=rng.choice(RETURN_REASONS),
        agrees=True,
        house="{name} wanted to return the {product} from order {order} because it {issue}.",
        loose="the {product} is to go back as it {issue}",
        tell="[I [want|would like|need] to [return|send back] {thing}, {subject} {issue}|can I [return|send back] "
        "{thing}? {subject} {issue}|{thing} {has} to go back because {subject} {issue}|unfortunately {thing} "
        "{issue}, so I want to return {object}|[how|where] do I return {thing}? the thing is, {subject} {issue}].",
        finding="[returns are open for {return_days} days|you have {return_days} days for a return|our rule is "
        "{return_days} days], "
        + (
            "[and you are well in time|so that is no problem|and you are inside that]."
            if days <= limit
            else "[and that time has passed|so the time is over|and yours ended a few days ago]."
        ),
        resolutions=("label", "pickup", "reduced") if days <= limit else ("voucher", "reduced"),
        refused="" if days <= limit else "full refund",
    ), later(order.due, days)


def cancel(rng: random.Random, shop: Shop, order: Order, product: Product) -> tuple[Case, datetime.date]:
    in_time = rng.random() < 0.55
    return Case(
        intent="cancel",
        issue=rng.choice(CANCEL_REASONS),
        house="{name} asked to cancel order {order} with the {product}, having {issue}.",
        loose="the {product} is not wanted any more, as {name} {issue}",
        tell="[please cancel [my order of|my order for|the order with] {thing}, I {issue}|I {issue}, so [please|] "
        "cancel {thing}|can I [still|] cancel {thing}? I [simply|] {issue}|I [want|would like|need] to cancel [the "
        "order with|my order for|] {thing}. you see, I {issue}].",
        finding="[an order can be cancelled within {cancel_hours} hours|we can stop an order for {cancel_hours} "
        "hours], "
        + (
            "[and you are in time|so we can still do it|and it has not left yet]."
            if in_time
            else "[but it has already left us|but {carrier} already has it|so we are a little too late]."
        ),
        resolutions=("cancellation",) if in_time else ("sender", "later", "label"),
        refused="" if in_time else "cancellation",
    ), later(order.placed, rng.randrange(0, 2) if in_time else 2)


def warranty(rng: random.Random, shop: Shop, order: Order, product: Product) -> tuple[Case, datetime.date]:
    months = rng.randrange(2, product.warranty_months + product.warranty_months // 2)
    covered = months <= product.warranty_months
    return Case(
        intent="warranty",
        issue=rng.choice(product.faults),
        agrees=True,
        house=f"{{name}} reported that the {{product}} from order {{order}} {{issue}} after {months} months.",
        loose=f"the {{product}}, {months} months old, {{issue}}",
        tell=f"[{{thing}} {{issue}}|[suddenly|since last week|lately|now] {{thing}} {{issue}}|there is something "
        f"wrong with {{thing}}: {{subject}} {{issue}}]. [I have had {{object}} for {months} months|{{subject}} {{is}} "
        f"{months} months old|I bought {{object}} {months} months ago|that is after {months} months]. [is that "
        f"[still|] under warranty|is there a warranty|does the warranty cover "
        "that|what about the warranty]?",
        finding="[the warranty [for {object}|] runs for {warranty} months|{subject} {comes} with {warranty} months "
        "of warranty|the warranty is {warranty} months], "
        + (
            "[so you are covered|so this is on us|and that covers it]."
            if covered
            else "[so it has run out|and that is over|which has passed, I am afraid]."
        ),
        resolutions=(("replacement",) if product.in_stock else ()) + ("repair", "part")
        if covered
        else ("paid_repair", "voucher"),
        refused="" if covered else "free repair",
    ), later(order.due, 30 * months)


def product_question(rng: random.Random, shop: Shop, order: Order, product: Product) -> tuple[Case, datetime.date]:
    facts = [(name, f"{name} of {amount(value, unit)}") for name, value, unit in product.attributes]
    facts.append(("warranty", f"warranty of {product.warranty_months} months"))
    facts.append(("rating", f"rating of {product.rating / 10} stars"))
    facts.append(("price", f"price of {money(product.price)}"))
    subject, answer = rng.choice(facts)
    return Case(
        intent="product_question",
        issue=subject,
        house="{name} asked about the {issue} of the {product} from order {order}.",
        loose="there was a question about the {issue} of the {product}",
        tell="[I ordered {thing} and [forgot|never saw|cannot find] the {issue}. can you help|what is the {issue} of "
        "{thing}|I have a question about {thing}: what {issue} {does} {subject} have|can you tell me the {issue} of "
        "{thing}[, please|]|before {thing} [comes|arrives], I [want|need|would like] to know the {issue}. what is "
        "it]?",
        finding="[it says [here|]:|the data sheet says:|found it:|let me read it to you:|here it is:] {a_resolution}"
        "[, [the colour is {colour}|it is made of {material}]|].",
        resolutions=("answer", "answer_and_day"),
        answer=answer,
    ), later(order.placed, rng.randrange(0, 2))


CASES = {
    "late_delivery": late_delivery,
    "damaged_item": damaged_item,
    "wrong_item": wrong_item,
    "refund": refund,
    "return": send_back,
    "cancel": cancel,
    "warranty": warranty,
    "product_question": product_question,
}


def amount(value: int, unit: str) -> str:
    """`1 litre`, `3 litres`."""
    return f"{value} {unit[:-1] if value == 1 else unit}"


def cents(rng: random.Random, shop: Shop, product: Product, resolution: str) -> int:
    """What a resolution pays or costs."""
    if resolution in ("refund", "cancellation"):
        return product.price
    if resolution == "reduced":
        return product.price * (100 - shop.policies.restocking_percent) // 100
    if resolution == "fee":
        return shop.policies.delivery_fee
    if resolution == "voucher":
        return rng.randrange(2, 13) * 250
    return max(200, product.price * rng.randrange(10, 41) // 100)  # a discount, or a repair that is paid for


def settled_on(rng: random.Random, shop: Shop, order: Order, today: datetime.date, resolution: str) -> str:
    """The day that a resolution names, or nothing."""
    policies = shop.policies
    if resolution in ("voucher", "answer"):
        return ""
    if resolution in ("sender", "answer_and_day"):
        return day(max(order.due, later(today, 1)))
    days = {
        "refund": policies.refund_days,
        "reduced": policies.refund_days,
        "cancellation": policies.refund_days,
        "discount": policies.refund_days,
        "replacement": policies.delivery_days,
        "part": policies.delivery_days,
        "express": policies.express_days,
        "fee": policies.express_days,
        "repair": policies.repair_days,
        "paid_repair": policies.repair_days,
        "label": policies.return_days,
        "later": policies.delivery_days + 7,
    }
    return day(later(today, days.get(resolution, 2) + rng.randrange(0, 3)))


def misheard(rng: random.Random, number: str) -> str:
    """The order number with two neighbouring digits swapped, or the last one changed."""
    places = [place for place in range(2, len(number) - 1) if number[place] != number[place + 1]]
    if not places:
        return number[:-1] + str((int(number[-1]) + 1) % 10)
    place = rng.choice(places)
    return number[:place] + number[place + 1] + number[place] + number[place + 2 :]


class Talk:
    """The turns of one conversation, worded as they are added."""

    def __init__(self, rng: random.Random, slots: dict[str, str], customer: str, agent: str) -> None:
        self.rng, self.slots = rng, slots
        self.speakers = {"customer": customer, "agent": f"Agent {agent}"}
        self.habits = {who: rng.random() for who in self.speakers}
        self.turns: list[str] = []

    def say(self, who: str, *patterns: str) -> None:
        """Add a turn; empty patterns and wordings fall away."""
        wording = " ".join([drawn(self.rng, parsed(pattern)) for pattern in patterns if pattern])
        habit = self.habits[who]
        if habit < 0.55:
            wording = CONTRACTED.sub(lambda found: CONTRACTIONS[found[0]], wording)
        sloppy = who == "customer" and habit < 0.25
        if sloppy:
            wording = SLOPPY.sub(lambda f: SLOPPY_WORDS[f[0]] if self.rng.random() < 0.4 else f[0], wording)
        text = wording.format_map(self.slots)
        self.turns.append(f"{self.speakers[who]}: {SPACES.sub('', text).strip() if sloppy else tidy(text)}")

    @property
    def text(self) -> str:
        return "\n".join(self.turns)


def converse(talk: Talk, case: Case, chosen: Resolution, mood: str, way: str) -> None:
    """Word a course of events.

    `way`: the resolution is the only offer (`plain`), the customer's choice of two (`choice`), what is left when a
    wish is `refused`, or an `answer`.
    """
    rng, say = talk.rng, talk.say
    chance = rng.random

    # Who they are and what it is about: name and number come by themselves or are asked for.
    if chance() < 0.6:
        say("agent", AGENT_HELLOS)
    named, numbered = chance() < 0.4, chance() < 0.35
    opening = [OPENING_MOODS[mood], case.tell]
    if chance() < 0.4:
        opening.reverse()
    if named:
        opening.insert(rng.randrange(0, 2), BOTH_FIRST if numbered else NAME_FIRST)
    elif numbered:
        opening.append(ORDER_FIRST)
    if chance() < 0.35:
        opening.append(RAMBLES)
    say("customer", HELLOS if chance() < 0.6 else "", *opening)

    # The agent asks for what is missing.
    asked = not (named and numbered)
    if asked:
        ask_both = not named and not numbered and chance() < 0.6
        say("agent", SYMPATHIES[mood], ASK_BOTH if ask_both else ASK_NAME if numbered else ASK_ORDER)
        told_name = ask_both or (not named and (numbered or chance() < 0.3))
        replies = [NAME if told_name else "", "" if numbered else ORDER if chance() < 0.72 else ORDER_CORRECTED]
        say("customer", *rng.sample(replies, 2), RAMBLES if chance() < 0.25 else "")
        named = named or told_name

    # The agent finds the order and may check something.
    response = f"{THANKS}." if asked else SYMPATHIES[mood]
    looked = [response, FOUND_BRIEFLY if named and chance() < 0.5 else FOUND]
    if chance() < 0.45:
        question, reply = rng.choice(CHECKS + GOODS_CHECKS if case.intent in GOODS_AT_HAND else CHECKS)
        say("agent", *looked, question)
        say("customer", reply, MIDDLE_MOODS[mood], RAMBLES if chance() < 0.15 else "")
        looked = [f"[{THANKS}.|]"]

    # The offer and what comes of it.
    plan = f"{chosen.plan}."
    remark = MIDDLE_MOODS[mood] if chance() < 0.5 else ""
    if way == "answer":
        say("agent", *looked, case.finding)
        say("customer", ASK_BACK)
        say("agent", "[yes|exactly|right|correct], {a_resolution}.", plan)
    elif way == "choice":
        say("agent", *looked, case.finding, CHOICES)
        say("customer", remark, CHOSEN)
        say("agent", SETTLED, plan)
    elif way == "refused":
        say("agent", *looked, case.finding)
        say("customer", remark, WISHES)
        say("agent", REFUSALS, plan)
    elif chance() < 0.55:
        say("agent", *looked, case.finding, OFFERS)
        say("customer", remark, ASK_WHEN)
        say("agent", plan, NOTED if chance() < 0.4 else "")
    else:
        say("agent", *looked, case.finding, OFFERS, plan)
    say("customer", CLOSING_MOODS[mood])
    if chance() < 0.2:
        say("agent", ANYTHING_ELSE)
        say("customer", ANYTHING_NO, CLOSING_MOODS[mood] if chance() < 0.3 else "")
    if chance() < 0.75:
        say("agent", FAREWELLS)


def tell(rng: random.Random, shop: Shop, identifier: str) -> dict:
    """Draw a course of events and word it, again and again until it has a fitting length."""
    order = rng.choice(shop.orders)
    customer = order.customer
    agent = rng.choice([name for name in shop.agents if name != customer.first] or list(shop.agents))
    product, _ = rng.choice(order.lines)
    plural = product.noun in PLURALS
    case, today = rng.choice(list(CASES.values()))(rng, shop, order, product)
    mood = rng.choice(SENTIMENTS)
    earlier = rng.choice(shop.orders).number
    chosen, *others = rng.sample(case.resolutions, len(case.resolutions))
    policies = shop.policies
    slots = {
        "shop": shop.name,
        "agent": agent,
        "name": customer.name,
        "first": customer.first,
        "order": order.number,
        "misheard": misheard(rng, order.number),
        "distractor": earlier if earlier != order.number else f"{earlier[:2]}{rng.randrange(10000, 99999)}",
        "product": product.name,
        "noun": product.noun,
        "thing": rng.choice(["the {}", "my {}"]).format(rng.choice([product.name, product.noun])),
        "a_distractor": with_article(rng.choice(shop.products).name),
        "neighbour": rng.choice(FIRST_NAMES),
        "colour": product.colour,
        "material": product.material,
        "price": money(product.price),
        "placed": day(order.placed),
        "due": day(order.due),
        "sent": day(later(order.due, rng.randrange(1, 7))),
        "today": day(today),
        "carrier": order.carrier,
        "depot": town(rng),
        "tracking": order.tracking,
        "paid_by": order.paid_by,
        "email": customer.email,
        "street": customer.street,
        "town": customer.town,
        "damage_days": str(policies.damage_report_days),
        "return_days": str(policies.return_days),
        "cancel_hours": str(policies.cancel_hours),
        "percent": str(policies.restocking_percent),
        "valid": str(policies.gift_card_months),
        "warranty": str(product.warranty_months),
        "subject": "they" if plural else "it",
        "object": "them" if plural else "it",
        "answer": case.answer,
        "issue": agree(case.issue, plural) if case.agrees else case.issue,
    }
    slots |= {verb: agree(verb, plural) for verb in ("is", "has", "does", "stays", "comes", "arrives")}

    def noun(resolution: str) -> str:
        return RESOLUTIONS[resolution].noun.format(**slots, amount=money(cents(rng, shop, product, resolution)))

    if case.refused and rng.random() < 0.6:
        way = "refused"
        slots |= {"refused": case.refused, "a_refused": with_article(case.refused)}
    elif case.intent == "product_question":
        way = "answer"
    elif others and others[0] != chosen and rng.random() < 0.5:
        way = "choice"
        slots["a_other_resolution"] = with_article(noun(others[0]))
    else:
        way = "plain"
    resolution = RESOLUTIONS[chosen]
    slots["amount"] = money(cents(rng, shop, product, chosen))
    slots["date"] = settled_on(rng, shop, order, today, chosen)
    slots["resolution"] = resolution.noun.format_map(slots)
    slots["a_resolution"] = with_article(slots["resolution"])
    slots["short"] = resolution.short

    while True:
        talk = Talk(rng, slots, customer.first, agent)
        converse(talk, case, resolution, mood, way)
        if len(talk.turns) in TURNS and len(talk.text) <= CHARACTERS and len(talk.text.split()) in WORDS:
            break

    slots["matter"] = drawn(rng, parsed(case.loose)).format_map(slots)
    slots["outcome"] = drawn(rng, parsed(resolution.loose)).format_map(slots)
    return {
        "id": identifier,
        "group": f"{order.number}-{identifier}",
        "dialogue": talk.text,
        "summaries": [
            " ".join(pattern.format_map(slots) for pattern in (case.house, resolution.house, HOUSE_MOODS[mood])),
            worded(rng, LOOSE_OPENINGS + LOOSE_RESOLUTIONS + LOOSE_MOODS[mood] + ".", slots),
        ],
        "intent": case.intent,
        "sentiment": mood,
        "fields": {
            "customer": customer.name,
            "order": order.number,
            "product": product.name,
            "issue": slots["issue"],
            "resolution": slots["resolution"],
            "date": slots["date"],
        },
    }


def dialogues(shop: Shop, count: int, seed: str) -> list[dict]:
    """`count` conversations of the shop with their summaries and facts; the same seed gives the same rows."""
    rng = random.Random(f"dialogues {shop.seed} {seed}")
    return [tell(rng, shop, f"dialogue-{shop.seed}-{seed}-{index:05d}") for index in range(count)]


def raw(row: dict) -> str:
    """The row as a document of the shop's archive, in one of several layouts fixed by its id."""
    rng = random.Random(f"raw {row['id']}")
    fields, talk, (first, second) = row["fields"], row["dialogue"], row["summaries"]
    customer, order, product, mood = (fields["customer"], fields["order"], fields["product"], row["sentiment"])
    subject = row["intent"].replace("_", " ")
    agent = talk.partition("Agent ")[2].partition(":")[0]
    sheet = [
        f"Customer: {customer}",
        f"Order: {order}",
        f"Product: {product}",
        f"Problem: {fields['issue']}",
        f"Settled with: {fields['resolution']}",
        f"Date: {fields['date'] or 'none'}",
    ]
    labels = [f"Subject: {subject}", f"Mood: {mood}"]
    transcript = rng.choice(["Transcript", "Conversation", "Log of the chat", "What was said"])
    note = rng.choice(["Note for the file", "Agent's note", "Log entry", "What happened"])
    again = rng.choice(["Also noted", "In other words", "Second note"])
    # What a colleague writes about a conversation follows it only under one of these headings.
    heading = rng.choice(
        [
            f"Ticket {order} | {subject} | {agent}",
            f"CALL SHEET\nName: {customer}\nOrder: {order}",
            f"From: {customer}\nTo: service desk\nSubject: {subject}, order {order}",
            f"Export of a thread with {customer}",
            f"Handover from {agent}",
        ]
    )
    written = [
        f"{note}: {first}",
        f"{again}: {second}",
        "\n".join(rng.sample(sheet + labels, rng.randrange(3, 9))),
        f"Filed under {subject}. Mood {mood}. {product}, order {order}: {fields['resolution']}.",
    ]
    closed = f"{heading}\n{talk}\n-- closed --\n" + "\n".join(rng.sample(written, rng.randrange(2, 5)))
    noted = f"{note}: {first}\n\n{transcript}:\n{talk}"
    form = "CALL SHEET\n" + "\n".join([*sheet, *labels]) + f"\n\n{transcript}\n{talk}"
    return rng.choice([closed, closed, closed, closed, noted, noted, form, f"{transcript}\n{talk}", talk])
