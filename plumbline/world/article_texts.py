"""The wording of the help articles, as templates for `plumbline.world.spinning`; slots are the shop's facts.

`THEMES` are sections on one rule of the shop each: a heading and bodies to choose from. `POLICY` and `HOWTO`
name, per topic: category, titles, lead, the themes that must follow, the themes that may.
"""

THEMES = {
    "return_window": (
        "{Returns|Sending something back|How long you can return an item|The time for returns|Changed your mind?}",
        """{You have <return_days> to send an item back|An item may come back within <return_days>|Returns are open
        for <return_days>}
        {, counted from the day the parcel arrives|, counted from the day of delivery| after delivery}.
        {Say <someone> from <place> gets a parcel on <example_day>: the last day to return it is <return_last>.|A
        parcel that
        arrives on <example_day> can be returned until <return_last>.}
        {No reason is needed{, though one helps us to do better|}.|You need not say why.|We ask for the reason, but
        you may leave it out.}
        {{Keep|Use} the {original |first |}{box|packaging|carton}{ if you still have it|}{ and put the order number on
        the outside| and add the note that came with it}.|}
        {Later returns are refused{ by the warehouse in <town>|} and {go back to the sender|sent back at your
        cost}.|After that the item stays yours.}""",
        """{The shop gives you time to think|Not every purchase fits|You may change your mind}{: | and the rule is
        simple: |, and here is the rule: }
        {within <return_days> of delivery|for <return_days> after the parcel came} {any|an} item can be returned{ for
        a refund|}.

        - {The day of the order does not matter.|Day one is the day after delivery.}
        - {The item must be complete{ and clean|}.|All parts must be in the box.}
        - {Write the order number, such as <order>, on the parcel.|Put the order number on the label.}
        - {Example: delivered <example_day>, return by <return_last>.|If it came on <example_day>, post it by
        <return_last>.}

        {The parcel goes to our warehouse in <town>.|Any post office takes the parcel.|We confirm every return by
        email.}""",
    ),
    "restocking": (
        "{Used or opened items|The restocking charge|Items without their box|What we keep back|Opened boxes}",
        """{If an item was used or its box is missing|When the box is gone or the item shows signs of use|For a used
        item or one without its packaging},
        {a restocking charge of <restocking_percent> is {taken off|kept from} the refund|we keep <restocking_percent>
        of the price{ for the extra work|}|the
        refund is smaller by <restocking_percent>}. {On an item of <list_price> that is <kept>.|For something that
        cost <list_price>, <kept> stays with us.}
        {Unopened items {are refunded in full|cost nothing to return}.|There is no such charge on an unopened box.}
        {{Faulty or wrong items|Items that were damaged on the way} are {never|not} charged{, whatever the box looks
        like|}.|}
        {The warehouse in <town> decides{ and tells you by email|, with a photo as proof}.|}""",
        """{A charge for used goods|What opening the box costs}: {the restocking charge is <restocking_percent> of the
        price|<restocking_percent> of the price}.
        {It applies {only |}when the item was used or came back without its box.|We take it only for items that cannot
        be sold as new.}

        - {Price <list_price>: the charge is <kept>.|On <list_price> it comes to <kept>.}
        - {Sealed items: no charge.|Box unopened: nothing to pay.}
        - {Faulty items: no charge.|Our mistake: no charge.}

        {It is taken from the refund, so {you pay no bill|there is nothing to transfer}.|You see it as a line of its
        own in the refund.}""",
    ),
    "refund": (
        "{Refunds|When the money comes back|Your money back|How long a refund takes}",
        """{{The|Your} refund is paid within <refund_days>{ of the parcel's return| once the item is back with us}|It
        takes <refund_days> {from the day we get the item |}until the money is
        paid back|We pay the money back in <refund_days>}. {It goes {back |}the way it came: to the card, the account
        or the gift card{ that paid|}.|The money goes to the
        account or card that paid.} {If the item reaches <town> on <example_day>, expect the money by
        <refund_last>.|An item that is back on <example_day> is
        refunded by <refund_last>.} {Delivery {costs|fees} are paid back only when the mistake was ours.|An email
        {confirms|announces} each refund.|}
        {If nothing has come by then, {write to us with the order number|call the desk}{, for example <order>|}.|}""",
        """{Refunds are quick.|Nobody likes to wait for money.|First the item, then the money.} {When|As soon as|Once}
        the warehouse {has checked|has unpacked} your return, the refund is
        {on its way; it takes <refund_days>|paid within <refund_days>}{ at most|}. {<someone>, whose return came in on
        <example_day>, had the money on <refund_last>.|For a
        return that comes in on <example_day> that means <refund_last>.} {Paid by card? Then it shows on the
        card.|Orders paid by instalments
        {get fewer instalments|are settled first}.|Gift cards are filled up again.} {We send an email as soon as it is
        done.|Please check the account before you ask.}""",
    ),
    "delivery_time": (
        "{Standard delivery|How long delivery takes|When your parcel comes|Delivery times}",
        """{{Standard|Normal} delivery takes <delivery_days>|A parcel is with you in <delivery_days>|Allow
        <delivery_days> for standard delivery}{, counted from the day of the order| from the day you order|}.
        {An order of <example_day> arrives by <delivery_last>.|Who orders on <example_day> has the parcel by
        <delivery_last>.}
        {{<carrier> and other carriers|Carriers such as <carrier>} {bring|carry} our parcels{; the tracking code is in
        the email|}.|You get a tracking code by email when the parcel leaves <town>.}
        {If nobody is at home, the parcel {waits|is kept} at the next post office{ and a card tells you where|}.|}
        {Large items may come in two parcels{ on different days|}.|Holidays do not count.|}""",
        """{Your order leaves|Every order leaves|Parcels leave} {our warehouse in |}<town> {on the next working
        day|within a day}. {From order to door it takes <delivery_days>{ by standard delivery|}.|Standard
        delivery: <delivery_days> from the order.|The standard service needs <delivery_days>.}

        - {Ordered on <example_day>: with you by <delivery_last>.|Example: order on <example_day>, delivery by
        <delivery_last>.}
        - {Follow the parcel with the code in the email.|The tracking code comes by email.}
        - {The carrier, often <carrier>, leaves a card if you are out.|If you are out, look for the card that the
        carrier leaves.}

        {A late parcel? {Write to us with the order number.|Wait one day more, then write to us.}|Questions go to the
        support desk.}""",
    ),
    "delivery_fee": (
        "{What delivery costs|Delivery costs|Delivery fees and free delivery|The price of delivery}",
        """{Standard delivery costs <delivery_fee>|The fee for standard delivery is <delivery_fee>|For standard
        delivery we charge <delivery_fee>}{ per order|, however heavy the parcel is|}.
        {From an order value of <free_from> {it is free|delivery is free}|Orders of <free_from> or more are delivered
        free{ of charge|}|You pay no delivery from <free_from> on}.
        {An order of <small_order>, for example, comes to <small_total> in all{, while|; but} one of <large_order>
        {pays no delivery|goes free}.|So an order of
        <small_order> costs <small_total> with delivery.} {The value counts before any discount.|Gift cards do not
        lower the value that counts.|Several
        small orders are not added up.|}""",
        """{Two numbers decide what you pay|Delivery is simple to work out|What you pay depends on the order}: {the
        fee is <delivery_fee>|we charge <delivery_fee>}, and {orders from <free_from> go free|from
        <free_from> there is no charge|it drops to nothing from <free_from>}.

        - {Order of <small_order>: <small_total> with delivery.|Goods for <small_order> cost <small_total> at your
        door.}
        - {Order of <large_order>: delivery is free.|Goods for <large_order>: nothing to add.}

        {The basket shows the fee before you pay.|The fee is on the bill as a line of its own.|{Members|Gold members}
        pay the same fee{ as everyone|}.}""",
    ),
    "express": (
        "{Express delivery|In a hurry?|The fast way|Express}",
        """{Express delivery {takes|needs} <express_days>{ and costs <express_fee>| at a price of <express_fee>}|For
        <express_fee> we deliver by express, in <express_days>|The express service brings the
        parcel in <express_days>, for <express_fee>}. {Choose it {in the basket|at the last step of the order}.|You
        find it {under the address|next to the total} when you pay.}
        {An express order of <example_day> is there by <express_last>.|Ordered on <example_day>, it arrives by
        <express_last>.} {It is not free, not even for large orders.|The fee
        applies to every order, large or small.} {If {an express parcel|it} is late, we {return|pay back} the fee.|}
        {Furniture and other heavy goods cannot go by express.|Express runs on working days only.|}""",
        """{Sometimes a parcel cannot wait.|A present forgotten?|Need it soon?} {Then take express|Express is for
        that}: {<express_days> from order to door|it is with you in <express_days>}{, by a courier|}.
        {It costs <express_fee>{ per order|}, {also for|even for} orders that would {otherwise |}go free.|The fee is
        <express_fee>.} {The count starts when the order is paid.|What counts is the day on which you pay.} {Paid on
        <example_day>, there by <express_last>.|<someone> in <place> ordered on <example_day> and had it on
        <express_last>.}""",
    ),
    "damage": (
        "{Damaged parcels|Something arrived broken|Reporting damage|If it arrives broken}",
        """{Report {any |}damage within <damage_report_days>{ of delivery|}|Damage must be reported within
        <damage_report_days>{ of delivery|}|You have <damage_report_days> to {tell us about|report} damage}.
        {A photo of the item and of the box is enough.|Send {two or three photos|three photos: the box, the label and
        the damage}.} {A parcel of <example_day> must be reported by <report_last>.|For a parcel that came on
        <example_day> that is <report_last> at the latest.} {You choose: {a new item or your money|an exchange or a
        refund}.|We send a new one, or the money, as you like.}
        {Do not throw the box away{ before we answer|}.|Keep the box until you hear from us.|} {The carrier{, such as
        <carrier>,|} may want to see it.|}""",
        """{Boxes fall.|It happens.|We pack with care, but things break.} {If your item {is|comes} broken, tell us
        within <damage_report_days>{ of delivery|}.|Write to us within <damage_report_days> if something is broken.}

        * {Take a photo of the box{ and the label|}.|Photograph the damage.}
        * {Write to us with the order number, such as <order>.|Send the photo with your order number.}
        * {Wait for our answer{, which comes within a day|}; {do not send anything back yet|keep the item until
        then}.|Choose a new item or a refund.}

        {For a delivery on <example_day> the last day is <report_last>.|Delivered <example_day>? Then write by
        <report_last>.} {Later reports are treated as a warranty case.|After that only the warranty helps.}""",
    ),
    "cancel": (
        "{Cancelling an order|Changed your mind at once?|Stopping an order|How to cancel}",
        """{An order can be cancelled {free of charge |}within <cancel_hours>{ of placing it|}|You can cancel within
        <cancel_hours>{ of ordering|}|For <cancel_hours> after the order you may cancel it}.
        {Open the order{, for example <order>,|} and press Cancel.|Write or call, and name the order number.} {Then no
        money is taken.|Nothing is charged.} {After that the parcel {is|may be} on its way
        {and|, so} you {return it|use a return} instead.|Later it has to come back as a return.} {{The|A change of}
        address can be {corrected|changed} in the same time.|Single lines of an
        order can be cancelled too.|}""",
        """{Orders are packed quickly|We pack fast|The warehouse in <town> is quick}, so {the time to cancel is short:
        <cancel_hours>|you have only <cancel_hours> to cancel}. {It runs from the minute of the order.|The
        clock starts when the order is placed.}

        - {In time: {no cost, no questions|nothing is charged}.|Within the time: it costs nothing.}
        - {Too late: accept the parcel and return it.|Too late: it becomes a return.}

        {<someone> from <place> {asks|wants to know}: can I cancel one item only? Yes, {the rest is sent|the others
        stay in the order}.|The order number, such as <order>, is in the email.}""",
    ),
    "price_match": (
        "{Price match|Found it cheaper?|Our price promise|If the price falls}",
        """{If another shop sells the same item for less, we match {its|that} price{ for <price_match_days> after your
        order| up to <price_match_days> after your order}|Within <price_match_days> of your order we match a lower
        price{ of another shop|}|We pay back the
        difference when you find it cheaper within <price_match_days>}. {Send {a link|a picture of the offer}{ and
        your order number|}.|A link to the offer is enough.} {Ordered on <example_day>?
        Then ask by <match_last>.|For an order of <example_day> the last day is <match_last>.} {It must be {new, in
        stock and the same colour|the same model, new and in stock}.|Auctions and used goods do
        not count.} {The same holds when our own price falls.|Our own sales count as well.|}""",
        """{Nobody should pay too much.|Prices move.|You need not hunt for the best day to buy.} {Our promise lasts
        <price_match_days>{ from the order|}.|The promise holds for <price_match_days>.} {{Find|See} {the same
        item|it} cheaper, here or elsewhere, and we pay
        back the difference.|Show us a lower price and the difference is yours.}

        - {Send the link and the order number, such as <order>.|Tell us where you saw it.}
        - {The item must be new and the same model.|Used items do not count.}
        - {An order of <example_day> is covered until <match_last>.|Example: ordered <example_day>, covered to
        <match_last>.}""",
    ),
    "gift_card": (
        "{Gift cards|How long a gift card lasts|Paying with a gift card|Cards as presents}",
        """{A gift card is {good|valid} for <gift_card_months>{ from the day it was bought|}|Gift cards {last|are
        valid for} <gift_card_months>|You have <gift_card_months> to use a gift card}. {The date is printed on {its|the}
        back.|The last day stands in the email that comes with it.} {What you do not spend stays on the card.|You can
        use it in parts.} {It cannot be {turned into|paid out as} money.|Cash is not paid
        out.} {A lost card can be {blocked|replaced} if you {have|kept} the number.|Two cards can pay for one order.|}
        {Returns {paid by card|of gifts} {fill it up again|go back to the card}.|}""",
        """{Not sure what to give?|A card always fits.|Gift cards make good presents.} {Choose any amount{ from
        <spent>|}, and {we print it|it comes by email}.|You choose the amount{, say <spent>|}.} {The card stays
        valid for <gift_card_months>.|It can be used for <gift_card_months>.} {Type its number in the basket.|Enter
        the code before you pay.}

        - {The rest stays on the card.|Several orders can be paid from one card.}
        - {It is not paid out in cash.|No cash back.}
        - {Keep the number safe.|Write the number down.}""",
    ),
    "repair": (
        "{Repairs|How long a repair takes|Sending something for repair|The workshop}",
        """{A repair takes <repair_days>{ from the day the item reaches us|}|Repairs are done within <repair_days>|Our
        workshop {in <town> |}needs <repair_days> for a repair}. {An item that comes in on
        <example_day> is ready by <repair_last>.|Brought in on <example_day>, it goes back by <repair_last>.} {Under
        warranty it is free{, postage too|}.|The warranty pays for it.} {Without warranty we
        name the price first.|Otherwise you get an offer before we begin.} {If it cannot be repaired, {you get a new
        one|we replace it}.|What cannot be repaired is replaced.} {Pack it well{ and take the
        batteries out|}.|Describe the fault on a sheet of paper.|}""",
        """{Things that break can often be saved.|We would rather repair than replace.|Do not throw it away.} {The
        workshop promises <repair_days>.|Allow <repair_days> for it.|It takes <repair_days>.}

        * {Tell us what is wrong{ and name the order|}.|Write to us and name the order, such as <order>.}
        * {Print the label we send{ and pack the item|}.|Pack the item with the label we send.}
        * {Hand it to <carrier> or any post office.|Post it; the label is paid.}

        {In on <example_day> means back by <repair_last>.|It came in on <example_day>? Then expect it by
        <repair_last>.} {You get an email at each step.|The warranty runs on while we repair.}""",
    ),
    "points": (
        "{Collecting points|Points|How points work|Points for members}",
        """{Every mark you spend earns <points_per_mark>|You get <points_per_mark> for each mark{ you spend|}|Each
        mark of an order brings <points_per_mark>}. {An order of <spent> makes <points_earned>.|Who spends
        <spent> gets <points_earned>.} {Points are added after delivery.|You see them in your account once the parcel
        has come.} {Delivery fees {earn nothing|do not count}.|Gift cards
        earn points when they are used, not when they are bought.} {Points {cannot be sold|stay yours}.|Returned items
        lose their points.|}""",
        """{Members collect points with every order.|It pays to be a member.|Points are our thank-you.} {The rate is
        <points_per_mark> per mark.|One mark is worth <points_per_mark>.} {<someone> from <place> spent <spent> and
        had <points_earned>{ in the account|}.|Spend <spent> and you have <points_earned>.} {Basic, silver and gold
        members earn the same.|The rate is the same for all members.} {Use them {in
        the basket|at your next order}.|They appear in the account after delivery.}""",
    ),
    "gold": (
        "{The gold discount|Gold members|What gold brings|Gold membership}",
        """{Gold members {pay <gold_discount_percent> less|get a discount of <gold_discount_percent>}{ on every
        order|}|The discount for gold members is <gold_discount_percent>|With gold you save <gold_discount_percent>{
        on every
        order|}}. {A price of <list_price> becomes <gold_price>.|What costs <list_price> is <gold_price> for them.}
        {It is taken off {by itself|in the basket}.|No code is needed.} {Silver and basic members
        do not have it.|Only gold has it.} {It {does not apply to|leaves out} delivery and gift cards.|Sale prices are
        lowered too.|}""",
        """{What is gold good for?|Why gold?|Gold is our highest membership.} {Above all the discount:
        <gold_discount_percent>{ off everything|}.|It lowers prices by <gold_discount_percent>.}

        - {Example: <list_price> becomes <gold_price>.|On <list_price> you pay <gold_price>.}
        - {It works by itself when you are signed in.|Sign in, and the basket shows it.}
        - {Basic and silver members pay the full price.|It is for gold alone.}

        {Delivery fees stay as they are.|Gift cards are sold at full price.}""",
    ),
    "hours": (
        "{Opening hours|Reaching us|When to call|The support desk}",
        """{The support desk is open from <support_hours>|You reach {us|the desk} from <support_hours>|Call us from
        <support_hours>}{, Monday to Friday|, on working days|}. {Have the order number {ready|at hand}{, for example
        <order>|}.|Please
        name the order number{, which looks like <order>|}.} {Emails {are answered|get an answer} within a
        day.|Letters to {<town>|our office in <town>} take longer.} {The lines are quiet {in the
        morning|after lunch}.|Mondays are busy.|} {<author> and {the team|the others} {help|are glad to help}.|}""",
        """{People answer here, not machines.|We like to help.|Some questions are easier to ask.} {Our hours are
        <support_hours>.|The desk works from <support_hours>.} {Outside of {these hours|them}, write an
        email.|At other times leave a message.} {Tell us {your name|who you are} and the order number, such as
        <order>.|An order number like <order> helps us to find you.} {<author> wrote this page and
        often takes the calls.|}""",
    ),
    "tracking": (
        "{Following a parcel|Where is my parcel?|Tracking|The tracking code}",
        """{Each parcel has a tracking code.|The code in the email shows where your parcel is.|You can follow every
        parcel.} {It {starts with a letter|is a letter and seven digits} and works on the page of the carrier{, such
        as <carrier>|}.|Type it on the
        carrier's page; we often send with <carrier>.} {If it shows nothing, wait {a day|until the evening}.|It takes
        some hours until the first entry.} {A parcel that {does not move|stands still} for
        long may be lost: {tell us|write to us}{ and name the order|}.|Tell us if nothing moves.} {The order number,
        such as <order>, is not the tracking code.|Do not mix it up with the order number{, for
        example <order>|}.}""",
        """{Once the parcel has left <town>, we send an email with its code.|When your order is packed you get an
        email.} {Three things to know|Good to know}:

        - {The code works from the evening on.|The first entry takes some hours.}
        - {<carrier> shows the hour of delivery in the morning.|Carriers such as <carrier> name the hour.}
        - {The order number, such as <order>, does not work there.|The page does not know order numbers like <order>.}

        {Neighbours may take a parcel for you.|You may name a neighbour, or a safe place.|If the address is wrong,
        tell us at once.}""",
    ),
}

