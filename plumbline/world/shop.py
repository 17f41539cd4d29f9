"""The facts of an invented mail-order shop: one consistent set, from which every row of the world is derived.

`make_shop(seed, ...)` draws a shop from a seed. The same seed gives the same shop on every machine: only
`random.Random` with a string seed, integers and text are used. Every other seed gives other names, prices,
dates and policies, so a model that reads many shops has to copy what it reads instead of remembering it.
"""

import datetime
import random
from dataclasses import dataclass

FIRST_NAMES = (
    "Ada Alma Anouk Anton Arlo Basil Bea Bruno Carla Cato Celia Cleo Dario Dora Edda Elin Elias Emil Esme Fabian Fay "
    "Felix Finn Flora Franka Greta Gus Hana Hector Hugo Ida Ines Iris Ivo Jana Jasper Jonas Juno Kaya Kit Klara Lars "
    "Lena Leo Levi Liv Lola Lotte Luka Maia Malin Marek Mila Mina Moritz Nadia Nell Nico Nils Noor Odile Olga Orla "
    "Oscar Otis Pia Priya Quinn Rafa Remy Rhea Robin Rosa Ruben Runa Sami Silas Sol Stella Sven Tess Theo Tilda Tove "
    "Ugo Una Vera Vito Wanda Wim Xenia Yara Yusuf Zeno Zora"
).split()
SYLLABLES = (
    "bal bar bel ber bo bran cal cor dal den dor dun el fal fen far gal gor hal har hel ir jor kal kel kor lan lin lo "
    "lun mar mel mir mor nal ner nor ol or pel per quin ral ren ril ros sal sel sor tal tam tor ul val vel ver vin wel "
    "wes yar zan zel zor"
).split()
NAME_ENDINGS = (
    "a an by da den er eth ford gren ham is ka ley lin low man mere mond na nik o os ova ren sen so ton vik".split()
)
TOWN_ENDINGS = "bridge by cliff dale field ford gate ham haven hill holm mere mouth port stead ton wick wood".split()
STREETS = "Abbey Alder Bank Canal Castle Chapel Church Cross Garden Harbour Hill Lake Linden Mill Orchard Park River Station".split()
COLOURS = "amber black blue bronze charcoal copper coral cream crimson green grey ivory navy olive plum red rust sand silver teal white yellow".split()
STYLES = "Alpine Breeze Cascade Classic Comet Cosy Drift Echo Ember Fjord Garden Harbour Horizon Lark Lumen Meadow Nomad Nova Orbit Pebble Prairie Quiet Ridge Ripple River Sable Solar Spruce Summit Swift Terra Tidal Vista Willow Zephyr".split()
CARRIERS = "Bluebird Post,Harrier Parcel,Kestrel Freight,Lantern Couriers,Northway Express,Otter Delivery,Pelican Line,Swallow Mail".split(
    ","
)
MONTHS = "January February March April May June July August September October November December".split()
INTENTS = ("late_delivery", "damaged_item", "wrong_item", "refund", "return", "cancel", "warranty", "product_question")
SENTIMENTS = ("angry", "disappointed", "neutral", "pleased")
MEMBERSHIPS = ("basic", "silver", "gold")

# A category: what it sells, what the things are made of, its own two attributes with unit and range, how it fails.
CATEGORIES = {
    "kitchen": (
        "kettle,toaster,blender,coffee grinder,rice cooker,frying pan,hand mixer,teapot".split(","),
        "steel,enamel,glass,ceramic,copper".split(","),
        (("capacity", "litres", 1, 6), ("power", "watts", 300, 2400)),
        "leaks at the base,does not heat up,has a loose handle,trips the fuse,rattles when it runs".split(","),
    ),
    "lighting": (
        "desk lamp,floor lamp,lantern,reading light,night light,string lights,bedside lamp".split(","),
        "brass,oak,linen,bamboo,aluminium".split(","),
        (("brightness", "lumens", 120, 1800), ("cable length", "metres", 1, 4)),
        "flickers,hums,has a cracked shade,goes out after a minute,gets too hot to touch".split(","),
    ),
    "outdoor": (
        "tent,backpack,sleeping bag,camping stove,hammock,trail lamp,water bottle,folding chair".split(","),
        "canvas,nylon,recycled polyester,aluminium,steel".split(","),
        (("weight", "grams", 180, 4200), ("season rating", "seasons", 1, 4)),
        "has a torn seam,lets water in,has a stuck zip,came without its poles,has a bent frame".split(","),
    ),
    "garden": (
        "watering can,pruning shears,plant pot,garden hose,bird feeder,rake,bench,compost bin".split(","),
        "zinc,cedar,terracotta,steel,recycled plastic".split(","),
        (("height", "centimetres", 12, 140), ("load", "kilograms", 2, 120)),
        "has a split handle,rusts already,drips at the joint,wobbles,came with a chip in the rim".split(","),
    ),
    "electronics": (
        "radio,alarm clock,bluetooth speaker,headset,weather station,power bank,keyboard,baby monitor".split(","),
        "plastic,walnut,aluminium,bamboo,steel".split(","),
        (("battery life", "hours", 6, 90), ("range", "metres", 8, 300)),
        "does not charge,loses the connection,shows the wrong time,has a dead key,crackles".split(","),
    ),
    "textiles": (
        "blanket,bath towel,cushion,curtain,rug,apron,duvet cover,scarf".split(","),
        "wool,cotton,linen,hemp,velvet".split(","),
        (("length", "centimetres", 40, 260), ("washing temperature", "degrees", 30, 90)),
        "has lost its colour,has a hole,shrank in the wash,sheds fibres,smells of chemicals".split(","),
    ),
}


