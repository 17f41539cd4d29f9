"""bfloat16 is for processors that have it; on others it takes many times as long as float32."""

from pathlib import Path

import pytest
import torch

from plumbline.models.precision import has_bfloat16, on_this_machine
from plumbline.params import load_params

INSTRUCT = load_params(Path("params.yaml")).instruct


def processor(monkeypatch, **known):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)


@pytest.mark.parametrize(
    ("known", "has"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": True}, True),
        ({"architecture": "aarch64", "neon": True, "bf16": True}, True),
        ({"architecture": "aarch64", "neon": True, "bf16": False}, False),
    ],
)
def test_a_processor_has_bfloat16_or_not(monkeypatch, known, has):
    processor(monkeypatch, **known)
    assert has_bfloat16() == has


def test_this_machines_processor_can_be_asked():
    known = torch.cpu.get_capabilities()
    assert known["architecture"]
    assert {"avx512_bf16", "amx_bf16"} <= set(known) or "bf16" in known


def test_a_gpu_that_only_pretends_does_not_count(monkeypatch):
    processor(monkeypatch, avx512_bf16=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not has_bfloat16()


def test_without_it_the_knobs_say_float32_and_so_does_a_line(monkeypatch, capsys):
    processor(monkeypatch, avx2=True)
    wanted = INSTRUCT.model_copy(update={"precision": "bfloat16"})
    assert on_this_machine(wanted, "instruct") == wanted.model_copy(update={"precision": "float32"})
    assert capsys.readouterr().out == "instruct: this processor has no bfloat16, so it computes in float32\n"


@pytest.mark.parametrize(("wanted", "known"), [("float32", {"avx2": True}), ("bfloat16", {"avx512_bf16": True})])
def test_what_the_processor_has_is_left_as_it_is(monkeypatch, capsys, wanted, known):
    processor(monkeypatch, **known)
    params = INSTRUCT.model_copy(update={"precision": wanted})
    assert on_this_machine(params, "instruct") is params
    assert capsys.readouterr().out == ""
