"""What a training loop needs to go on exactly where it was: tensors as safetensors, the rest as JSON, nothing pickled."""

import errno
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from plumbline.store import read_json, write_json


def save_state(folder: Path, model: torch.nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> None:
    """All that every training loop shares: the weights that learn, their optimisers, the random numbers to come."""
    save_weights(folder, model)
    save_optimisers(folder, optimisers)
    save_random(folder)


def save_weights(folder: Path, model: torch.nn.Module) -> None:
    """The weights that learn; all others are those of the model that the stage reads."""
    write_tensors(folder / "weights.safetensors", learning(model))


def load_weights(folder: Path, model: torch.nn.Module) -> None:
    """Put the weights of a checkpoint into `model`, all of them or none."""
    saved, own = load_file(folder / "weights.safetensors"), learning(model)
    if {name: each.shape for name, each in saved.items()} != {name: each.shape for name, each in own.items()}:
        raise ValueError(f"{folder}: not the weights that this model learns")
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(saved[name])


def learning(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def save_optimisers(folder: Path, optimisers: Sequence[torch.optim.Optimizer]) -> None:
    """Moments, step counts and the values of each group."""
    tensors: dict[str, Tensor] = {}
    groups: list[Any] = []
    for place, optimiser in enumerate(optimisers):
        state = optimiser.state_dict()
        groups.append(state["param_groups"])
        for weight, values in state["state"].items():
            tensors |= {f"{place}.{weight}.{name}": tensor for name, tensor in values.items()}
    write_tensors(folder / "optimisers.safetensors", tensors)
    write_json(folder / "optimisers.json", groups)


def load_optimisers(folder: Path, optimisers: Sequence[torch.optim.Optimizer]) -> None:
    groups: list[Any] = read_json(folder / "optimisers.json")
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimisers]
    for name, tensor in load_file(folder / "optimisers.safetensors").items():
        place, weight, value = name.split(".")
        states[int(place)].setdefault(int(weight), {})[value] = tensor
    for optimiser, state, group in zip(optimisers, states, groups, strict=True):
        optimiser.load_state_dict({"state": state, "param_groups": group})


def save_random(folder: Path) -> None:
    """The random numbers still to come, of Python, numpy, torch and every GPU."""
    tensors = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors |= {f"cuda.{place}": state for place, state in enumerate(torch.cuda.get_rng_state_all())}
    name, words, *rest = numpy.random.get_state(legacy=True)
    write_tensors(folder / "random.safetensors", tensors)
    write_json(
        folder / "random.json", {"python": random.getstate(), "numpy": [name, [int(word) for word in words], *rest]}
    )


def load_random(folder: Path) -> None:
    tensors, words = load_file(folder / "random.safetensors"), read_json(folder / "random.json")
    torch.set_rng_state(tensors["cpu"])
    for place in range(torch.cuda.device_count()):
        if f"cuda.{place}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda.{place}"], place)
    version, numbers, gauss = words["python"]
    random.setstate((version, tuple(numbers), gauss))
    numpy.random.set_state(tuple(words["numpy"]))


def write_tensors(file: Path, tensors: dict[str, Tensor]) -> None:
    """Write safetensors; a full or failing disk is the OSError that it is everywhere else."""
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, file)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        raise OSError(int(code[1]) if code else errno.EIO, str(error)) from error