CLOSING = (
    "{About this page|This page|Notes|Before you go|Still stuck?|Questions left}",
    """{This page was|The text above was} {updated|checked|revised} {on <updated> by <author>|by <author> on
    <updated>}. {It is
    written for <audience>{| of <shop>}.|Readers: <audience>.|It is meant for <audience> and replaces older copies.}{|
    The
    desk in <town> is open from <support_hours>.| Questions are welcome from <support_hours>, every working day.| Tell
    <author> if a line is unclear.}""",
)

LEAD = """{This page {explains|tells you|shows}|Here you {find|read}|Below is} {what {you|<audience>} should know
    about|the rules of
<shop> {about|for}|all that <shop> has to say about} """

POLICY = {
    "returns": (
        "returns",
        """{Returns and refunds{ at <shop>|}|{Our|The} return policy{, explained|}|How returns work{ at
        <shop>|}|{Sending items back|Returning an item}: the rules}""",
        LEAD
        + """{returns|sending items back}. {In short: {you have <return_days>, and the money takes
            <refund_days>|<return_days> to return, <refund_days> to refund}.|The short form: <return_days> to send
        an item back.|}""",
        ("return_window", "refund"),
        ("restocking", "damage", "cancel", "tracking"),
    ),
    "delivery": (
        "delivery",
        """{Delivery{ times and costs| at <shop>|}|How we deliver|{Delivery|Parcels}: times, costs and carriers|What
        delivery costs and how long it takes}""",
        LEAD
        + """{delivery|parcels and their delivery}. {In short: standard delivery takes <delivery_days> and is
            free from <free_from>.|Two services are offered: standard and express.|Standard
        delivery takes <delivery_days>.|}""",
        ("delivery_time", "delivery_fee", "express"),
        ("tracking", "damage", "hours"),
    ),
    "damage": (
        "returns",
        """{Damaged{ and faulty|} parcels|When a parcel arrives broken{ at your door|}|{The|Our} rules for damaged
        goods|Broken on arrival}""",
        LEAD
        + """{damaged parcels|items that arrive broken}. {Be quick: the time to report is
            <damage_report_days>.|The most important number is <damage_report_days>.|Take photos before anything
            else.|}""",
        ("damage", "repair"),
        ("refund", "return_window", "tracking", "hours"),
    ),
    "cancelling": (
        "orders",
        """{Cancelling or changing an order|The rules for cancelling|{Cancel|Change} an order{ at <shop>|}|Orders:
        cancel, change, correct}""",
        LEAD
        + """{cancelling|changing your mind after an order}. {There are <cancel_hours> for it.|The time is
            short.|You need the order number.|}""",
        ("cancel", "refund"),
        ("return_window", "tracking", "delivery_time", "hours"),
    ),
    "prices": (
        "payment",
        """{Prices and{ our|} price match|Our price promise{ at <shop>|}|{Fair prices|Paying less}: match, discount,
        cards|Prices, discounts and promises}""",
        LEAD
        + """{prices|what you pay}. {We match prices for <price_match_days>.|Gold members pay
            <gold_discount_percent> less.|All prices are in marks.|}""",
        ("price_match", "gold"),
        ("gift_card", "delivery_fee", "points"),
    ),
    "cards": (
        "payment",
        """{Gift cards and points|Paying with gift cards{ and points|}|{The|Our} gift card{, explained|: the
        rules}|Gift cards{ at <shop>|}}""",
        LEAD
        + """{gift cards|gift cards and points}. {A card lasts <gift_card_months>.|Each mark earns
            <points_per_mark>.|Both are used in the basket.|}""",
        ("gift_card", "points"),
        ("gold", "refund", "price_match", "hours"),
    ),
    "membership": (
        "membership",
        """{Membership{ levels| at <shop>|}|Basic, silver, gold{: the levels|}|What members get|{Points|Levels} and
        discounts for members}""",
        LEAD
        + """{membership|the three levels of membership}. {Gold brings <gold_discount_percent> off.|Points come
            at <points_per_mark> a mark.|The levels are basic, silver and gold.|}""",
        ("points", "gold"),
        ("gift_card", "price_match", "delivery_fee", "hours"),
    ),
    "warranty": (
        "warranty",
        """{Warranty and repair{s|}|How repairs work{ at <shop>|}|{Our|The} workshop{ and its rules|}|Repair before
        replacing}""",
        LEAD
        + """{repairs|warranty and repairs}. {A repair takes <repair_days>.|Each product page names the warranty
            of the product.|The warranty of a product is on its own page.|}""",
        ("repair", "damage"),
        ("refund", "tracking", "hours", "return_window"),
    ),
    "contact": (
        "contact",
        """{How to reach {us|<shop>}|Contact{ and opening hours|}|{Calling|Writing to} the support desk|Opening hours
        of the desk}""",
        LEAD
        + """{calls, emails and letters|reaching us}. {We are there from <support_hours>.|Please have your order
            number ready.|Most questions are answered at once.|}""",
        ("hours", "tracking"),
        ("cancel", "damage", "refund", "repair"),
    ),
}

