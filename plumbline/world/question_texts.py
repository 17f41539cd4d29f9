"""The wording of the questions about the help articles, as templates for `plumbline.world.spinning`.

`POLICY` and `PRODUCT`: fact -> (what one may say first, the question, the fact as a noun phrase, the answer as a
sentence).
"""

POLICY = {
    "return_days": (
        """{I changed my mind{ about my order|}.|{The|My} parcel came {last week|on <day>|yesterday} and I do not like
        it.|<someone> gave me something I cannot use.|It does not fit.}""",
        """{How long do I have to {return|send back} {an item|something|a purchase}|How many days {are there|do I get}
        {for a return|to return an item}|How long after delivery can an item be {returned|sent back}|Within how many
        days must {a return|an item} be {posted|on its way}|What is the {time limit|period} for returns}?""",
        "the time for returns",
        "An item can be returned within <value>.",
    ),
    "refund_days": (
        """{I sent {it|my order|the parcel} back {on <day>|last week}.|My return is on its way{ to you|}.|The
        warehouse has my return.}""",
        """{When {do I get|will I see} my money back{ after a return|}|How long does {a|the|my} refund take|How {many
        days|long} {is it|does it take} until {the money is back|I am refunded}|How quickly are refunds paid|Within
        how many days is a refund paid}?""",
        "the time a refund takes",
        "The refund takes <value>.",
    ),
    "delivery_days": (
        """{I {want to order|ordered} {on <day>|today}.|No hurry, standard is fine.|I need it for a birthday{ on
        <day>|}.}""",
        """{How long does {standard|normal} delivery take|When {will a standard parcel|does a standard order}
        arrive|How many days does a {standard|normal} parcel {need|take}|What is the {delivery time of|time for}
        standard {parcels|delivery}}?""",
        "the time for standard delivery",
        "Standard delivery takes <value>.",
    ),
    "express_days": (
        "{I am in a hurry.|It is urgent.|I need it {soon|by <day>}.|My sister's birthday is {close|on <day>}.}",
        """{How {fast|quick} is express{ delivery|}|How long does express{ delivery|} take|When is an express
        {order|parcel} here|How many days does an express parcel need}?""",
        "the time for express delivery",
        "Express delivery takes <value>.",
    ),
    "delivery_fee": (
        "{It is only a small {order|thing}.|I {want|would like} to order {one|a single} item.|I live in <place>.}",
        """{How much is {standard|normal} delivery|What do you charge for {standard|normal} delivery|What does
        {standard|normal} delivery cost|How much do I pay for {standard delivery|a standard parcel}|What is the fee
        for standard delivery}?""",
        "the fee for standard delivery",
        "Standard delivery costs <value>.",
    ),
    "express_fee": (
        "{I am in a hurry.|It has to be there {by <day>|soon}.|Standard is too slow for me.}",
        """{How much is express{ delivery|}|What {does|would} express{ delivery|} cost|What do I pay for {express|the
        fast delivery}|What is the {fee|price} {for|of} express{ delivery|}}?""",
        "the fee for express",
        "Express delivery costs <value>.",
    ),
    "free_from": (
        "{I do not want to pay for delivery.|My basket is {nearly|not} full.|I am putting an order together.}",
        """{From {what|which} order value is delivery free|How much must I {spend|order} to get free delivery|When is
        delivery free|What order value do I need for free delivery}?""",
        "the order value for free delivery",
        "Delivery is free from <value>.",
    ),
    "damage_report_days": (
        """{My parcel came {broken|damaged}{ on <day>|}.|The box was crushed{ when <carrier> brought it|}.|Something
        in the parcel is broken.}""",
        """{How long do I have to report {damage|a broken item}|Within how many days must damage be reported|How many
        days {are there|do I get} to report damage|What is the {deadline|time limit} for reporting damage}?""",
        "the time for reporting damage",
        "Damage must be reported within <value>.",
    ),
    "cancel_hours": (
        """{I just placed order <order>.|I ordered the wrong thing.|Oh no, I ordered twice.|I ordered {this morning|a
        moment ago}.}""",
        """{How long can I {still |}{cancel|stop} an order|Within how many hours can an order be cancelled|How much
        time is there to cancel{ an order|}|How many hours do I have to {stop|cancel} an order}?""",
        "the time for cancelling",
        "An order can be cancelled within <value>.",
    ),
    "price_match_days": (
        """{I saw it cheaper{ elsewhere| in <place>|}.|Another shop sells it for less.|The price fell after I ordered{
        on <day>|}.}""",
        """{How long do you match {prices|a lower price}|For how many days does {the price match|your price promise}
        {last|hold}|Within how many days can I ask for a price match|How long after my order can I get the lower
        price}?""",
        "the time for a price match",
        "Prices are matched for <value>.",
    ),
    "gift_card_months": (
        """{I {got|was given} a gift card{ by <someone>|}.|I found an old gift card.|I want to give <someone> a gift
        card.}""",
        """{How long is a gift card {valid|good}|When does a gift card run out|How many months {can|may} I use a gift
        card|How long does a gift card last}?""",
        "how long a gift card lasts",
        "A gift card lasts <value>.",
    ),
    "repair_days": (
        """{My item {broke|stopped working}.|I {sent|brought} it {in for repair|to the workshop}{ on <day>|}.|It is in
        your workshop.}""",
        """{How long does a repair take|How many days does {the workshop|a repair} need|How soon is a repair
        {done|ready}|How long will the workshop need for a repair}?""",
        "the time a repair takes",
        "A repair takes <value>.",
    ),
    "restocking_percent": (
        "{I opened the box.|I have used it {once|twice}.|I threw the box away.}",
        """{How {much|high} is the restocking charge|What is {taken off|kept from} the refund for a used item|How many
        percent {do you keep|are kept} for a used item|What does it cost to return a used item|What restocking charge
        do you take}?""",
        "the restocking charge",
        "The restocking charge is <value>.",
    ),
    "points_per_mark": (
        "{I am a {new |}member.|I want to collect points.|I {spent|am about to spend} a lot{ here|}.}",
        """{How many points do I {get|earn} {for each|per} mark|What does {a|each} mark {earn|bring} in points|How
        many points is a mark worth|At what rate do I collect points}?""",
        "the number of points for each mark",
        "Each mark earns <value>.",
    ),
    "gold_discount_percent": (
        "{I am a gold member{ now|}.|I am thinking about gold.|<someone> says gold is worth it.}",
        """{How {big|high|large} is the gold discount|What discount do gold members {get|have}|How much do {gold
        members|I} save with gold|How many percent {do gold members save|does gold take off}}?""",
        "the gold discount",
        "The gold discount is <value>.",
    ),
    "support_hours": (
        "{I would rather talk to a person.|I want to call{ you| on <day>|}.|Nobody picks up the phone.}",
        """{When is the {support |}desk open|What are {the|your} opening hours|{When|At what hours} can I {call|reach}
        {you|the desk}|From when to when is the {support |}desk open}?""",
        "the opening hours",
        "The desk is open from <value>.",
    ),
}

