"""What full tuning, LoRA and a soft prompt keep in memory: weights, gradients, optimiser, and the measured peak.

    python -m benchmarks.memory                        # an untrained decoder of 40M weights, a minute on two cores
    python -m benchmarks.memory --hidden 192 --layers 6

Each kind is trained for some steps in a process of its own, as the peak of a process never falls. Peak means: resident
memory above what the process held before it made the model, or on a GPU what PyTorch had allocated. Prints a table.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from plumbline.params import Lora, Prompt, load_params

LORA: dict[str, Any] = {"kind": "lora", "tasks": ["any"], "start": "base", "rank": 8, "alpha": 16, "dropout": 0.0}
KINDS: dict[str, Lora | Prompt | None] = {
    "full": None,
    "LoRA, rank 8, attention": Lora(**LORA, targets="attention"),
    "LoRA, rank 8, attention+mlp": Lora(**LORA, targets="attention+mlp"),
    "soft prompt, 16 words": Prompt(kind="prompt", tasks=["any"], start="base", tokens=16, init="random"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=640)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--rows", type=int, default=8, help="of a batch")
    parser.add_argument("--tokens", type=int, default=128, help="of a row")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--tokenizer", type=Path, default=Path("artifacts/pretrain/causal"))
    parser.add_argument("--kind", choices=KINDS, help="train this kind here, and print its numbers as JSON")
    chosen = parser.parse_args()
    if chosen.kind:
        print(json.dumps(measured(chosen)))
        return
    print("| trained | weights | gradients | optimiser | peak |\n|---|---|---|---|---|")
    for kind in KINDS:
        command = [sys.executable, "-m", "benchmarks.memory", *sys.argv[1:], "--kind", kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        numbers = json.loads(done.stdout.splitlines()[-1])
        trained = f"{numbers['trained']:,} of {numbers['all']:,}"
        sizes = [f"{numbers[name] / 1e6:.1f} MB" for name in ("gradients", "optimiser", "peak")]
        print(f"| {kind} | {' | '.join([trained, *sizes])} |", flush=True)


def measured(chosen: argparse.Namespace) -> dict[str, int]:
    """Train one kind for some steps on random tokens, and count."""
    import torch

    from plumbline.models.adapters import Choice, attach, trainable
    from plumbline.models.load import load_tokenizer
    from plumbline.models.untrained import untrained_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = load_tokenizer(chosen.tokenizer)

    def model_of(hidden: int, layers: int) -> Any:
        sizes = {"hidden": hidden, "layers": layers, "heads": 4, "feed_forward": 3 * hidden}
        params = load_params(Path("params.yaml")).pretrain.model_copy(update=sizes)
        return untrained_model("causal", params, tokenizer).to(device)

    def batch(rows: list[list[int]]) -> dict[str, torch.Tensor]:
        ids = torch.tensor(rows, device=device)
        return {"input_ids": ids, "labels": ids.where(ids < len(tokenizer), -100)}

    trained(model_of(8, 1), 1, batch([[10, 11]]))  # what any training loads is no kind's own
    before = peak(device)
    model, settings = model_of(chosen.hidden, chosen.layers), KINDS[chosen.kind]
    adapter = attach(model, tokenizer, "measured", settings, 0) if settings else None
    rows = torch.randint(10, len(tokenizer), (chosen.rows, chosen.tokens)).tolist()
    optimiser = trained(model, chosen.steps, batch(Choice(model, adapter).prefixed(rows) if adapter else rows))
    weights = trainable(model)
    state = [value for each in optimiser.state.values() for value in each.values()]
    return {
        "trained": sum(weight.numel() for weight in weights),
        "all": model.num_parameters(),
        "gradients": sum(weight.grad.nbytes for weight in weights if weight.grad is not None),
        "optimiser": sum(value.nbytes for value in state),
        "peak": peak(device) - before,
    }


def trained(model: Any, steps: int, inputs: dict[str, Any]) -> Any:
    """AdamW after some steps over what is trainable."""
    import torch

    optimiser = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        model(**inputs).loss.backward()
        optimiser.step()
    return optimiser


def peak(device: str) -> int:
    """The most memory so far, in bytes."""
    import torch

    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