HOWTO = {
    "return": (
        "returns",
        """{How to return an item{, step by step|}|Return an item in {four|a few} steps|{Steps|A guide} for returning
        an item}""",
        """{This is how you send something back.|Follow these steps to send something back.} {You have
        <return_days>.|Mind the time: <return_days>.|It costs you ten minutes.}

        * {Find the order number, such as <order>.|Look up the order in your account.}
        * {Fill in the return form{ and say what is wrong|}.|Press Return next to the item.}
        * {Print the label{ and stick it on the box|}.|Pack the item with all its parts.}
        * {Hand the parcel to <carrier> or a post office.|Post it to our warehouse in <town>.}
        * {Keep the receipt until the money is there, which takes <refund_days>.|Wait for the refund; it takes
        <refund_days>.}""",
        ("return_window", "restocking"),
        ("refund", "damage", "tracking", "hours"),
    ),
    "cancel": (
        "orders",
        "{How to cancel an order|Cancel an order{, step by step| in time}|{Steps|A guide} for cancelling an order}",
        """{This is how an order is stopped.|You ordered and want to stop it?} {You have <cancel_hours>.|Be quick:
        after <cancel_hours> it is too late.|The time for it is <cancel_hours>.}

        * {Sign in and open the order, such as <order>.|Find the email that confirms the order.}
        * {Press Cancel next to the lines you do not want.|Choose Cancel order{ at the bottom of the page|}.}
        * {Confirm.|Say yes when the page asks.}
        * {Look for the email that confirms it.|Wait for our email.}""",
        ("cancel",),
        ("refund", "return_window", "delivery_time", "hours", "tracking"),
    ),
    "report": (
        "returns",
        """{How to report damage|Report {a broken item|damage}{, step by step|}|{Steps|What to do} when a parcel
        arrives broken}""",
        """{Did something arrive broken?|A broken item is soon replaced.} {Report it within <damage_report_days>.|You
        have <damage_report_days> to report it.}

        * {Leave everything in the box.|Do not use the item.}
        * {Take photos of the box, the label and the damage.|Photograph the item and the box.}
        * {Send them with your order number, such as <order>.|Fill in the damage form for order <order>, or whatever
        yours is.}
        * {Choose a new item or your money.|Say whether you want a new one or a refund.}""",
        ("damage",),
        ("refund", "repair", "return_window", "hours"),
    ),
    "express": (
        "delivery",
        "{How to order by express|Get a parcel fast{er|}|{Steps|A guide} for express orders}",
        """{You need something soon?|This is how a parcel comes faster.} {Express takes <express_days>.|Express costs
        <express_fee>.|Express takes <express_days> and costs <express_fee>.}

        * {Put the items into the basket.|Fill the basket as always.}
        * {Choose Express under the address.|Press Express next to the total.}
        * {Pay{ by card or gift card|}.|Pay; the count starts then.}
        * {Follow the parcel with the code from the email.|Watch for the email with the tracking code.}""",
        ("express", "delivery_fee"),
        ("tracking", "delivery_time", "cancel"),
    ),
    "repair": (
        "warranty",
        "{How to have an item repaired|Get {a repair|something repaired}{, step by step|}|{Steps|A guide} for repairs}",
        """{Your item broke after a while?|Things break; we repair them.} {The workshop needs <repair_days>.|It takes
        <repair_days>.}

        * {Look up the warranty on the page of the product.|Check the warranty of the product.}
        * {Tell us what is wrong, with the order number, such as <order>.|Write to us and describe the fault.}
        * {Pack the item and use the label we send.|Print our label and pack the item.}
        * {Wait for our email{ from <town>|}.|We write when it is ready.}""",
        ("repair",),
        ("damage", "refund", "hours", "tracking"),
    ),
    "match": (
        "payment",
        "{How to ask for a price match|Get the lower price|{Steps|A guide} for the price match}",
        """{You saw it cheaper?|Somebody sells it for less?} {Ask within <price_match_days>.|We match it for
        <price_match_days>.}

        * {Copy the link to the offer.|Take a picture of the offer.}
        * {Find your order number, such as <order>.|Look up your order.}
        * {Send both to the support desk.|Write to us with both.}
        * {We check it and pay back the difference.|Wait for our answer; the difference is paid back.}""",
        ("price_match",),
        ("refund", "gold", "points", "hours", "gift_card"),
    ),
    "redeem": (
        "payment",
        "{How to use a gift card|Pay with a gift card{, step by step|}|{Steps|A guide} for gift cards}",
        """{You were given a card?|A gift card is soon used.} {It lasts <gift_card_months>.|Use it within
        <gift_card_months>.}

        * {Fill the basket.|Put what you like into the basket.}
        * {Type the number of the card{ in the field Gift card|}.|Enter the code from the card.}
        * {Pay what is left{ by card or bank transfer|}.|Choose how to pay the rest.}
        * {Keep the card: what is left stays on it.|Keep the card for next time.}""",
        ("gift_card",),
        ("points", "gold", "delivery_fee", "refund"),
    ),
    "collect": (
        "membership",
        "{How to collect points|Collect and use points|{Steps|A guide} for collecting points}",
        """{Points are easy to collect.|Do you want points?} {Each mark brings <points_per_mark>.|The rate is
        <points_per_mark> a mark.}

        * {Open an account or sign in.|Sign in before you order.}
        * {Order as always.|Order, and pay in any way.}
        * {Look into your account after delivery.|Wait until the parcel has come.}
        * {Use the points in the basket.|Spend them with your next order.}""",
        ("points", "gold"),
        ("gift_card", "price_match", "hours"),
    ),
}

