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
from plumbline.tracking import Journal, Run, Sender, Store, send_left, track

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


def test_a_stage_that_was_killed_after_it_copied_its_model_keeps_it_once_and_says_nothing(client, tmp_path, capsys):
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
    assert len(found.outputs.model_outputs) == 1 and found.info.status == "FINISHED"
    assert "MLflow" not in capsys.readouterr().err and left() == []


def fail(*_) -> None:
    raise MlflowException("refused")


def test_a_copy_that_fails_as_the_stage_ends_does_not_keep_the_end_from_arriving(client, monkeypatch):
    class Slow(Sender):
        """Its thread gets no time between a failure and what comes after it until the stage has gone on to its end."""

        def _failed(self, error):
            super()._failed(error)
            self._gave_up = self._asked
            while not self._ending:
                time.sleep(0.001)

    monkeypatch.setattr(tracking, "Sender", Slow)
    with track("fails", Knobs()) as run, unfinished(Path("out")) as folder:
        run.then(fail)
        run.finish(folder)
    assert [each.info.status for each in runs(client, "fails")] == ["FINISHED"] and left() == []


def test_a_thread_that_ends_well_while_it_is_looked_at_has_sent_all(client, monkeypatch):
    looked = threading.Event()

    class Looked(Sender):
        """Sends the end only once somebody has seen that not all has arrived, and has ended before that is told."""

        def is_alive(self):
            if self._ending and threading.current_thread() is not self:
                looked.set()
                self.join(60)
            return super().is_alive()

    class Patient(Store):
        def end(self, *given):
            assert looked.wait(60)
            super().end(*given)

    monkeypatch.setattr(tracking, "Sender", Looked)
    monkeypatch.setattr(tracking, "Store", Patient)
    with track("looked-at", Knobs()) as run, unfinished(Path("out")) as folder:
        run.finish(folder)
    assert [each.info.status for each in runs(client, "looked-at")] == ["FINISHED"] and left() == []


def test_copies_that_are_forgotten_while_the_thread_asks_for_them_are_no_mistake(client, monkeypatch):
    class Forgotten(list):
        """Is emptied just after the thread has looked whether there is something."""

        def __len__(self):
            length = super().__len__()
            if threading.current_thread().name == "mlflow":
                self.clear()
            return length

    with track("forgets", Knobs()) as run, unfinished(Path("out")) as folder:
        run._sender._copies = Forgotten([fail])
        run.finish(folder)
    assert [each.info.status for each in runs(client, "forgets")] == ["FINISHED"]


def test_a_store_on_this_machine_that_is_busy_for_a_while_is_tried_until_the_end_has_arrived(client, monkeypatch):
    class Busy(Store):
        tries = 0

        def end(self, *given):
            Busy.tries += 1
            if Busy.tries < 4:
                raise MlflowException("(sqlite3.OperationalError) database is locked")
            super().end(*given)

    monkeypatch.setattr(tracking, "Store", Busy)
    with track("busy", Knobs()) as run, unfinished(Path("out")) as folder:
        run.finish(folder)
    assert [each.info.status for each in runs(client, "busy")] == ["FINISHED"] and left() == [] and Busy.tries == 4


def test_a_store_on_this_machine_that_stays_busy_holds_the_stage_for_its_patience_and_no_longer(client, monkeypatch):
    def busy(*_):
        raise MlflowException("(sqlite3.OperationalError) database is locked")

    monkeypatch.setattr(tracking, "PATIENCE_AT_HOME", 0.2)
    monkeypatch.setattr(tracking, "Store", busy)
    with track("stays-busy", Knobs()) as run, unfinished(Path("out")) as folder:
        run.finish(folder)
    assert json.loads(Path("out.run.json").read_text())["run_id"] is None and len(left()) == 1


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
