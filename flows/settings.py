"""Prefect's settings for this project, in one place. A setting that the environment has already is left alone."""

import os
from pathlib import Path

import plumbline  # noqa: F401 (turns telemetry off)

DEFAULTS = {
    "PREFECT_HOME": str(Path.cwd() / ".prefect"),
    # The terminal shows what the flow prints; Prefect's own log goes to its API, where a run's page shows it.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds until a run starts that was asked for
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # seconds; flows/serve.py has the server listen
    # The newer UI looks for hosts on the net, even with analytics off; the older one never does.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}

for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)
