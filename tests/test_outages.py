"""MLflow stopped, slow or refusing: training does not wait, and every point arrives once, sooner or later."""

import json
import random
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import BaseModel

from plumbline import tracking
from plumbline.checkpoints import Checkpoints
from plumbline.store import unfinished
from plumbline.tracking import Journal, Run, Store, send_left, track

STEPS = range(1, 301)


class Knobs(BaseModel):
    seed: int = 3


@pytest.fixture
def client(record, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", record)
    monkeypatch.setenv("PLUMBLINE_CHECKPOINTS", str(tmp_path / "kept"))
    monkeypatch.delenv("PLUMBLINE_PIPELINE", raising=False)
    monkeypatch.setattr(tracking, "PAUSE", 0.02)
    monkeypatch.setattr(tracking, "LONGEST_PAUSE", 0.05)
    return MlflowClient(record)


def left() -> list[Path]:
    return sorted(Path("kept/journal").glob("*"))


def runs(client, stage: str) -> list:
    (experiment,) = client.search_experiments(filter_string="name = 'plumbline'")
    return client.search_runs([experiment.experiment_id], f"attributes.run_name = '{stage}'")


def told(client, run_id: str, name: str = "loss") -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


@contextmanager
def server(kind: str):
    """The address of a server that is stopped, refuses every request in some way, or never answers."""
    awake = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if kind == "slow":
                awake.wait(60)
            self.send_response(int(kind) if kind.isdigit() else 500)
            self.end_headers()

        do_POST = do_PATCH = do_GET

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):  # the client has gone
            pass

    if kind == "stopped":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            yield f"http://127.0.0.1:{free.getsockname()[1]}"
        return
    with Server(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        awake.set()
        listening.shutdown()


@pytest.mark.parametrize("kind", ["stopped", "slow", "503", "403", "404", "429"])
def test_no_call_waits_for_the_server_and_the_points_arrive_once_when_there_is_one(client, record, monkeypatch, kind):
    stage = f"instruct-{kind}"
    longest = 0.0
    with server(kind) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with track(stage, Knobs()) as run, unfinished(Path("out")) as folder:
            for step in STEPS:
                started = time.monotonic()
                run.step(step, loss=1 / step)
                longest = max(longest, time.monotonic() - started)
                time.sleep(0.001)
            (folder / "model").mkdir()
            run.model(folder / "model")
            ended = time.monotonic()
            run.finish(folder, rows=3)
        ended = time.monotonic() - ended
    assert longest < 1.0 and ended < 2 * tracking.PATIENCE
    assert json.loads(Path("out.run.json").read_text())["run_id"] is None
    (journal,) = left()
    journal.write_text(journal.read_text().replace(address, record))  # the server is back
    assert send_left() == 0
    (found,) = runs(client, stage)
    assert told(client, found.info.run_id) == [(step, 1 / step) for step in STEPS]
    assert (found.info.status, found.data.metrics["rows"], found.data.params) == ("FINISHED", 3, {f"{stage}.seed": "3"})
    assert left() == []


def test_what_a_stage_could_not_send_is_sent_by_the_next(client, monkeypatch, capsys):
    class Down(Store):
        def __init__(self, *_):
            raise MlflowException("down for repair")

    monkeypatch.setattr(tracking, "Store", Down)
    with track("first", Knobs()) as run, unfinished(Path("first")) as folder:
        run.step(1, loss=0.5)
        run.finish(folder)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("first:")]
    assert len(left()) == len(lines) == 1 and "down for repair" in lines[0]
    monkeypatch.setattr(tracking, "Store", Store)
    with track("second", Knobs()) as run, unfinished(Path("second")) as folder:
        run.finish(folder)
    (found,) = runs(client, "first")
    assert told(client, found.info.run_id) == [(1, 0.5)] and found.info.status == "FINISHED"
    assert left() == []


