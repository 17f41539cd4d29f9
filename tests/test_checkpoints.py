"""A checkpoint is whole or it is not there: through full disks, kills at any system call, flipped bits and rivals."""

import errno
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from plumbline import checkpoints as module
from plumbline.checkpoints import MANIFEST, Checkpoints, damage, held, key, resumable
from plumbline.errors import PlumblineError


class Knobs(BaseModel):
    seed: int = 1


def write(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(bytes(range(256)) * 40)
    (folder / "curves.json").write_text('{"total": 1.5}')


@pytest.fixture
def kept(tmp_path):
    return Checkpoints(tmp_path, every=10)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_checkpoint_is_due_every_so_many_steps_or_never():
    assert [step for step in range(1, 31) if Checkpoints(Path(), 10).due(step)] == [10, 20, 30]
    assert not any(Checkpoints(Path(), 0).due(step) for step in range(1, 31))


def test_the_newest_two_are_kept_and_the_newest_is_loaded(kept):
    assert kept.newest() is None
    for step in (10, 20, 30, 100):
        kept.save(step, write)
    assert names(kept.folder) == ["step-00000030", "step-00000100"]
    assert kept.newest() == kept.folder / "step-00000100"
    manifest = json.loads((kept.newest() / MANIFEST).read_text())
    assert manifest["step"] == 100 and set(manifest["files"]) == {"weights.safetensors", "curves.json"}


def test_the_newest_is_that_of_the_highest_step_whatever_the_clock_said(kept):
    for step in (999, 1000):
        kept.save(step, write)
    for age, step in enumerate((1000, 999)):
        os.utime(kept.folder / f"step-{step:08d}", (1e9 + age, 1e9 + age))
    assert kept.newest().name == "step-00001000"
    kept.save(100_000_000, write)
    assert kept.newest().name == "step-100000000"


def test_a_name_is_never_given_twice(kept):
    kept.save(10, write)
    with pytest.raises(FileExistsError) as caught:
        kept.save(10, lambda folder: (folder / "other").touch())
    assert caught.value.filename == str(kept.folder / "step-00000010")
    assert names(kept.folder) == ["step-00000010"] and damage(kept.newest()) is None


def test_a_failing_write_names_the_checkpoint_and_leaves_the_one_before(kept):
    kept.save(10, write)

    def full(folder: Path) -> None:
        write(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        kept.save(20, full)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(kept.folder / "step-00000020"))
    assert names(kept.folder) == ["step-00000010"] and kept.newest().name == "step-00000010"


def harmed(checkpoint: Path, chance: random.Random) -> str:
    """Flip one bit, or cut off the end, of one file of `checkpoint`; says which."""
    file = chance.choice(sorted(checkpoint.iterdir()))
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    if chance.random() < 0.25:
        file.write_bytes(content[:place])
        return f"{file.name} cut at {place}"
    content[place] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    return f"{file.name} flipped at {place}"


def test_200_flipped_bits_and_truncations_are_all_detected(kept, capsys):
    chance = random.Random(5)
    kept.save(10, write)
    whole = kept.save(20, write)
    copy = shutil.copytree(whole, kept.folder / "copy")
    for number in range(200):
        what = harmed(whole, chance)
        assert damage(whole), what
        assert kept.newest().name == "step-00000010", what
        assert len(capsys.readouterr().err.splitlines()) == 1
        assert sum(name.startswith("damaged-step-00000020-") for name in names(kept.folder)) == number + 1
        shutil.copytree(copy, whole)
    assert kept.newest() == whole


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda folder: (folder / MANIFEST).unlink(), f"no {MANIFEST}"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "schema"),
        (lambda folder: (folder / MANIFEST).write_text("[" * 100_000), "MANIFEST.json: "),
        (lambda folder: (folder / "curves.json").unlink(), "not those of its manifest"),
        (lambda folder: (folder / "more").touch(), "not those of its manifest"),
        (lambda folder: shutil.copy(folder.parent / "step-00000010" / MANIFEST, folder), "that of step 10"),
        (lambda folder: [each.unlink() for each in folder.iterdir()], f"no {MANIFEST}"),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_with_its_reason_and_the_one_before_is_loaded(kept, capsys, harm, reason):
    kept.save(10, write)
    harm(kept.save(20, write))
    assert kept.newest().name == "step-00000010"
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line and "step-00000020" in line
    aside = next(name for name in names(kept.folder) if name.startswith("damaged-"))
    assert aside in line
    kept.save(20, write)
    (kept.folder / "lock").touch()
    kept.remove()
    assert names(kept.folder) == [aside], "evidence is not deleted"