PRODUCT = {
    "sku": (
        "{I want to order by phone.|The form asks for a number.}",
        """{What is the item number of the <name>|Which item number does the <name> have|Under {what|which} item
        number {do I find the <name>|is the <name> listed}}?""",
        "the item number of the <name>",
        "The item number is <value>.",
    ),
    "price": (
        """{I like the <noun>.|I have saved up.|<someone> wants one for {a birthday|the new flat}.|I am looking for {a
        present|<a_noun>}.}""",
        """{How much {is the <name>|does the <name> cost}|What does the <name> cost|What is the price of the
        <name>|What do {you ask|I pay} for the <name>|At what price do you sell the <name>}?""",
        "the price of the <name>",
        "It costs <value>.",
    ),
    "colour": (
        "{It should go with my {curtains|walls|kitchen}.|<someone> is fussy about colours.}",
        """{What colour {is the <name>|does the <name> come in}|In {what|which} colour {is the <name> sold|do I get
        the <name>}|Which colour does the <name> have}?""",
        "the colour of the <name>",
        "The colour is <value>.",
    ),
    "material": (
        "{I {am allergic to|do not like} some materials.|I care about materials.}",
        "{What is the <name> made of|{Which|What} material is the <name> made of|What is the material of the <name>}?",
        "the material of the <name>",
        "It is made of <value>.",
    ),
    "warranty": (
        "{I bought {one|it} {last year|on <day>}.|Mine broke.|I want something that lasts.}",
        """{How long is the {warranty|guarantee} {on|of|for} the <name>|What warranty does the <name> {have|come
        with}|For how many months is the <name> covered|How many months of warranty {do I get with|are there on} the
        <name>}?""",
        "the warranty of the <name>",
        "The warranty is <value>.",
    ),
    "launched": (
        "{I wonder whether it is new.|<someone> says it is an old model.}",
        """{Since when {is the <name> on sale|do you sell the <name>}|When did the <name> come out|On {what|which}
        date did you start to sell the <name>|From what date has the <name> been on sale}?""",
        "the date since which the <name> is sold",
        "It has been on sale since <value>.",
    ),
    "rating": (
        "{I always read reviews.|Is it any good?|Other buyers know best.}",
        """{How {is the <name> rated|do customers rate the <name>}|What {rating|average} does the <name> have|How many
        stars does the <name> {have|get}|What do buyers give the <name>}?""",
        "the rating of the <name>",
        "Its rating is <value>.",
    ),
    "stock": (
        "{I need {several|a few} of them.|I hope it is not sold out.}",
        """{How many of the <name> {are in stock|were in stock at the last count}|How many pieces of the <name> {are
        there|do you have}|What is the stock of the <name>}?""",
        "the stock of the <name>",
        "There were <value> at the last count.",
    ),
    "care_weeks": (
        "{Mine looks dirty.|I want it to stay nice.|I {own|have} one.}",
        """{How often {should|must} {I clean the <name>|the <name> be cleaned}|After how many weeks does the <name>
        need {a cleaning|cleaning}|At what interval is the <name> cleaned}?""",
        "how often the <name> is cleaned",
        "Every <value>.",
    ),
    "ready_minutes": (
        "{Mine is brand new.|I have just unpacked it.|It came {on <day>|today}.}",
        """{How long {must|should} I wait before {the first use of|I use} the <name>|How many minutes does {a new|the}
        <name> need before {first use|it can be used}|How long does the <name> take before its first use}?""",
        "the waiting time before first use of the <name>",
        "It needs <value>.",
    ),
    "spare_part": (
        "{A part is worn.|I like to repair things.|Mine needs a new part.}",
        """{Which spare part {fits|do I need for} the <name>|What is the {spare part|part} number for the <name>|Which
        part {should|do} I order for {my|the} <name>}?""",
        "the spare part for the <name>",
        "The spare part is <value>.",
    ),
    "measure": (
        "{I am comparing models.|I want to be sure before I order.|{Numbers matter to me.|The details matter.}}",
        """{What {<what> does the <name> have|is the <what> of the <name>}|Which <what> {is stated for the <name>|does
        the <name> have}|What is stated as the <what> of the <name>|Can you tell me the <what> of the <name>}?""",
        "the <what> of the <name>",
        "The <what> is <value>.",
    ),
    "remedy": (
        "{I have had it for {a month|a year}.|I am a little annoyed.|It worked until {<day>|yesterday}.}",
        """{My <name> <fault>, {what {can|should} I do|what helps|how do I fix it}|What {can I do|helps} when the
        <name> <fault>|The <name> I bought <fault>, {any advice|what do you advise}|What should I {do|try} if the
        <name> <fault>}?""",
        "what to do when the <name> <fault>",
        "You should <value>.",
    ),
}

