"""A champion answers, in this process and behind MLflow's server, as the model in its folder does."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from plumbline.models.adapters import Choice, attach, load, save
from plumbline.models.generate import generate
from plumbline.models.load import load_model, load_tokenizer
from plumbline.params import Lora
from plumbline.registry import Registry, candidates
from plumbline.store import digest, read_json, write_json
from plumbline.tracking import model_digest
from tests import scored

PROMPTS = ["order 7 of the copper", "order 12 of the copper kettle arrives on"]
LORA = Lora(kind="lora", tasks=["t"], start="base", rank=2, alpha=64, dropout=0.0, targets="attention")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, model_folder, tokenizer):
    """Registered and promoted: a whole model, and a LoRA that changes what its base says."""
    root = tmp_path_factory.mktemp("workspace")
    artifacts = scored.make(root, {"instruct": [0.5] * 6, "terse": [0.5] * 6})
    shutil.copytree(model_folder("llama"), artifacts / "pretrain/causal", dirs_exist_ok=True)
    known = {"model.safetensors": digest(artifacts / "pretrain/causal/model.safetensors")}
    write_json(artifacts / "base/base.json", {"folder": str(artifacts / "pretrain/causal"), "weights": known})
    shutil.rmtree(artifacts / "instruct/model")
    shutil.copytree(model_folder("gpt2"), artifacts / "instruct/model")
    (artifacts / "adapt/terse/weights.safetensors").unlink()
    model = load_model(artifacts / "base")
    adapter = attach(model, tokenizer, "terse", LORA, 0)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data.normal_()
    save(model, adapter, artifacts / "base", artifacts / "adapt/terse")
    numbers = read_json(artifacts / "evaluate/metrics.json")
    folders = {"instruct": artifacts / "instruct", "terse": artifacts / "adapt/terse"}
    numbers["models"] = {name: model_digest(folder) for name, folder in folders.items()}
    write_json(artifacts / "evaluate/metrics.json", numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
        patch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
        registry = Registry(os.environ["MLFLOW_TRACKING_URI"])
        for candidate in candidates(artifacts):
            assert registry.promote(candidate).outcome == "promoted"
        shutil.rmtree(artifacts / "pretrain")  # what is registered needs nothing of the workspace
        yield registry


def expected(model_folder, prompts, adapter: Path | None = None) -> list[str]:
    folder = model_folder("llama" if adapter else "gpt2")
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    choice = Choice(model, load(model, folder, adapter)) if adapter else None
    return generate(model, tokenizer, prompts, batch=2, max_new_tokens=8, adapters=choice)


def champion(name: str, **params: object) -> list[str]:
    served = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    return served.predict(pd.DataFrame({"prompt": PROMPTS}), params=params)


def test_the_champion_answers_as_the_model_that_was_registered(workspace, model_folder):
    assert champion("instruct") == expected(model_folder, PROMPTS)


def test_an_adapter_answers_on_its_own_base_and_not_as_the_bare_base_does(workspace, model_folder):
    registered = Path(workspace.champion("adapt.terse").source)
    answers = champion("adapt.terse")
    assert answers == expected(model_folder, PROMPTS, registered)
    base = model_folder("llama")
    assert answers != generate(load_model(base), load_tokenizer(base), PROMPTS, batch=2, max_new_tokens=8)


def test_what_a_user_says_is_put_into_the_chat_template(workspace, model_folder, tokenizer):
    said = [{"role": "user", "content": PROMPTS[0]}]
    prompt = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
    assert champion("instruct", chat=True, max_new_tokens=4)[0] == generate(
        load_model(model_folder("gpt2")), load_tokenizer(model_folder("gpt2")), [prompt], batch=1, max_new_tokens=4
    )[0]  # fmt: skip


@pytest.mark.parametrize("name", ["instruct", "adapt.terse"])
def test_weights_that_were_changed_after_registration_are_refused(workspace, name):
    place = Path(workspace.champion(name).source)
    weights = next(place.glob("*.safetensors"))
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        with pytest.raises(Exception, match="not the file that was registered"):
            champion(name)
    finally:
        weights.write_bytes(before)


def test_another_base_beneath_an_adapter_is_refused(workspace, model_folder):
    place = Path(workspace.champion("adapt.terse").source)
    beneath = workspace.client.get_logged_model(read_json(place / "registered.json")["beneath"])
    weights = Path(beneath.artifact_location) / "model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    try:
        with pytest.raises(Exception, match="made for other weights"):
            champion("adapt.terse")
    finally:
        weights.write_bytes(before)


def test_a_column_of_another_name_is_refused(workspace):
    served = mlflow.pyfunc.load_model("models:/instruct@champion")
    with pytest.raises(MlflowException, match="prompt"):
        served.predict(pd.DataFrame({"question": PROMPTS}))


def test_mlflow_s_server_gives_the_same_answers(workspace, model_folder, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/instruct@champion"]
    command += ["--env-manager", "local", "--port", str(port), "--workers", "1"]
    log = (tmp_path / "log").open("w+")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (
        log,
        subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=log, start_new_session=True
        ) as server,
    ):
        try:
            answer = ask(port, {"inputs": {"prompt": PROMPTS}}, server)
            assert answer == {"predictions": expected(model_folder, PROMPTS)}, (tmp_path / "log").read_text()
        finally:
            os.killpg(server.pid, 15)


def ask(port: int, question: dict, server: subprocess.Popen) -> dict:
    """The server's answer, as soon as it listens."""
    body = json.dumps(question).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    for _ in range(600):
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None
        except OSError:
            assert server.poll() is None
            time.sleep(0.2)
    raise TimeoutError(f"no answer on port {port}")