GUIDE = (
    """{The <name>|<name>: {product guide|a closer look|all you need to know}|{Guide to|All about} the <name>|Getting
    to know the <name>}""",
    """{The <name> is {one of our|part of our range of} <noun> models{, and this page describes it|}.|This page
    {describes|is about} the <name>.|Meet the <name>.} {{It|The <name>} is made of <material> and comes in
    <colour>.|Made of <material>, in <colour>, it costs <price>.|It costs <price> and has a warranty of
    <warranty>.|Its item number is <sku>{ and its price is <price>|}.}
    {It has been {with us|in our catalogue} since <launched>.|It came out on <launched>.|} {{Buyers|Customers} give it
    <rating>{ on average|}.|}""",
    ("return_window",),
    ("delivery_fee", "repair", "damage", "delivery_time", "price_match", "gold"),
)

CARE = (
    """{How to {look after|care for|use} the <name>|{Setting up|First steps with} the <name>|<name>: care and first
    use|Caring for the <name>}""",
    """{A little care keeps {things|a good thing} going.|Good care makes it last.|The <name> lasts longer with {some|a
    little} care.} {The <name> is made of <material>, so {go gently|be gentle with it}.|This page is about the <name>
    (item <sku>).|Here is what to do with {a new|your} <name>.} {Its warranty is <warranty>.|It is covered by a
    warranty of <warranty>.|}""",
    ("repair",),
    ("return_window", "damage", "hours", "delivery_time"),
)

