"""Who may reach the servers, what they refuse, and where a secret never turns up. With real servers and a real run."""

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack

import psutil
import pytest

from plumbline import tracking
from plumbline.errors import PlumblineError
from tests import servers
from tests.flows import toy

PREFECT_USER, MLFLOW_USER = "admin:canary-of-prefect", "admin:canary-of-mlflow"
JSON = {"Content-Type": "application/json"}
CANARIES = {
    "PREFECT_API_AUTH_STRING": PREFECT_USER,
    "PREFECT_SERVER_API_AUTH_STRING": PREFECT_USER,
    "MLFLOW_AUTH_ADMIN_PASSWORD": "canary-of-mlflow",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "canary-of-the-session-key",
    "MLFLOW_TRACKING_PASSWORD": "canary-of-an-unused-password",
    "AWS_SECRET_ACCESS_KEY": "canary-of-the-object-storage",
    "HF_TOKEN": "canary-of-the-model-hub",
    "PREFECT_SERVER_DATABASE_PASSWORD": "canary-of-the-database",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """Both servers with a password each: their folder, the environment that they got, and their processes."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "mlruns").mkdir()
    environment = servers.environment(folder, **CANARIES)
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlruns/mlflow.db"]
    store += ["--artifacts-destination", f"{folder}/mlruns/artifacts", "--workers", "1"]
    with ExitStack() as stack:
        started = {
            "prefect": ["prefect", "server", "start"],
            "mlflow": ["mlflow", "server", "--app-name", "basic-auth", *store],
        }
        processes = {
            name: stack.enter_context(servers.running(folder, environment, name, *command))
            for name, command in started.items()
        }
        servers.wait_for(prefect(environment, "health"), processes["prefect"], folder / "prefect.log")
        servers.wait_for(mlflow_at(environment, "health"), processes["mlflow"], folder / "mlflow.log")
        yield folder, environment, processes


def prefect(environment, path):
    return f"{environment['PREFECT_API_URL']}/{path}"


def mlflow_at(environment, path):
    return f"http://127.0.0.1:{environment['MLFLOW_PORT']}/{path}"


def ask(address, user=None, content=None, **headers):
    """Status and text of the answer; `user` is NAME:PASSWORD, `content` is posted as JSON."""
    if user:
        headers["Authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
    data = None if content is None else json.dumps(content).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, {**JSON, **headers}), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.parametrize("user", [None, "admin:wrong", "nobody:canary-of-prefect", "admin:"])
def test_without_the_right_password_prefect_and_mlflow_tell_nothing(guarded, user):
    _, environment, _ = guarded
    assert ask(prefect(environment, "admin/version"), user)[0] == 401
    assert ask(prefect(environment, "csrf-token?client=me"), user)[0] == 401
    assert ask(prefect(environment, "flow_runs/filter"), user, {})[0] == 403  # for want of such a token
    assert ask(mlflow_at(environment, "api/2.0/mlflow/experiments/search"), user, {"max_results": 1})[0] == 401
    assert ask(mlflow_at(environment, "ajax-api/3.0/jobs/"), user, {"job_name": "any", "params": {}})[0] == 401
    assert ask(mlflow_at(environment, ""), user)[0] == 401


def test_with_the_password_both_answer(guarded):
    _, environment, _ = guarded
    assert ask(prefect(environment, "admin/version"), PREFECT_USER)[0] == 200
    status, text = ask(mlflow_at(environment, "api/2.0/mlflow/experiments/search"), MLFLOW_USER, {"max_results": 1})
    assert status == 200 and "experiments" in json.loads(text)


def test_both_listen_on_this_machine_alone(guarded):
    _, environment, processes = guarded
    for name, port in {"prefect": environment["PREFECT_SERVER_API_PORT"], "mlflow": environment["MLFLOW_PORT"]}.items():
        process = psutil.Process(processes[name].pid)
        connections = [each for one in (process, *process.children(recursive=True)) for each in one.net_connections()]
        listening = {each.laddr for each in connections if each.status == psutil.CONN_LISTEN}
        assert ("127.0.0.1", int(port)) in listening
        assert {address.ip for address in listening} == {"127.0.0.1"}


def test_another_host_is_a_matter_of_one_variable():
    code = "import flows, os; print(os.environ['PREFECT_SERVER_API_HOST'], os.environ['MLFLOW_HOST'])"
    printed = [
        subprocess.run(
            [sys.executable, "-c", code], env=toy.environment(**extra), capture_output=True, text=True
        ).stdout
        for extra in ({}, {"PLUMBLINE_HOST": "192.0.2.7"})
    ]
    assert printed == ["127.0.0.1 127.0.0.1\n", "192.0.2.7 192.0.2.7\n"]


def test_a_page_of_another_site_reaches_neither(guarded):
    _, environment, _ = guarded
    elsewhere = {"Origin": "http://elsewhere.example"}
    status, text = ask(prefect(environment, "flow_runs/filter"), PREFECT_USER, {}, **elsewhere)
    assert (status, json.loads(text)) == (403, {"detail": "Missing CSRF token."})
    request = urllib.request.Request(prefect(environment, "health"), headers=elsewhere)
    with urllib.request.urlopen(request) as answer:
        assert "access-control-allow-origin" not in answer.headers  # so that a browser keeps the answer from the page
    search = mlflow_at(environment, "api/2.0/mlflow/experiments/search")
    assert ask(search, MLFLOW_USER, {"max_results": 1}, **elsewhere)[0] == 403
    assert ask(search, MLFLOW_USER, {"max_results": 1}, Host="elsewhere.example")[0] == 403  # a name that was rebound


def test_mlflow_runs_no_jobs(guarded):
    _, environment, processes = guarded
    job = {"job_name": "invoke_scorer", "params": {}}
    status, text = ask(mlflow_at(environment, "ajax-api/3.0/jobs/"), MLFLOW_USER, job)
    assert status == 500 and "job execution feature is not enabled" in text
    below = psutil.Process(processes["mlflow"].pid).children(recursive=True)
    assert not [each for each in below if "mlflow.server.jobs" in " ".join(each.cmdline())]  # who would run them


PICKLE = """
import os, pickle
from pathlib import Path
import flows, mlflow

class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return model_input

class Trap:  # what a stranger would put there: reading it makes a folder
    def __reduce__(self):
        return os.mkdir, ("sprung",)

mlflow.pyfunc.save_model("model", python_model=Echo(), pip_requirements=[])
Path("model/python_model.pkl").write_bytes(pickle.dumps(Trap()))
for allowed in (os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"], "true"):
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = allowed
    try:
        mlflow.pyfunc.load_model("model")
    except Exception as error:
        print(allowed, Path("sprung").exists(), "using pickle is disallowed" in str(error))
"""


def test_mlflow_reads_no_pickle(tmp_path):
    environment = toy.environment(PYTHONPATH=str(toy.PROJECT))
    done = subprocess.run([sys.executable, "-c", PICKLE], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "false False True\ntrue True False\n", done.stderr


def test_a_password_in_the_address_of_mlflow_goes_where_mlflow_looks_for_it(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:p%40ss@example.org:8443/mlflow")
    for _ in range(2):
        assert tracking.store_address() == "https://example.org:8443/mlflow" == os.environ["MLFLOW_TRACKING_URI"]
        assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("me", "p@ss")


def test_a_password_in_the_address_of_a_database_is_refused_and_not_repeated(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:canary@example.org/mlflow")
    with pytest.raises(PlumblineError, match="take the password out") as caught:
        tracking.store_address()
    assert "canary" not in str(caught.value)


def run_in(root, secrets, module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=root, env=toy.environment(**secrets), capture_output=True, text=True)


def test_no_secret_of_the_environment_is_in_anything_that_a_run_writes_or_prints(guarded, tmp_path):
    folder, environment, _ = guarded
    root = toy.make(folder / "project")
    toy.shorten(root, ["base"])
    secrets = {
        **{name: value for name, value in environment.items() if name in CANARIES or name == "PREFECT_API_URL"},
        "MLFLOW_TRACKING_URI": f"http://{MLFLOW_USER}@127.0.0.1:{environment['MLFLOW_PORT']}",
        "PLUMBLINE_DVC_REMOTE": f"{folder}/remote",
        "PLUMBLINE_CHECKPOINTS": f"{folder}/checkpoints",
    }
    done = toy.flow(root, "--name", "watched", TOY_FAIL="base", **secrets)
    assert done.returncode == 1, done.stdout + done.stderr  # a failure has the most to tell
    sent = run_in(root, secrets, "plumbline.tracking")  # what MLflow, on a busy machine, has not taken in time
    assert sent.returncode == 0, sent.stdout + sent.stderr
    secrets["MLFLOW_TRACKING_URI"] = f"http://{MLFLOW_USER}@127.0.0.1:{servers.free_ports(1)[0]}"
    away = run_in(root, secrets, "tasks.base", "--pretrained", "artifacts/pretrain", "--out", "artifacts/base")
    assert away.returncode == 0 and "sent later" in away.stderr, away.stderr  # in MLflow's words about its address
    printed = "".join(each.stdout + each.stderr for each in (done, sent, away))
    (tmp_path / "printed").write_text(printed)
    written = {path: path.read_bytes() for top in (folder, tmp_path) for path in top.rglob("*") if path.is_file()}
    found = {path.name.partition("-")[0] for path, content in written.items() if b"watched" in content}
    assert found >= {"mlflow.db", "prefect.db"}  # the search finds what is there, be it in SQLite's log beside them
    assert any(path.match("checkpoints/journal/*.jsonl") for path in written)
    encoded = [base64.b64encode(user.encode()) for user in (PREFECT_USER, MLFLOW_USER)]
    leaks = [str(path) for path, content in written.items() for each in (b"canary", *encoded) if each in content]
    assert leaks == []
