"""What a person does: start everything, run the pipeline from a form, and compare two runs; with a real browser."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.flows import toy
from tests.servers import free_ports

CHROMIUM = shutil.which("chromium")
SCREENSHOTS = toy.PROJECT / ".screenshots"
PATIENCE = 120_000  # milliseconds
EPOCHS = "11.5"
RAN = ["instruct", "reward", "ppo", "evaluate"]
CACHED = ["world", "pretrain@causal", "pretrain@seq2seq", "base", "prepare"]

pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")]


def up(root: Path, ports: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m flows.up` to its end."""
    command = [sys.executable, "-m", "flows.up", *arguments]
    return subprocess.run(command, cwd=root, env=toy.environment(**ports), capture_output=True, text=True)


@pytest.fixture(scope="module")
def served(finished, tmp_path_factory):
    """A finished toy project with its two UIs up, and their ports."""
    root = shutil.copytree(finished[0], tmp_path_factory.mktemp("served") / "project", symlinks=True)
    ports = dict(zip(("PLUMBLINE_PREFECT_PORT", "PLUMBLINE_MLFLOW_PORT"), free_ports(2), strict=True))
    first = up(root, ports)
    try:
        assert first.returncode == 0, first.stdout + first.stderr
        assert re.findall(r"(\w+) +started", first.stdout) == ["prefect", "serve", "mlflow"]
        yield root, ports
    finally:
        last = up(root, ports, "down")
    assert re.findall(r"(\w+) +stopped", last.stdout) == ["mlflow", "serve", "prefect"]


@pytest.fixture
def page(served):
    """A page in a browser that reaches nothing but this machine."""
    from playwright.sync_api import sync_playwright

    asked = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1100})
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        yield page
        browser.close()
    outside = [url for url in asked if not re.match(r"(http://127\.0\.0\.1:\d+/|data:|blob:)", url)]
    assert outside == []


def screenshot(page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def wait_until(page, state: str) -> None:
    """Look at the page of a run again and again until it shows this state: its own refreshing is slow."""
    deadline = time.monotonic() + PATIENCE / 1000
    while page.locator(".state-badge").first.inner_text() != state:
        assert time.monotonic() < deadline, f"the run is not {state}"
        page.wait_for_timeout(1000)
        page.reload()


def labelled(page, name: str):
    """The innermost field of Prefect's form with this label."""
    return page.locator(".schema-form-property").filter(has=page.get_by_text(f"{name} (Optional)", exact=True)).last


def test_the_pipeline_runs_from_a_form_and_its_run_stands_beside_the_one_before_in_mlflow(served, page):
    root, ports = served
    page.goto(f"http://127.0.0.1:{ports['PLUMBLINE_PREFECT_PORT']}/deployments")
    page.locator("a[href*='/deployments/deployment/']", has_text="pipeline").click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    name = page.locator("input[type=text]").first
    name.fill("from-the-form")
    name.blur()
    epochs = (
        labelled(page, "instruct")
        .locator(".schema-form-property")
        .filter(has=page.get_by_text("epochs (Optional)", exact=True))
    )
    assert "params.yaml has 1.7" in epochs.inner_text()
    epochs.locator("input").fill(EPOCHS)
    epochs.locator("input").blur()
    screenshot(page, "1-form")
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("link", name="from-the-form").first.click()
    wait_until(page, "Completed")
    screenshot(page, "2-run")

    page.get_by_text("Task Runs", exact=True).click()
    for stage in [*CACHED, *RAN]:
        page.get_by_role("link", name=stage, exact=True).wait_for()
    screenshot(page, "3-stages")
    assert page.locator("main, #app").first.inner_text().count("Cached") == len(toy_stages(root)) - len(RAN)

    page.get_by_text("Artifacts", exact=True).last.click()
    screenshot(page, "4-artifacts")
    page.get_by_text("links", exact=True).first.click()
    compare = page.get_by_role("link", name="compared with the run before it")
    compare.wait_for()
    screenshot(page, "5-links")
    address = compare.get_attribute("href")
    page.goto(address)
    page.get_by_text("from-the-form").first.wait_for()
    page.get_by_text("instruct.epochs").first.wait_for()
    screenshot(page, "6-compared")
    said = page.locator("body").inner_text()
    assert EPOCHS in said and "1.7" in said  # both runs, side by side

    assert "from-the-form" in toy.dvc(root, "exp", "show", "--csv")
    assert toy.dvc(root, "status").strip() == "Data and pipelines are up to date."
    assert toy.git(root, "status", "--porcelain") == ""
    toy.dvc(root, "exp", "apply", "from-the-form")
    assert "Running" not in toy.dvc(root, "repro")
    toy.git(root, "checkout", "--quiet", ".")
    toy.dvc(root, "checkout", "--quiet")


def toy_stages(root: Path) -> list[str]:
    """All stages, variants spelled out."""
    return toy.dvc(root, "stage", "list", "--name-only").split()


def test_a_second_start_finds_all_running_and_a_taken_port_is_named(served):
    root, ports = served
    again = up(root, ports)
    assert (again.returncode, re.findall(r"(\w+) +was running", again.stdout)) == (0, ["prefect", "serve", "mlflow"])
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        elsewhere = shutil.copytree(
            root, root.with_name("elsewhere"), symlinks=True, ignore=shutil.ignore_patterns(".prefect")
        )
        refused = up(elsewhere, {**ports, "PLUMBLINE_PREFECT_PORT": taken})
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"prefect: port {taken} of 127.0.0.1 is in use")
    assert f"process {os.getpid()}" in refused.stderr and "PLUMBLINE_PREFECT_PORT" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_to_look_whether_deployments_are_served_writes_nothing(served):
    root, ports = served
    api = f"http://127.0.0.1:{ports['PLUMBLINE_PREFECT_PORT']}/api"
    subprocess.run(
        [sys.executable, "-c", LOOK], cwd=root, env=toy.environment(**ports, PREFECT_API_URL=api), check=True
    )


LOOK = """
import sqlite3
from flows.up import is_polled
database = sqlite3.connect(".prefect/prefect.db")
def tokens():  # asked for, one by each client that is about to change something
    return database.execute("select count(*) from csrf_token").fetchone()
before = tokens()
assert is_polled(0)
assert tokens() == before
"""


def test_a_part_that_has_crashed_is_started_again_and_the_others_are_left_alone(served):
    root, ports = served
    subprocess.run([sys.executable, "-c", KILL, "mlflow"], cwd=root, check=True)
    healed = up(root, ports)
    assert re.findall(r"(\w+) +(started|was running)", healed.stdout) == [
        ("prefect", "was running"),
        ("serve", "was running"),
        ("mlflow", "started"),
    ]


KILL = """
import json, psutil, sys
process = psutil.Process(json.load(open(f".prefect/up/{sys.argv[1]}.json"))["pid"])
family = [process, *process.children(recursive=True)]
[each.kill() for each in family]
psutil.wait_procs(family)
"""
