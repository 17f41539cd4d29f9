"""The grader agrees with every grade that is known, and is not talked into a good one."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plumbline.world.grading import grade, kind
from plumbline.world.replies import replies, score
from plumbline.world.shop import make_shop

FACTS = {
    "order": "WF28716",
    "names": ["Hana Dunnik", "Hana"],
    "statements": [
        {"answers": ["The tracking number is {}.", "You can trace it under {}."], "value": "D8741438", "asked": True},
        {"answers": ["We have {} in stock.", "The stock stands at {}."], "value": "54", "asked": True},
        {"answers": ["You can call until {}."], "value": "18 o'clock", "asked": False},
    ],
}
START, END = "Hello Hana, thank you for writing to us.", "Kind regards, Ruben"
TRACKING, STOCK = "The tracking number is D8741438.", "We have 54 in stock."
BEST = f"{START} {TRACKING} {STOCK} {END}"


def grades(text: str) -> tuple[float, ...]:
    return tuple(grade(text, FACTS).values())


def gold(text: str) -> float:
    return score(grade(text, FACTS))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6))
def test_the_grader_agrees_with_every_known_grade_of_any_shop(seed: int) -> None:
    shop = make_shop(str(seed), products=12, customers=12, agents=4, orders=20)
    for row in replies(shop, 40, "law", noise=0.1, raters=1):
        assert [grade(text, row["facts"]) for text in row["replies"]] == row["rubric"]


@pytest.mark.parametrize(
    ("text", "correct", "complete", "polite", "concise"),
    [
        (BEST, 1, 1, 1, 1),
        (f"{TRACKING} {STOCK}", 1, 1, 0.5, 1),
        (f"{START} {TRACKING} {END}", 1, 0.5, 1, 1),
        # what is not there
        ("", 0, 0, 0, 0),
        (" \n ", 0, 0, 0, 0),
        (f"{START} {END}", 0, 0, 1, 0),
        (START, 0, 0, 0.5, 0),
        ("Your order is WF28716.", 0, 0, 0, 0),
        # garbage
        ("of of of the the", 0, 0, 0, 0),
        ("D8741438 54", 0, 0, 0, 0),
        ("The tracking number is the tracking number is.", 0, 0, 0, 0),
        (f"{BEST} blah blah", 1, 1, 0.5, 0.5),
        (f"{START} {TRACKING} {STOCK} blah. xyz. oh. {END}", 1, 1, 1, 0),
        # both or all values
        (f"{START} {TRACKING} The tracking number is D8741439. {STOCK} {END}", 0.5, 1, 1, 0.5),
        (f"{START} The tracking number is D8741438 or D8741439. {STOCK} {END}", 0.5, 0.5, 1, 0.5),
        (f"{START} We have 53 in stock. {STOCK} The stock stands at 55. {END}", 0, 0.5, 1, 0.5),
        # a value of another kind is no answer; of the same kind it is a wrong one
        (f"{START} The tracking number is Ruben. {STOCK} {END}", 1, 0.5, 1, 0.5),
        (f"{START} The tracking number is D874. {STOCK} {END}", 0.5, 1, 1, 1),
        # what nobody asked: right, wrong, and made up
        (f"{START} {TRACKING} {STOCK} You can call until 18 o'clock. {END}", 1, 1, 1, 0.5),
        (f"{START} {TRACKING} {STOCK} You can call until 17 o'clock. {END}", 0.67, 1, 1, 0.5),
        (f"{START} {TRACKING} {STOCK} A refund takes 9 days. {END}", 0.67, 1, 1, 0.5),
        # the order
        (f"{START} About WF28716: {TRACKING} {STOCK} {END}", 1, 1, 1, 1),
        (f"{START} Your order is WF28717. {TRACKING} {STOCK} {END}", 0.67, 1, 1, 1),
        # again and again
        (f"{START} {TRACKING} {TRACKING} {STOCK} {END}", 1, 1, 1, 0.5),
        (f"{START} {' '.join([TRACKING] * 9)} {STOCK} {END}", 1, 1, 1, 0),
        (f"{START} {TRACKING} You can trace it under D8741438. {STOCK} {END}", 1, 1, 1, 0.5),
        (f"{BEST} {BEST}", 1, 1, 1, 0),
        (f"{START} {TRACKING} {STOCK} {'blah ' * 80}. {END}", 1, 1, 1, 0),
        # manners
        (f"{START} {TRACKING} {STOCK} Use your head. {END}", 1, 1, 1, 0.5),
        (f"{START} {TRACKING} {STOCK} Next time use your head. {END}", 1, 1, 0, 0.5),
        (f"Hello Petra, thank you for writing to us. {TRACKING} {STOCK} {END}", 1, 1, 0.5, 0.5),
        (f"Noted. {TRACKING} {STOCK} Done.", 1, 1, 0.5, 1),
    ],
)
def test_grades_of_replies_worked_out_by_hand(
    text: str, correct: float, complete: float, polite: float, concise: float
) -> None:
    assert grades(text) == (correct, complete, polite, concise)


def test_glueing_repeating_and_cutting_never_raise_the_score() -> None:
    random_words = random.Random("glue")
    words = BEST.split()
    for _ in range(200):
        place = random_words.randrange(len(words) + 1)
        glued = [*words[:place], *random_words.choices(words, k=random_words.randrange(1, 12)), *words[place:]]
        assert gold(" ".join(glued)) < 1
    assert all(gold(" ".join(words[:end])) < 1 for end in range(len(words)))


@given(st.text(max_size=200))
def test_a_text_of_any_characters_gets_grades_between_0_and_1_and_is_worth_little(text: str) -> None:
    assert all(0 <= each <= 1 for each in grades(text))
    assert gold(text) < 0.3


@given(st.lists(st.sampled_from([START, END, TRACKING, STOCK, "We have 55 in stock.", "Noted.", "oh"]), max_size=12))
def test_no_choice_of_sentences_beats_the_good_reply(sentences: list[str]) -> None:
    text = " ".join(sentences)
    assert gold(text) <= 1
    assert gold(text) < 1 or (sentences[0], sentences[-1]) == (START, END)


def test_values_of_one_kind_look_alike() -> None:
    assert kind("7 days") == kind("30 days") == kind("92.50 marks")
    assert kind("12 February") == kind("3 May") != kind("12 days")
    assert kind("Swallow Mail") == kind("Kestrel Freight") != kind("swallow mail")
    assert len({kind(value) for value in ("D8741438", "54", "7 days", "3 May", "Otter Delivery")}) == 5