@dataclass(frozen=True)
class Product:
    sku: str  # "KT-4821"
    name: str  # "Ember copper kettle"
    noun: str  # "kettle"
    category: str
    material: str
    colour: str
    price: int  # cents
    attributes: tuple[tuple[str, int, str], ...]  # (name, value, unit)
    warranty_months: int
    launched: datetime.date
    rating: int  # tenths of a star, 0 to 50
    in_stock: int
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Person:
    first: str
    last: str
    email: str
    phone: str
    town: str
    street: str
    membership: str

    @property
    def name(self) -> str:
        return f"{self.first} {self.last}"


@dataclass(frozen=True)
class Order:
    number: str  # "MB48213"
    customer: Person
    lines: tuple[tuple[Product, int], ...]  # (product, quantity), at least one
    placed: datetime.date
    due: datetime.date
    carrier: str
    tracking: str
    paid_by: str

    @property
    def total(self) -> int:
        """Price of all lines in cents, delivery excluded."""
        return sum(product.price * quantity for product, quantity in self.lines)


@dataclass(frozen=True)
class Policies:
    return_days: int
    refund_days: int
    delivery_days: int
    express_days: int
    delivery_fee: int  # cents
    express_fee: int  # cents
    free_from: int  # cents; delivery costs nothing from this order value on
    damage_report_days: int
    cancel_hours: int
    price_match_days: int
    gift_card_months: int
    repair_days: int
    restocking_percent: int
    points_per_mark: int
    gold_discount_percent: int
    support_opens: int  # hour of the day
    support_closes: int


@dataclass(frozen=True)
class Shop:
    seed: str
    name: str
    town: str
    policies: Policies
    products: tuple[Product, ...]
    customers: tuple[Person, ...]
    agents: tuple[str, ...]
    orders: tuple[Order, ...]


def money(cents: int) -> str:
    """Cents as the shop writes them: `48.90 marks`."""
    return f"{cents // 100}.{cents % 100:02d} marks"


def day(date: datetime.date) -> str:
    """A date as the shop writes it: `14 May`."""
    return f"{date.day} {MONTHS[date.month - 1]}"


def full_day(date: datetime.date) -> str:
    """A date with its year: `14 May 2031`."""
    return f"{day(date)} {date.year}"


def surname(rng: random.Random) -> str:
    return (rng.choice(SYLLABLES) + rng.choice(["", rng.choice(SYLLABLES)]) + rng.choice(NAME_ENDINGS)).capitalize()


def town(rng: random.Random) -> str:
    return (rng.choice(SYLLABLES) + rng.choice(TOWN_ENDINGS)).capitalize()


def make_person(rng: random.Random) -> Person:
    first, last = rng.choice(FIRST_NAMES), surname(rng)
    host = rng.choice(SYLLABLES) + rng.choice(["mail.example", "post.example", "box.example"])
    return Person(
        first=first,
        last=last,
        email=f"{first.lower()}.{last.lower()}{rng.choice(['', str(rng.randrange(10, 99))])}@{host}",
        phone=f"0{rng.randrange(100, 999)} {rng.randrange(100000, 999999)}",
        town=town(rng),
        street=f"{rng.randrange(1, 180)} {rng.choice(STREETS)} {rng.choice(['Street', 'Lane', 'Road', 'Way'])}",
        membership=rng.choice(MEMBERSHIPS),
    )