OPENERS = """{{Hello|Hi|Good morning|Hi there|Hello <shop>}{.|!}|} {{Quick question|A question|One
    question}{:|.}|Sorry to bother you.|}"""

INDIRECT = """{{Please tell me|I would like to know|I need to know|Let me know} <noun>{ at <shop>|}.|{Could you tell
me|Do you know|May I ask} <noun>{ at <shop>|}?}"""

# Yes or no: fact -> (question with <case>, what the answer says after Yes or No).
JUDGED = {
    "return_days": (
        """{My parcel came <case> ago, can I still {return|send back} {it|the item}?|I have had it for <case>. Can it
        still go back?|Is a return possible <case> after delivery?}""",
        "returns are open for <value>",
    ),
    "damage_report_days": (
        """{It arrived broken <case> ago, can I still report it?|Can damage be reported <case> after delivery?|I
        noticed the damage <case> after delivery. Am I {still |}in time?}""",
        "damage can be reported for <value>",
    ),
    "cancel_hours": (
        """{I ordered <case> ago, can I still cancel?|Can I {stop|cancel} an order that is <case> old?|Order <order>
        is <case> old. Is it possible to cancel it?}""",
        "cancelling is possible for <value>",
    ),
    "price_match_days": (
        """{I ordered <case> ago and now it is cheaper, do you match the price?|Can I get a price match <case> after
        my order?|My order is <case> old. Do you still match a lower price?}""",
        "prices are matched for <value>",
    ),
    "gift_card_months": (
        """{My gift card is <case> old, can I {still |}use it?|Is a gift card still {good|valid} after <case>?|I got a
        gift card <case> ago. Does it still work?}""",
        "gift cards last <value>",
    ),
    "free_from": (
        """{My order is <case>, {is delivery free|do I get free delivery}?|{I want to order|My basket comes to|I am
        spending} <case>. Is delivery free?|Does an order of <case> go free of delivery {costs|charges}?}""",
        "delivery is free from <value>",
    ),
    "warranty": (
        """{My <name> broke after <case>, is it {still |}under warranty?|I bought the <name> <case> ago. Does the
        warranty still {help|pay}?|Does the warranty cover a <name> that is <case> old?}""",
        "the warranty is <value>",
    ),
    "support_hours": (
        """{Can I call {you |the desk |}at <case>?|Is {anybody|the desk} there at <case>?|I finish work at <case>. Is
        the desk open then?}""",
        "the desk is open from <value>",
    ),
}

