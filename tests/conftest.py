"""What every test shares: no test writes into this project's own record of runs, or goes on from its checkpoints."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_record(tmp_path_factory):
    """MLflow's store for stages that a test calls without naming one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path_factory.mktemp('record')}/mlflow.db")
        patch.setenv("PLUMBLINE_CHECKPOINTS", str(tmp_path_factory.mktemp("checkpoints")))
        patch.delenv("DVC_STAGE", raising=False)
        yield


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A store for the tests of one file, made once: making it takes a second."""
    from mlflow import MlflowClient

    address = f"sqlite:///{tmp_path_factory.mktemp('record')}/mlflow.db"
    MlflowClient(address).search_experiments()
    return address


class NoStore:
    """Takes everything and keeps nothing: creating MLflow's database takes longer than all of these tests."""

    run, parent = "run", None

    def __init__(self, *_):
        pass

    def __getattr__(self, _):
        return lambda *_: None


@pytest.fixture
def no_store(monkeypatch):
    """For tests of what a stage makes, not of what MLflow records."""
    monkeypatch.setattr("plumbline.tracking.Store", NoStore)
