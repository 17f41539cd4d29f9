"""Prefect's settings for this project, in one place. A setting that the environment has already is left alone."""

import os
from pathlib import Path

import plumbline  # noqa: F401 (turns telemetry off)

DEFAULTS = {
    "PREFECT_HOME": str(Path.cwd() / ".prefect"),
    # The terminal shows what the flow prints; Prefect's own log goes to its API, where a run's page shows it.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
}

for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)
