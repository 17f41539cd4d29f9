"""A toy project that has been run once, for all tests of flows to copy."""

import pytest

from tests.flows import toy


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A toy project after its first run through the flow, with what the run printed, all committed."""
    root = toy.make(tmp_path_factory.mktemp("finished") / "project")
    done = toy.flow(root)
    assert done.returncode == 0, done.stdout + done.stderr
    status = toy.dvc(root, "status").strip()
    toy.commit(root)
    return root, done.stdout, status