COMPARISON = (
    """{<name> or <other_name>?|<name> and <other_name> compared|{Comparing|The choice between} the <name> and the
    <other_name>|<name> against <other_name>}""",
    """{Two good things, one decision.|Many of you ask which one to buy.|Which one fits you?} {This page compares|We
    put side by side|Here we look at} the <name> and the <other_name>.
    {The first costs <price>, the second <other_price>.|The <name> costs <price>; the <other_name> costs
    <other_price>.|They differ in more than the price.}""",
    ("return_window",),
    ("delivery_fee", "price_match", "gold", "express", "points"),
)

TROUBLE = (
    """{Problems with the <name>|<name>: {troubleshooting|when it fails|faults and remedies}|{Fixing|Help with} the
    <name>|What to do when the <name> fails}""",
    """{Before you send it back, {try this|read on}.|Most faults are soon {put right|fixed}.|Is something wrong with
    your <name>?} {This page is for the <name>, item number <sku>.|Here are the known faults of the <name>{ (<sku>)|}
    and what helps.}
    {The warranty of <warranty> {is not lost|stays valid} {if you try|by trying}.|It has a warranty of <warranty>{, so
    do not worry|}.|} {The spare part has the number <spare_part>.|}""",
    ("repair",),
    ("damage", "refund", "hours", "return_window"),
)

