"""bfloat16 where the processor has it, and float32 where it does not: there bfloat16 takes many times as long."""

from typing import TypeVar

import torch

from plumbline.params import Section

# What torch calls the instructions that multiply in bfloat16, of x86 and of Arm.
INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")

Knobs = TypeVar("Knobs", bound=Section)


def on_this_machine(params: Knobs, stage: str) -> Knobs:
    """The knobs with a precision that this machine computes in, and a line on the terminal where that is another."""
    if params.precision == "float32" or has_bfloat16():  # type: ignore[attr-defined]
        return params
    print(f"{stage}: this processor has no bfloat16, so it computes in float32", flush=True)
    return params.model_copy(update={"precision": "float32"})


def has_bfloat16() -> bool:
    """Whether the GPU, or the processor where there is none, multiplies in bfloat16 by itself."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities()
    return any(known.get(each, False) for each in INSTRUCTIONS)
