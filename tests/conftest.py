"""What every test shares: no test writes into this project's own record of runs."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_record(tmp_path_factory):
    """MLflow's store for stages that a test calls without naming one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('record')}/mlflow.db")
        patch.delenv("DVC_STAGE", raising=False)
        yield