SPECIFICATION_HEADING = "{Facts and figures|Specification|The <noun> in numbers|Details|What it is}"
PRICE_HEADING = "{Price and availability|What it costs|Price|Buying it}"
WARRANTY_HEADING = "{Warranty|Warranty and parts|Guarantee|If it breaks}"
USE_HEADING = "{Use and care|Living with it|Everyday use|Care}"
STEPS_HEADING = "{Step by step|The steps|How it goes|First use}"
OFTEN_HEADING = "{How often|Through the year|Regular care|Cleaning}"
TABLE_HEADING = "{At a glance|Side by side|The numbers|In one table}"
VERDICT_HEADING = "{Which one to choose|Which one?|Our advice|The choice}"
FAULT_HEADING = "{It <fault>|When it <fault>|The <noun> <fault>|Fault: it <fault>}"
GIVE_UP_HEADING = "{When nothing helps|If it still fails|The last resort|Repair}"

ROW_NAMES = {
    "price": "Price",
    "warranty": "Warranty",
    "rating": "Rating",
    "colour": "Colour",
    "material": "Material",
    "launched": "On sale since",
    "sku": "Item number",
}

LIST_LEAD = "{The {figures|data} of the <name>:|The <name> in short:|What you get with the <name>:|These are its data:}"
TABLE_LEAD = """{The table {puts|sets} {both|the two} side by side.|Here is what we measured and what we charge.|Look
    at the numbers first.}"""