def test_requests_and_answers_that_get_lost_lose_and_double_nothing(client, monkeypatch):
    chance = random.Random(7)

    class Unreliable(Store):
        """Loses every other request on its way there or back."""

        def __init__(self, *given):
            self.lossy(super().__init__, *given)

        def lossy(self, work, *given):
            fate = chance.random()
            if fate < 0.25:
                raise MlflowException("lost on the way there")
            work(*given)
            if fate < 0.5:
                raise MlflowException("lost on the way back")

        def points(self, *given):
            self.lossy(super().points, *given)

        def input(self, *given):
            self.lossy(super().input, *given)

        def results(self, *given):
            self.lossy(super().results, *given)

    monkeypatch.setattr(tracking, "Store", Unreliable)
    monkeypatch.setattr(tracking, "BATCH", 7)
    Path("rows").write_text("{}")
    with track("lossy", Knobs()) as run, unfinished(Path("out")) as folder:
        run.input("rows", Path("rows"))
        for step in STEPS:
            run.step(step, loss=1 / step)
        time.sleep(1.0)
        run.finish(folder, rows=3)
    monkeypatch.setattr(tracking, "Store", Store)
    send_left()
    (found,) = runs(client, "lossy")
    assert told(client, found.info.run_id) == [(step, 1 / step) for step in STEPS]
    assert told(client, found.info.run_id, "rows") == [(0, 3.0)]
    assert len(found.inputs.dataset_inputs) == 1 and found.info.status == "FINISHED"


def killed(run: Run) -> None:
    """Leave a run as SIGKILL would: nothing more is written, and its lock is gone."""
    run._journal.close()


def test_a_stage_that_goes_on_continues_its_run_with_no_point_lost_or_doubled(client, tmp_path):
    kept = Checkpoints(tmp_path / "store", every=10)
    first = Run("goes-on", Knobs(), kept)
    for step in range(1, 31):
        first.step(step, loss=1 / step, tokens_per_second=100.0)
    assert first._sender.drain()
    (found,) = runs(client, "goes-on")
    for step in range(31, 36):
        first.step(step, loss=1 / step)  # told, but not sent
    killed(first)

    with track("goes-on", Knobs(), kept) as run, unfinished(Path("out")) as folder:
        for step in range(21, 51):  # from the checkpoint of step 20
            run.step(step, loss=1 / step, tokens_per_second=90.0)
        assert run._sender.drain()
        assert client.get_run(found.info.run_id).info.status == "RUNNING"
        run.finish(folder, rows=3)
    (again,) = runs(client, "goes-on")
    assert again.info.run_id == found.info.run_id and again.info.status == "FINISHED"
    assert told(client, found.info.run_id) == [(step, 1 / step) for step in range(1, 51)]
    speeds = [(step, 100.0 if step < 31 else 90.0) for step in range(1, 51)]
    assert told(client, found.info.run_id, "tokens_per_second") == speeds
    assert list((tmp_path / "store").iterdir()) == [] == left()


def test_a_stage_that_was_killed_while_it_copied_its_model_keeps_it_once(client, tmp_path):
    kept = Checkpoints(tmp_path / "store", every=10)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    first = Run("copies", Knobs(), kept)
    first.model(tmp_path / "model")
    assert first._sender.drain()
    killed(first)
    with track("copies", Knobs(), kept) as run, unfinished(Path("out")) as folder:
        run.model(tmp_path / "model")
        run.finish(folder)
    (found,) = runs(client, "copies")
    models = client.search_logged_models([found.info.experiment_id])
    assert [each.status for each in models if each.source_run_id == found.info.run_id] == ["READY"]


def test_a_failed_stage_keeps_its_journal_for_the_next_try_and_the_run_becomes_a_success(client, tmp_path):
    kept = Checkpoints(tmp_path / "store", every=10)

    def fail(run: Run) -> None:
        run.step(1, loss=1.0)
        raise OSError("full")

    with pytest.raises(OSError, match="full"), track("tries", Knobs(), kept) as run:
        fail(run)
    assert [each.info.status for each in runs(client, "tries")] == ["FAILED"]
    with track("tries", Knobs(), kept) as run, unfinished(Path("out")) as folder:
        run.step(1, loss=1.0)
        run.finish(folder)
    (found,) = runs(client, "tries")
    assert found.info.status == "FINISHED" and told(client, found.info.run_id) == [(1, 1.0)]


def test_a_line_that_a_killed_process_was_writing_is_no_line(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(do="open")
    journal.add_points([("loss", 1.0, 5, 1)])
    journal.close()
    whole = journal.path.read_bytes()
    for cut in range(len(whole)):
        journal.path.write_bytes(whole[:cut])
        again = Journal(journal.path)
        assert len(again.entries) == whole[:cut].count(b"\n")
        again.add_points([("loss", 2.0, 6, 1), ("loss", 2.0, 6, 2)])
        again.close()
        assert all(json.loads(line) for line in journal.path.read_text().splitlines())
