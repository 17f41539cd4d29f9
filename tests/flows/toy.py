"""The project with toy stages: the real dvc.yaml, params.yaml and plumbline, and stages that take no time.

A toy stage writes the digest of what it reads and of its knobs. TOY_FAIL names a stage that refuses its input,
TOY_SLEEP one that takes a minute, TOY_PAUSE the seconds that each takes, and TOY_LOG a file in which each notes its end.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).parents[2]
WORDS = ("architecture", "adapter")  # options that are no folders

STAGE = """
import hashlib, os, time
from pathlib import Path
from plumbline import params as sections
from plumbline.errors import DataError
from plumbline.stage import run_stage
from plumbline.store import digest, unfinished
from plumbline.tracking import track

def {stage}(params: sections.{section}, *, {signature}) -> Path:
    inputs = dict({inputs})
    print("reading", *inputs)
    with track("{stage}", params) as run, unfinished(out) as folder:
        for name, path in inputs.items():
            run.input(name, path)
        content = params.model_dump_json() + "".join(digest(path) for path in inputs.values())
        (folder / "result.txt").write_text(hashlib.sha256(content.encode()).hexdigest())
        if os.environ.get("TOY_FAIL") == "{stage}":
            raise DataError("rows.jsonl:3: answer: is empty")
        if os.environ.get("TOY_SLEEP") == "{stage}":
            print("asleep", flush=True)
            time.sleep(60)
        time.sleep(float(os.environ.get("TOY_PAUSE", "0")))
        (folder / "report.html").write_text("a report")
        (folder / "plots").mkdir()
        (folder / "plots" / "summarise.csv").write_text("score,value,low,high\\nrougeL instruct,0.8,0.7,0.9\\n")
        (folder / "curves.csv").write_text("step,loss,learning_rate,validation_loss\\n1,2.0,0.1,2.1\\n")
        run.step(1, loss=2.0)
        run.step(2, loss=1.0)
        run.finish(folder, rows=len(content))
    if "TOY_LOG" in os.environ:
        with open(os.environ["TOY_LOG"], "a") as log:
            log.write(f"{{os.environ.get('DVC_STAGE')}} {{hashlib.sha256(content.encode()).hexdigest()}}\\n")
    return out

if __name__ == "__main__":
    run_stage({stage})
"""


def make(root: Path) -> Path:
    """A git and DVC repository with toy stages at `root`, committed and not yet run."""
    root.mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(PROJECT / name, root / name)
    knobs = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(re.sub(r"architectures: \[.*?\]", "architectures: [causal, seq2seq]", knobs))
    for name in ("plumbline", "flows"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "data/README.md",
        "docs/ranks/README.md",
        "mlruns/.gitkeep",
        "recipes/short.yaml",
        "tasks/__init__.py",
    ):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("")
    (root / "recipes/short.yaml").write_text("instruct: {epochs: 0.5}\n")
    for stage, spec in yaml.safe_load((root / "dvc.yaml").read_text())["stages"].items():
        names = re.findall(r"--(\w+)", spec["cmd"] if "cmd" in spec else spec["do"]["cmd"])
        signature = ", ".join(f"{name}: {'str' if name in WORDS else 'Path'}" for name in names)
        inputs = ", ".join(f"{name}={name}" for name in names if name not in (*WORDS, "out"))
        text = STAGE.format(stage=stage, section=stage.capitalize(), signature=signature, inputs=inputs)
        (root / f"tasks/{stage}.py").write_text(text)
    git(root, "init", "--quiet", "--initial-branch=main")
    git(root, "config", "user.email", "toy@example.org")
    git(root, "config", "user.name", "Toy")
    commit(root)
    return root


def shorten(root: Path, stages: list[str]) -> None:
    """Keep these stages alone, for a test that is not about the graph; what others would make for them is a file."""
    graph = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    kept = {stage: graph[stage] for stage in stages}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": kept}))
    made = {out for spec in kept.values() for out in spec["outs"]}
    for needed in {dep for spec in kept.values() for dep in spec["deps"]} - made:
        if needed.startswith("artifacts/"):
            (root / needed).mkdir(parents=True)
            (root / needed / "made.json").write_text("{}")
            git(root, "add", "--force", needed)
    commit(root)


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "all")


def git(root: Path, *arguments: str) -> str:
    """What `git` prints; a failure is an error."""
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def dvc(root: Path, *arguments: str) -> str:
    """What `dvc` prints; a failure is an error."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True, check=True).stdout


def flow(root: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m flows.pipeline` to its end."""
    command = [sys.executable, "-m", "flows.pipeline", *arguments]
    return subprocess.run(command, cwd=root, env=environment(**variables), capture_output=True, text=True)


def environment(**variables: str) -> dict[str, str]:
    """What a person's shell would hold: the project's Python first, and none of the tests' own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW", "DVC_"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", **variables}


def set_knob(root: Path, old: str, new: str) -> None:
    """Edit params.yaml as a person would."""
    file = root / "params.yaml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