PROSE_LEAD = """{A few facts about the <name>.|Here is what the <name> {offers|is like}.|What should you know about
    the <name>?|The <name> in {plain words|a few sentences}:}"""
MEASURES = (
    "{Its|The} <what> is <measure>.",
    "{It has|The <noun> has|This model has} a <what> of <measure>.",
    "{We measured|The maker states|Count on} a <what> of <measure>.",
    "{The <what> comes to <measure>{, which is enough for most homes|}.|As for the <what>, it is <measure>.}",
)
PROSE = (
    "{It is made of <material>.|The maker uses <material>.|The material is <material>.}",
    "{It comes in <colour>.|The colour is <colour>.|You get it in <colour>{ only|}.}",
    "{It has been on sale since <launched>.|We have sold it since <launched>.|It came out on <launched>.}",
    "{Customers rate it at <rating>.|The average rating is <rating>.|Buyers give it <rating>.}",
    "{The item number is <sku>.|You find it under <sku>.|In the catalogue it is <sku>.}",
    "{It costs <price>.|The price is <price>.|We sell it for <price>.}",
    "{The warranty lasts <warranty>.|It has a warranty of <warranty>.|We give <warranty> of warranty.}",
)

VERDICTS = (
    """{If the price decides|If you want to save money|For a small purse}, {take|choose} the <cheap_name>: {at
    <cheap_price> it is cheaper by <difference>|it is <difference> cheaper than the <dear_name>}. {The <dear_name>
    costs <dear_price>{ and has
    a warranty of <dear_warranty>|}.|The <dear_name>, at <dear_price>, is rated at <dear_rating>.} {The <cheap_name>
    has a warranty of <cheap_warranty>.|Buyers give the <cheap_name> <cheap_rating>.} {Both can be returned within
    <return_days>.|If
    you cannot decide, order both: you have <return_days> to send one back.|}""",
    """{The <dear_name> is the more expensive one: <dear_price>.|For the <dear_name> you pay <dear_price>.} {The
    <cheap_name> costs <cheap_price>, so you save <difference>.|With the <cheap_name> at <cheap_price> you keep
    <difference>.} {Look at the warranty too:
    <dear_warranty> for the <dear_name>, <cheap_warranty> for the <cheap_name>.|Ratings: <dear_rating> for the
    <dear_name>, <cheap_rating> for the <cheap_name>.} {Our advice: {take the one you like to look at|buy what you
    will use most}.|}""",
)
EVEN = (
    """Both cost <price>, so the price does not decide. {Look at the warranty: <warranty> for the <name>,
    <other_warranty> for the <other_name>.|Ratings: <rating> for the <name>, <other_rating> for the <other_name>.}""",
)

PRICE = (
    """{The <name> costs <price>.|The price of the <name> is <price>.|We sell the <name> for <price>.} {We
    {had|counted} <stock> in the warehouse {when we last looked|at the last count}.|At the last count we had <stock>{
    in <town>|}.} {Gold members
    pay <gold_discount_percent> less.|Delivery is free from <free_from>.|Delivery costs <delivery_fee>{, or nothing
    from <free_from>|}.} {Order it {by its number|under}: <sku>.|The item number is <sku>.|}""",
    """{For <price> the <name> is yours.|The <name> is priced at <price>.} {That is {without|before} delivery{, which
    costs <delivery_fee>|}.|We match lower prices for <price_match_days>.} {In stock: <stock>.|Stock at the last
    count: <stock>.} {It has been on
    sale since <launched>.|Since <launched> it has been in the catalogue.|It is listed as <sku>.}""",
)
WARRANTY = (
    """{The warranty on the <name> {lasts|is} <warranty>.|We give <warranty> of warranty on the <name>.|The <name> has
    a warranty of <warranty>.} {It {starts|begins} on the day of delivery.|Keep the bill: it is the proof.} {A repair
    takes <repair_days>.|The workshop needs
    <repair_days> for a repair.|} {The {main |}spare part has the number <spare_part>.|Spare parts: ask for
    <spare_part>.|}""",
    """{If the <name> fails, the warranty of <warranty> pays.|For <warranty> we repair the <name> for nothing.} {Wear
    and accidents are not covered.|Drops and floods are not covered.} {Spare part: <spare_part>.|Ask for part
    <spare_part> if you repair it yourself.|} {Repairs take
    <repair_days>.|}""",
)
CARE_OFTEN = (
    """{Clean the <name> every <care_weeks>{ with a soft cloth|}.|The <name> should be cleaned every <care_weeks>.}
    {{Its|The} <material> {does not like|suffers from} strong soap.|Water and a soft cloth are enough for <material>.}
    {Store it dry.|Keep it out of strong
    sun{, or the <colour> will fade|}.} {Before first use let it stand for <ready_minutes>.|When new, give it
    <ready_minutes> before you use it.|}""",
    """{Every <care_weeks> the <name> {needs|wants} a cleaning.|A cleaning every <care_weeks> keeps the <name> in
    shape.} {Lukewarm water is enough.|Use a mild soap.|Use no sharp tools.} {The <material> {ages well|gets better
    with age}.|The <colour> keeps its tone if it stands in the
    shade.} {If a part is worn, order <spare_part>.|The part that wears is <spare_part>.|}""",
)
CARE_STEPS = (
    """{Do this when the <name> is new.|The first time takes a little longer.}

    * {Unpack it and check that all parts are there.|Take the <name> out of the box.}
    * {Remove the foil.|Wipe off the dust.}
    * {Let it stand for <ready_minutes>.|Wait <ready_minutes> before you use it.}
    * {Use it for the first time.|Now it is ready.}
    * {Keep the box for <return_days>, in case you return it.|Note the number <sku> in case you need a part.}""",
    """{You need <ready_minutes> and a soft cloth.|Plan <ready_minutes> for the first use.}

    * {Read the leaflet.|Lay out all the parts.}
    * {Rinse or wipe it once.|Wipe it with a damp cloth.}
    * {Let it dry in the air.|Leave it open to dry.}
    * {Check that nothing is loose.|Look it over once more.}
    * {Note the item number, <sku>.|Write down the number <sku> for spare parts.}""",
)