# Things that the shop's articles never state, of a product and of the shop.
UNSTATED_PRODUCT = """{Who designed the <name>|{In which|Which} country {is|was} the <name> made{ in|}|Which batteries
    does the <name> need|Does the <name> come with a bag|Is there a larger <name>|What is the {energy class|noise
    level} of the <name>|Can I hire the <name>|Which awards has the <name> won|Who makes the <name>}?"""
UNSTATED_SHOP = """{How many people work {for you|in the warehouse}|Do you deliver to {islands|other countries}|Who
    founded the shop|Is there a shop {I can visit|with a counter} in <place>|Do you take {cheques|foreign money}|What
    is the name of the manager|How do I become a supplier|Do you have student prices|Which bank do you use|When is the
    next sale|Can I pay with my phone|Do you sell {used books|plants|furniture for children}}?"""

BOTH = (
    """{<first> And <second_low>|<first> Also, <second_low>|{Two questions|Two things}: <first_low> And
    <second_low>|<first> {One more thing|Another question}: <second_low>}""",
    """{What is <first_noun>, and what is <second_noun>?|Please tell me <first_noun> and <second_noun>.|I need two
    facts: <first_noun> and <second_noun>.|{Could|Can} you tell me <first_noun>, and <second_noun> too?}""",
)

KINDS = {
    "policy": "policy pages",
    "product_guide": "product guides",
    "howto": "how-to articles",
    "comparison": "comparisons",
    "troubleshooting": "troubleshooting pages",
}
