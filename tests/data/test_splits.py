"""Splits: by group, by hash, and the same for ever."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from plumbline.data.splits import SPLITS, connected, joined_groups, split_of

KEYS = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=3), max_size=12)


def test_the_split_of_a_group_is_fixed_for_ever():
    # printf "7 group-$n" | sha256sum: the first 16 digits begin with dd, 7b, e4, 10, 37, d3, 83, 8c, of 0x100
    assert [split_of(f"group-{number}", 7, 0.2, 0.3) for number in range(8)] == [
        "train", "validation", "train", "test", "test", "train", "train", "train",
    ]  # fmt: skip


def test_shares_are_met_and_another_seed_splits_otherwise():
    groups = [f"dialogue-{number}" for number in range(4000)]
    splits = [split_of(group, 1, 0.05, 0.15) for group in groups]
    share = Counter(splits)
    assert abs(share["test"] / 4000 - 0.15) < 0.02
    assert abs(share["validation"] / 4000 - 0.05) < 0.01
    assert splits != [split_of(group, 2, 0.05, 0.15) for group in groups]


@given(st.text(), st.integers())
def test_a_share_of_nothing_gets_nothing(group, seed):
    assert split_of(group, seed, 0.0, 0.0) == "train"
    assert split_of(group, seed, 0.0, 1.0) == "test"
    assert split_of(group, seed, 0.3, 0.3) in SPLITS


@given(KEYS)
def test_rows_are_connected_just_when_a_walk_over_shared_keys_leads_from_one_to_the_other(keys):
    def reach(start):
        seen, todo = {start}, [start]
        while todo:
            row = todo.pop()
            for other in range(len(keys)):
                if other not in seen and set(keys[row]) & set(keys[other]):
                    seen.add(other)
                    todo.append(other)
        return seen

    assert connected(keys) == [min(reach(row)) for row in range(len(keys))]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("123456")), max_size=15), st.randoms())
def test_rows_that_share_a_group_or_a_text_are_in_one_group_whatever_their_order(rows, draw):
    joined = dict(zip(rows, joined_groups([g for g, _ in rows], [t for _, t in rows]), strict=True))
    for one in rows:
        for other in rows:
            if one[0] == other[0] or one[1] == other[1]:
                assert joined[one] == joined[other]
    shuffled = draw.sample(rows, len(rows))
    assert joined == dict(zip(shuffled, joined_groups([g for g, _ in shuffled], [t for _, t in shuffled]), strict=True))


def test_a_row_that_is_added_moves_no_other():
    groups, texts = [f"g{number}" for number in range(50)], [f"t{number}" for number in range(50)]
    assert joined_groups([*groups, "new"], [*texts, "new"])[:50] == joined_groups(groups, texts)
