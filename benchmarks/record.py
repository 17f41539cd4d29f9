"""Where the result of a benchmark goes: <what>__<machine>__<date>__<commit>.json."""

import os
import platform
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from plumbline.store import write_json

RESULTS = Path(__file__).parent / "results"


def record(folder: Path, what: str, result: dict[str, Any]) -> Path:
    """Write a result and its date under the name that says what, where, when and of which commit; the file."""
    today = date.today().isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{what}__{machine()}__{today}__{commit() or 'none'}.json"
    write_json(file, {"date": today, **result})
    return file


def machine() -> str:
    """What ran it: the accelerator, where the benchmark has loaded PyTorch and there is one, or the processor and its cores."""
    torch = sys.modules.get("torch")
    name = (
        torch.cuda.get_device_name()
        if torch and torch.cuda.is_available()
        else f"{platform.machine()}-{os.cpu_count()}cores"
    )
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def commit() -> str:
    """The commit in short; empty without a repository."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True).stdout.strip()
