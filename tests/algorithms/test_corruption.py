import pytest
import torch

from plumbline.algorithms.corruption import mask_tokens, noise_spans, random_partition, span_corruption


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_the_example_of_the_docstring_comes_out():
    ids = torch.tensor([10, 11, 12, 13, 14, 15, 16])
    hidden = torch.tensor([False, False, True, True, False, True, False])
    source, target = span_corruption(ids, hidden, torch.tensor([90, 91, 92]), end=2)
    assert source.tolist() == [10, 11, 90, 14, 91, 16, 2]
    assert target.tolist() == [90, 12, 13, 91, 15, 2]


def restored(source: list[int], target: list[int], sentinels: list[int]) -> list[int]:
    """The slow inverse: put what the target spells after each sentinel back into the source."""
    spans: dict[int, list[int]] = {}
    for token in target[:-1]:
        if token in sentinels:
            spans[token] = current = []
        else:
            current.append(token)
    return [part for token in source[:-1] for part in spans.get(token, [token])]


@pytest.mark.parametrize("length", [2, 3, 7, 64, 512])
def test_source_and_target_together_hold_the_whole_text(length, generator):
    sentinels = torch.arange(9000, 9096)
    ids = torch.randint(3, 8000, (length,), generator=generator)
    for _ in range(20):
        hidden = noise_spans(length, 0.15, 3.0, generator)
        source, target = span_corruption(ids, hidden, sentinels, end=2)
        assert restored(source.tolist(), target.tolist(), sentinels.tolist()) == ids.tolist()


def test_fifteen_percent_is_hidden_in_spans_of_three(generator):
    hidden = noise_spans(512, 0.15, 3.0, generator)
    starts = hidden & ~torch.cat([torch.tensor([False]), hidden[:-1]])
    assert int(hidden.sum()) == round(512 * 0.15)
    assert int(starts.sum()) == round(round(512 * 0.15) / 3.0)


def test_too_few_sentinels_are_an_error_not_a_wrong_target(generator):
    hidden = torch.tensor([False, True] * 4)
    with pytest.raises(ValueError, match="sentinels"):
        span_corruption(torch.arange(8), hidden, torch.tensor([90]), end=2)


def test_every_way_to_divide_is_equally_likely(generator):
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(6000):
        parts = tuple(random_partition(5, 3, generator).tolist())
        assert sum(parts) == 5 and min(parts) >= 1
        counts[parts] = counts.get(parts, 0) + 1
    assert len(counts) == 6
    assert max(counts.values()) - min(counts.values()) < 200  # five standard deviations of 1,000 +- 29


def test_masking_follows_eighty_ten_ten_and_spares_special_tokens(generator):
    ids = torch.randint(10, 1000, (100, 500), generator=generator)
    may_hide = ids >= 100
    hidden, chosen = mask_tokens(ids, may_hide, 0.15, mask=3, vocabulary=1000, generator=generator)
    assert not (chosen & ~may_hide).any()
    assert chosen[may_hide].float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (hidden == 3)[chosen].float().mean().item() == pytest.approx(0.8, abs=0.02)
    assert (hidden == ids)[chosen].float().mean().item() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(hidden[~chosen], ids[~chosen])