FAULTS = (
    """{If the <name> <fault>, <remedy>.|When the <name> <fault>: <remedy>.} {{This|That} helps in {most|nine of ten}
    cases.|{Then try again.|Try it again after that.}} {If not, {you need part <spare_part>|the part <spare_part> is
    worn}.|If it does not, have it repaired{, which takes
    <repair_days>|}.|} {Do not force anything.|Take your time.|}""",
    """{We hear this now and then|A known fault|Some of you wrote to us about this}: the <noun> <fault>. {The remedy
    is simple: <remedy>.|What helps: <remedy>.|In this case, <remedy>.} {<someone> from <place> wrote that it worked
    at once.|It {may|can} take two tries.|The warranty covers it in any case.|}
    {Part <spare_part> can be {ordered|changed} {if needed|for it}.|}""",
)
GIVE_UP = (
    """{Nothing helped?|Still broken?} {Then use the warranty: it {lasts|is} <warranty>{ for the <name>|}.|The <name>
    has a warranty of <warranty>; use it.} {{Send it in,|We repair it:} a repair takes <repair_days>.|The workshop in
    <town> needs <repair_days>.} {Name the number <sku> and
    the fault.|Write the item number, <sku>, on the parcel.} {Within <return_days> of delivery you may {simply
    |}return it.|}""",
)

# "#" stands for a number from 2 to 12, drawn for each product.
REMEDIES = {
    "leaks at the base": (
        "tighten the ring under the base by # clicks",
        "dry it upside down for # hours and check the seal",
    ),
    "does not heat up": (
        "unplug it for # minutes and press the reset button",
        "let it cool for # minutes and use another socket",
    ),
    "has a loose handle": (
        "turn the screw in the handle # times to the right",
        "press the handle in and turn it by # notches",
    ),
    "trips the fuse": (
        "dry the plug for # hours and use a socket of its own",
        "leave it unplugged for # hours in a dry room",
    ),
    "rattles when it runs": (
        "stop it and press down the lid # times",
        "put it on a firm table and tighten the # screws below",
    ),
    "flickers": ("screw in the bulb # turns further", "switch it off for # minutes and clean the contact"),
    "hums": ("set the dimmer to step # or higher", "move it # steps away from other devices"),
    "has a cracked shade": (
        "glue the crack and let it dry for # hours",
        "order a new shade, which takes # minutes to fit",
    ),
    "goes out after a minute": (
        "press the switch for # seconds to end the timer",
        "let it cool for # minutes and free the air slots",
    ),
    "gets too hot to touch": ("use a bulb of # watts", "leave # centimetres of air around it"),
    "has a torn seam": ("sew it with # stitches and wax the thread", "put a patch on it and press for # minutes"),
    "lets water in": ("wax the seams and let them dry for # hours", "spray it # times and hang it up to dry"),
    "has a stuck zip": ("rub the zip with soap # times", "put the zip in cold water for # minutes"),
    "came without its poles": (
        "look into the side pocket, which holds # poles",
        "ask for the set of # poles, which is free",
    ),
    "has a bent frame": (
        "warm the frame for # minutes and bend it back",
        "take out the # pins and straighten the frame",
    ),
    "has a split handle": ("glue the handle and clamp it for # hours", "wind # layers of tape around the handle"),
    "rusts already": ("rub it with oil and wait # hours", "brush off the rust # times and oil it"),
    "drips at the joint": (
        "turn the joint # times and put in a new ring",
        "wrap # layers of sealing tape around the joint",
    ),
    "wobbles": ("tighten the # screws at the feet", "lay a sheet of # millimetres under the short foot"),
    "came with a chip in the rim": (
        "sand the rim for # minutes and paint it",
        "fill the chip and let it dry for # hours",
    ),
    "does not charge": ("charge it with another cable for # hours", "clean the port and hold the button for # seconds"),
    "loses the connection": (
        "hold the button for # seconds and pair it again",
        "move within # metres and switch it on again",
    ),
    "shows the wrong time": (
        "hold the clock key for # seconds and set it again",
        "take the batteries out for # minutes",
    ),
    "has a dead key": (
        "press the key # times and blow out the dust",
        "lift the cap, clean it and let it dry for # hours",
    ),
    "crackles": ("plug the cable in again and lower the bass by # steps", "turn the volume fully up and down # times"),
    "has lost its colour": ("soak it in salt water for # hours", "wash it # times with colour soap"),
    "has a hole": ("darn it with # rows of matching yarn", "close the hole with # stitches from behind"),
    "shrank in the wash": ("soak it for # minutes and pull it into shape", "lay it wet under a weight for # hours"),
    "sheds fibres": ("shake it out and dry it for # minutes with a wool ball", "brush it # times in one direction"),
    "smells of chemicals": ("hang it in fresh air for # hours", "wash it once and air it for # hours"),
}