def test_success_forgets_the_state_and_a_failure_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PLUMBLINE_CHECKPOINTS", str(tmp_path / "place"))

    def fail(kept: Checkpoints) -> None:
        kept.save(10, write)
        (kept.folder / ".partial-step-00000020-0").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), resumable("instruct", Knobs(), 10) as kept:
        fail(kept)
    with resumable("instruct", Knobs(), 10) as kept:
        assert names(kept.folder) == ["lock", "step-00000010"]
    assert list((tmp_path / "place/instruct").iterdir()) == []


def test_another_knob_input_or_variant_has_no_state_to_go_on_from(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rows").write_text(name)
    keys = [
        key("instruct", Knobs(), {"data": tmp_path / "a"}),
        key("instruct", Knobs(seed=2), {"data": tmp_path / "a"}),
        key("instruct", Knobs(), {"data": tmp_path / "b"}),
        key("instruct", Knobs(), {"base": tmp_path / "a"}),
        key("instruct@other", Knobs(), {"data": tmp_path / "a"}),
        key("pretrain", Knobs(), {"data": tmp_path / "a"}),
    ]
    assert len(set(keys)) == len(keys)
    assert key("instruct", Knobs(), {"data": tmp_path / "a"}) == keys[0]


def test_other_code_or_another_library_has_no_state_to_go_on_from(monkeypatch):
    before = key("instruct", Knobs(), {})
    monkeypatch.setattr(module.importlib.metadata, "version", lambda library: "0")
    other = key("instruct", Knobs(), {})
    monkeypatch.setattr(module, "CODE", ("plumbline/models/**/*.py",))
    assert len({before, other, key("instruct", Knobs(), {})}) == 3


OWNER = """
import sys, time
from pathlib import Path
from plumbline.checkpoints import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_of_two_writers_one_ends_in_one_line_and_a_killed_one_lets_go_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE) as owner:
        assert owner.stdout.readline() == b"held\n"
        with pytest.raises(PlumblineError, match=rf"process {owner.pid} on .* since ") as caught, held(tmp_path):
            pass
        assert len(str(caught.value).splitlines()) == 1
        owner.kill()
        owner.wait()
        started = time.monotonic()
        with held(tmp_path):
            assert time.monotonic() - started < 1.0


def test_a_lock_that_its_owner_has_removed_is_none(tmp_path):
    with held(tmp_path / "a"):
        (tmp_path / "a/lock").unlink()
        with held(tmp_path / "a"):
            assert (tmp_path / "a/lock").exists()


def traced() -> str | None:
    """Why no fault can be injected here, or None."""
    if not shutil.which("strace"):
        return "strace is not installed"
    probe = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False)
    return None if probe.returncode == 0 else "strace may not trace here"


SAVER = """
import os, sys
from pathlib import Path
import torch
from plumbline.checkpoints import Checkpoints
from plumbline.models.state import write_tensors

TENSORS = {"a": torch.arange(2000.0), "b": torch.arange(3000.0)}

def write(folder):
    write_tensors(folder / "weights.safetensors", TENSORS)
    (folder / "curves.json").write_text("{}")

for line in sys.stdin:
    kept = Checkpoints(Path(line.strip()), every=10)
    kept.folder.mkdir()
    for step in (10, 20):
        kept.save(step, write)
    ready, go = os.pipe()
    child = os.fork()
    if not child:
        os.read(ready, 1)
        try:
            if "in place" in kept.folder.name:
                (kept.folder / "step-00000030").mkdir()
                write(kept.folder / "step-00000030")
            else:
                kept.save(30, write)
        except OSError as error:
            os._exit(1 if error.filename == str(kept.folder / "step-00000030") else 2)
        except BaseException:
            os._exit(3)
        os._exit(0)
    print(child, flush=True)
    sys.stdin.readline()
    os.write(go, b"1")
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
FILES = "trace=%file,%desc"


@pytest.fixture(scope="module")
def saver():
    """A process that forks one for every save, in which nothing happens but the save."""
    with subprocess.Popen(
        [sys.executable, "-c", SAVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        yield process
        process.stdin.close()


def save_under(saver, folder: Path, *options: str) -> tuple[int, str]:
    """Save step 30 beside steps 10 and 20 in `folder` under strace; the exit code and the trace."""
    print(folder, file=saver.stdin)
    child = saver.stdout.readline().strip()
    log = folder.with_suffix(".trace")
    command = ["strace", "-f", "-o", str(log), "-e", FILES, *options, "-p", child]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        assert "attached" in strace.stderr.readline()
        print("go", file=saver.stdin)
        code = int(saver.stdout.readline())
        strace.stderr.read()
    return code, log.read_text()


def calls_of_a_save(saver, folder: Path) -> list[tuple[str, int]]:
    """Every system call on files of one save, each by name and the how-manieth of that name it is."""
    code, trace = save_under(saver, folder)
    assert code == 0
    found = [match[1] for line in trace.splitlines() if (match := re.match(r"\d+ +(?:<\.\.\. )?(\w+)[( ]", line))]
    return [(name, found[: place + 1].count(name)) for place, name in enumerate(found)][1:]  # but the read that waits


@pytest.mark.skipif(bool(traced()), reason=traced() or "")
@pytest.mark.parametrize("fault", ["error=ENOSPC", "error=EIO", "signal=KILL"])
def test_whatever_fails_at_any_system_call_of_a_save_a_whole_checkpoint_is_loaded(saver, tmp_path, fault, capsys):
    calls = calls_of_a_save(saver, tmp_path / "whole")
    assert {"fsync", "rename", "write", "mkdir"} <= {name for name, _ in calls} and len(calls) > 40
    missed = []
    for name, time_of_name in calls:
        folder = tmp_path / f"{name}-{time_of_name}"
        code, trace = save_under(saver, folder, "-e", f"inject={name}:{fault}:when={time_of_name}")
        place = f"{fault} at {name} {time_of_name}: exit {code}"
        if code == 0 and "(INJECTED)" not in trace:  # the read that waits is now and then seen twice
            missed.append(name)
            continue
        assert code == -signal.SIGKILL if "KILL" in fault else code in (0, 1), place
        newest = Checkpoints(folder, every=10).newest()
        assert newest is not None and newest.name in ("step-00000020", "step-00000030"), place
        assert code != 0 or newest.name == "step-00000030", place
        assert capsys.readouterr().err == "", f"{place}: nothing damaged ever had a checkpoint's name"
        if name in ("write", "fsync", "rename", "mkdir"):
            assert code and (code == -signal.SIGKILL or not list(folder.glob(".partial-*"))), place
    assert missed in ([], ["read"])


@pytest.mark.skipif(bool(traced()), reason=traced() or "")
def test_a_save_in_place_would_leave_half_a_checkpoint_under_its_name(saver, tmp_path, capsys):
    folder = tmp_path / "in place"
    code, _ = save_under(saver, folder, "-e", "inject=write:signal=KILL:when=2")
    assert code == -signal.SIGKILL
    assert Checkpoints(folder, every=10).newest().name == "step-00000020"
    assert "step-00000030: damaged" in capsys.readouterr().err
