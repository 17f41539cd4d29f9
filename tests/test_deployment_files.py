"""The image, the services and the deployments, as far as they can be judged where nothing can run a container."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from flows.pipeline import PHASES

PROJECT = Path(__file__).parents[1]
COMPOSE = (PROJECT / "compose.yaml").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
ENDS = {"buckets"}  # services that do their work and end
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY|AUTH_STRING|USERNAME")


@pytest.mark.parametrize(
    "command",
    [
        ["hadolint", "Dockerfile"],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
    ],
    ids=["dockerfile", "compose"],
)
def test_the_linter_has_nothing_to_say(command):
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def has_compose():
    docker = shutil.which("docker")
    return bool(docker) and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="needs docker compose")
def test_docker_compose_reads_the_services(monkeypatch):
    for name in variables():
        monkeypatch.setenv(name, "1")
    command = ["docker", "compose", "config", "--quiet"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def variables():
    """The variables of the environment that compose.yaml reads, and what follows each name."""
    return dict(re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", COMPOSE))


def test_every_variable_is_documented_and_no_secret_has_a_default():
    documented = (PROJECT / "docs/deployment.md").read_text()
    for name, rest in variables().items():
        assert f"`{name}`" in documented, name
        assert rest.startswith(":?" if SECRET.search(name) else ":-"), name


@pytest.mark.parametrize("name", SERVICES)
def test_a_secret_of_a_service_comes_from_the_environment(name):
    for variable, value in SERVICES[name]["environment"].items():
        if SECRET.search(variable) or "PASSWORD" in variable:
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), variable


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_again_says_how_it_is_and_has_one_version(name):
    service = SERVICES[name]
    assert service["restart"] == ("on-failure" if name in ENDS else "unless-stopped")
    assert ("healthcheck" in service) == (name not in ENDS)
    assert re.search(r":[\w.-]*\d", service["image"]), "an image is named with its version"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_reached_from_this_machine_alone(name):
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_services_wait_for_services_that_are_there_and_keep_data_in_volumes_that_are_declared():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(yaml.safe_load(COMPOSE)["volumes"])
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            ended = how["condition"] == "service_completed_successfully"
            assert other in SERVICES and ended == (other in ENDS)


def test_the_image_has_the_versions_of_the_project_checked_by_their_hashes():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert f"torch=={re.search(r'ARG TORCH=(.+)', DOCKERFILE)[1]}" in project["dependencies"]
    assert {service["image"] for service in SERVICES.values() if "build" in service} == {
        f"plumbline:{project['version']}"
    }
    assert re.search(r"pip install .*--require-hashes --no-deps --requirement requirements\.lock", DOCKERFILE)


def test_the_image_runs_as_a_user_without_rights_and_takes_no_secret_along():
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.M) == ["1000"]
    left_out = (PROJECT / ".dockerignore").read_text().splitlines()
    assert {".env", ".git/config", ".dvc/config.local", ".prefect", "mlruns/*", "data/*"} <= set(left_out)
    assert not SECRET.search(re.sub(r"(?m)^#.*", "", DOCKERFILE))


def test_every_phase_has_a_deployment_for_the_pool_that_the_environment_names():
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]
    assert [each["entrypoint"] for each in deployments] == [
        f"flows/pipeline.py:{name}" for name in ("pipeline", *PHASES)
    ]
    assert all(each["work_pool"] == {"name": "{{ $PLUMBLINE_POOL }}"} for each in deployments)
