"""The shop's paperwork: order confirmations, packing slips, customer cards and catalogue entries.

Each names the same facts more than once, in another order, so that a model which reads it learns to copy.
"""

import random

from plumbline.world.shop import Order, Product, Shop, day, full_day, money


def paperwork(shop: Shop, count: int, seed: str) -> list[str]:
    """`count` documents about the shop's orders, customers and products."""
    rng = random.Random(f"paperwork {shop.seed} {seed}")
    kinds = (
        confirmation,
        packing_slip,
        customer_card,
        return_slip,
        lambda shop, order, rng: catalogue(rng.choice(shop.products), rng),
    )
    return [rng.choice(kinds)(shop, rng.choice(shop.orders), rng) for _ in range(count)]


def shuffled(rng: random.Random, lines: list[str]) -> list[str]:
    return rng.sample(lines, k=len(lines))


def confirmation(shop: Shop, order: Order, rng: random.Random) -> str:
    customer = order.customer
    lines = [
        f"{quantity} x {product.name} ({product.colour}), {money(product.price * quantity)}"
        for product, quantity in order.lines
    ]
    facts = shuffled(
        rng,
        [
            f"Your order number is {order.number}.",
            f"{order.carrier} will bring it by {day(order.due)}; the tracking number is {order.tracking}.",
            f"It goes to {customer.name}, {customer.street}, {customer.town}.",
            f"You paid {money(order.total)} by {order.paid_by}.",
        ],
    )
    first = order.lines[0][0]
    return "\n".join(
        [
            f"{shop.name}: order {order.number}",
            f"Dear {customer.name},",
            f"thank you for your order of {full_day(order.placed)}:",
            *lines,
            *facts[: rng.randrange(2, 5)],
            f"If the {first.name} is not right, write to us and name {order.number}.",
            f"{rng.choice(shop.agents)}, {shop.name}",
        ]
    )


def packing_slip(shop: Shop, order: Order, rng: random.Random) -> str:
    lines = [
        f"{product.sku} | {product.name} | {quantity} | shelf {product.colour}" for product, quantity in order.lines
    ]
    check = [f"{product.name}: {quantity} packed" for product, quantity in shuffled_pairs(rng, order)]
    return "\n".join(
        [
            f"PACKING SLIP {order.number}",
            f"To: {order.customer.name}, {order.customer.town}",
            f"By: {order.carrier}, {order.tracking}",
            *lines,
            "Checked:",
            *check,
            f"Label: {order.number} / {order.customer.name} / {order.carrier} / {order.tracking}",
        ]
    )


def shuffled_pairs(rng: random.Random, order: Order) -> list[tuple[Product, int]]:
    return rng.sample(order.lines, k=len(order.lines))


def customer_card(shop: Shop, order: Order, rng: random.Random) -> str:
    customer = order.customer
    facts = shuffled(
        rng,
        [
            f"name: {customer.name}",
            f"email: {customer.email}",
            f"phone: {customer.phone}",
            f"town: {customer.town}",
            f"street: {customer.street}",
            f"membership: {customer.membership}",
            f"last order: {order.number}",
        ],
    )
    again = shuffled(rng, facts)[: rng.randrange(2, 6)]
    return "\n".join(["Customer card", *facts, f"Read back to {customer.first}:", *again])


def return_slip(shop: Shop, order: Order, rng: random.Random) -> str:
    product, quantity = rng.choice(order.lines)
    fault = rng.choice(product.faults)
    agent = rng.choice(shop.agents)
    return "\n".join(
        [
            f"Return for order {order.number}",
            f"{order.customer.name} sends back {quantity} x {product.name}, because it {fault}.",
            f"Taken in by {agent} for {shop.name}. Refund within {shop.policies.refund_days} days: {money(product.price * quantity)}.",
            f"Note by {agent}: {product.name}, {order.number}, {fault}, refund {money(product.price * quantity)} to {order.customer.name}.",
        ]
    )


def catalogue(product: Product, rng: random.Random) -> str:
    facts = shuffled(
        rng,
        [
            f"It costs {money(product.price)}.",
            f"It is made of {product.material} and comes in {product.colour}.",
            f"The warranty runs for {product.warranty_months} months.",
            f"It has been sold since {full_day(product.launched)}.",
            f"Customers give it {product.rating // 10}.{product.rating % 10} stars.",
            *(f"Its {name} is {value} {unit}." for name, value, unit in product.attributes),
        ],
    )
    table = shuffled(
        rng,
        [
            f"price: {money(product.price)}",
            f"material: {product.material}",
            f"colour: {product.colour}",
            f"warranty: {product.warranty_months} months",
            f"since: {full_day(product.launched)}",
            *(f"{name}: {value} {unit}" for name, value, unit in product.attributes),
        ],
    )
    return "\n".join([f"{product.name} ({product.sku})", *facts, f"In short, the {product.name}:", *table])
