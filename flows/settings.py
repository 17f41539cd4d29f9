"""Settings of Prefect and MLflow for this project, in one place. One that the environment has already is left alone.

docs/deployment.md tells which of them a deployment changes, and which secrets only the environment may hold.
"""

import os
from pathlib import Path

import plumbline  # noqa: F401 (turns telemetry off)

HOST = os.environ.get("PLUMBLINE_HOST", "127.0.0.1")  # where servers listen: this machine alone, unless told otherwise
PREFECT_PORT = int(os.environ.get("PLUMBLINE_PREFECT_PORT", "4200"))
MLFLOW_PORT = int(os.environ.get("PLUMBLINE_MLFLOW_PORT", "5000"))

DEFAULTS = {
    "PREFECT_HOME": str(Path.cwd() / ".prefect"),
    # The terminal shows what the flow prints; Prefect's own log goes to its API, where a run's page shows it.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_RUNNER_POLL_FREQUENCY": "2",  # seconds until a run starts that was asked for
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # seconds; flows/serve.py has the server listen
    # The newer UI looks for hosts on the net, even with analytics off; the older one never does.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_API_HOST": HOST,
    "PREFECT_SERVER_API_PORT": str(PREFECT_PORT),
    # A page of another site, open in the same browser, must not reach the API: by default, Prefect lets every one.
    "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
        f"http://{host}:{PREFECT_PORT}" for host in dict.fromkeys((HOST, "127.0.0.1", "localhost"))
    ),
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",  # by default Prefect reads results as pickles, which can run code
    "MLFLOW_HOST": HOST,
    "MLFLOW_PORT": str(MLFLOW_PORT),
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # jobs run code in the server, and nothing here needs them
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # reading a pickle runs code, and nothing here writes one
    # Used once a password is set, see docs/deployment.md: who is not known sees nothing, by default one reads all.
    "MLFLOW_AUTH_CONFIG_PATH": str(Path(__file__).with_name("mlflow_auth.ini")),
}

for name, value in DEFAULTS.items():
    os.environ.setdefault(name, value)