def make_product(rng: random.Random) -> Product:
    category = rng.choice(list(CATEGORIES))
    nouns, materials, attributes, faults = CATEGORIES[category]
    noun, material = rng.choice(nouns), rng.choice(materials)
    return Product(
        sku=f"{noun[:1].upper()}{noun[-1].upper()}-{rng.randrange(1000, 9999)}",
        name=f"{rng.choice(STYLES)} {material} {noun}",
        noun=noun,
        category=category,
        material=material,
        colour=rng.choice(COLOURS),
        price=rng.randrange(8, 260) * 100 + rng.choice([0, 50, 90, 95, 99]),
        attributes=tuple((name, rng.randrange(low, high + 1), unit) for name, unit, low, high in attributes),
        warranty_months=rng.choice([6, 12, 18, 24, 36, 60]),
        launched=datetime.date(rng.randrange(2026, 2032), rng.randrange(1, 13), rng.randrange(1, 29)),
        rating=rng.randrange(21, 50),
        in_stock=rng.randrange(0, 90),
        faults=tuple(faults),
    )


def make_order(rng: random.Random, policies: Policies, customer: Person, products: tuple[Product, ...]) -> Order:
    placed = datetime.date(2032, 1, 1) + datetime.timedelta(days=rng.randrange(0, 360))
    chosen = rng.sample(products, k=min(len(products), rng.choice([1, 1, 1, 2, 2, 3])))
    return Order(
        number=f"{''.join(rng.sample('ABCDEFGHJKLMNPRSTUVWXYZ', 2))}{rng.randrange(10000, 99999)}",
        customer=customer,
        lines=tuple((product, rng.choice([1, 1, 1, 2, 3])) for product in chosen),
        placed=placed,
        due=placed + datetime.timedelta(days=policies.delivery_days),
        carrier=rng.choice(CARRIERS),
        tracking=f"{rng.choice('ABCDEFGH')}{rng.randrange(1000000, 9999999)}",
        paid_by=rng.choice(["card", "bank transfer", "gift card", "instalments"]),
    )


def make_policies(rng: random.Random) -> Policies:
    opens = rng.randrange(7, 11)
    return Policies(
        return_days=rng.choice([14, 21, 28, 30, 45, 60]),
        refund_days=rng.randrange(3, 12),
        delivery_days=rng.randrange(3, 9),
        express_days=rng.randrange(1, 3),
        delivery_fee=rng.randrange(2, 8) * 100 + rng.choice([0, 50, 90]),
        express_fee=rng.randrange(9, 18) * 100 + rng.choice([0, 50, 90]),
        free_from=rng.choice([40, 50, 60, 75, 80, 100]) * 100,
        damage_report_days=rng.randrange(2, 11),
        cancel_hours=rng.choice([2, 4, 6, 12, 24]),
        price_match_days=rng.choice([7, 10, 14, 21]),
        gift_card_months=rng.choice([12, 18, 24, 36]),
        repair_days=rng.randrange(6, 25),
        restocking_percent=rng.choice([5, 8, 10, 12, 15]),
        points_per_mark=rng.choice([1, 2, 3, 5]),
        gold_discount_percent=rng.choice([3, 5, 7, 10, 12]),
        support_opens=opens,
        support_closes=opens + rng.randrange(8, 12),
    )


def make_shop(seed: str, *, products: int, customers: int, agents: int, orders: int) -> Shop:
    """Draw a shop. `seed` is any text; the counts are at least 1. SKUs and order numbers are unique in a shop."""
    rng = random.Random(f"shop {seed}")
    policies = make_policies(rng)
    name = f"{rng.choice(SYLLABLES).capitalize()}{rng.choice(SYLLABLES)} {rng.choice(['Mail Order', 'and Daughters', 'Home Supply', 'Trading', 'Direct'])}"
    by_sku: dict[str, Product] = {}
    while len(by_sku) < products:
        product = make_product(rng)
        by_sku.setdefault(product.sku, product)
    stock = tuple(by_sku.values())
    people = tuple(make_person(rng) for _ in range(customers))
    by_number: dict[str, Order] = {}
    while len(by_number) < orders:
        order = make_order(rng, policies, rng.choice(people), stock)
        by_number.setdefault(order.number, order)
    return Shop(
        seed=seed,
        name=name,
        town=town(rng),
        policies=policies,
        products=stock,
        customers=people,
        agents=tuple(rng.sample(FIRST_NAMES, k=min(agents, len(FIRST_NAMES)))),
        orders=tuple(by_number.values()),
    )
