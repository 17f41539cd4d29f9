"""Stage `adapt`: what it refuses. What every stage promises is in test_contract.py, the maths in models/test_adapters.py."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from plumbline.errors import DataError, ParamsError
from plumbline.params import load_params
from tasks.adapt import adapt, refuse_overlong

PARAMS = load_params(Path("params.yaml")).adapt


def test_a_name_that_is_no_adapter_is_refused_with_those_that_are(tmp_path):
    with pytest.raises(ParamsError, match=r"adapt\.adapters has no summarize; it has summarise, sentiment, rewrite"):
        adapt(PARAMS, adapter="summarize", start=tmp_path, data=tmp_path, out=tmp_path / "out")


def test_a_row_that_the_soft_prompt_makes_longer_than_the_model_reads_is_refused():
    learned = SimpleNamespace(max_position_embeddings=512)
    refuse_overlong(512, learned, Path("data"), "sentiment")
    refuse_overlong(513, SimpleNamespace(), Path("data"), "sentiment")  # T5 counts no positions
    with pytest.raises(DataError, match=r"a row has 513 tokens, and the model reads 512; lower .*sentiment\.tokens"):
        refuse_overlong(513, learned, Path("data"), "sentiment")
