import logging
import os

# Telemetry is off unless the environment asks for it. Before anything else: some packages look when imported.
# DO_NOT_TRACK is spelled out, as MLflow takes only "true".
for name, off in {
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}.items():
    os.environ.setdefault(name, off)

# DeepSpeed, which transformers imports, warns on every machine without a GPU that it runs on the CPU.
logging.getLogger("DeepSpeed").addFilter(lambda record: "Setting accelerator to CPU" not in record.getMessage())
