"""The models that MLflow holds to be used: one name per model, a version per set of weights, and two aliases.

`candidate` is what stage `evaluate` has scored last, `champion` what answers. Weights that a stage has given to MLflow
are not copied again: their folder there becomes a model that MLflow can serve, with signature, example and card.
"""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from plumbline.card import Ingredient, card, ingredients, require_licences
from plumbline.errors import ArtifactError, PlumblineError
from plumbline.models.load import weights_folder
from plumbline.promotion import Evaluation, Verdict, compare, read_evaluation
from plumbline.store import need, read_json, write_json
from plumbline.tracking import DIGEST, connect, file_digests, first_line, keep, maker, model_digest

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

    from plumbline.tracking import Store

CANDIDATE, CHAMPION = "candidate", "champion"
MODEL = "plumbline.model_id"  # a tag of a version: its copy among the logged models
EVALUATIONS = "evaluations"  # folder of a registered model: a file per set of rows and settings
REGISTERED = "registered.json"  # digests of the files that were registered, and of an adapter the model beneath it
PACKAGES = ("torch", "transformers", "peft", "safetensors", "tokenizers", "mlflow", "pandas", "pydantic", "pyyaml")


@dataclass(frozen=True)
class Candidate:
    """A model that has been scored, and the folders that lead back from it."""

    folder: Path  # instruct, or adapt/<name>
    base: Path
    data: Path
    evaluation: Path

    instruct: Path

    @property
    def name(self) -> str:
        """As it is called in the registry: the stage's word, and the variant's."""
        return "instruct" if self.folder == self.instruct else f"adapt.{self.folder.name}"

    @property
    def model(self) -> str:
        """As stage `evaluate` calls it."""
        return self.name.removeprefix("adapt.")

    @cached_property
    def training(self) -> dict[str, Any]:
        """What its stage has measured."""
        return dict(read_json(self.folder / "metrics.json"))

    @property
    def start(self) -> Path:
        """The folder of the model that it was trained from."""
        return self.instruct if self.training.get("start") == "instruct" else self.base

    @cached_property
    def numbers(self) -> dict[str, Any]:
        """All that stage `evaluate` has measured."""
        return dict(read_json(self.evaluation / "metrics.json"))

    @cached_property
    def scores(self) -> Evaluation:
        return read_evaluation(self.evaluation, self.model)

    @cached_property
    def digest(self) -> str:
        """Of the weights that were scored; ArtifactError when others are in the folder now."""
        found = model_digest(self.folder)
        if self.numbers["models"].get(self.model) != found:
            raise ArtifactError(f"{self.folder}: not the weights that evaluate has scored; run `dvc repro evaluate`")
        return found

    def made_from(self) -> list[Ingredient]:
        """The base and the rows that went into it, also those that went into what it was trained from."""
        tasks = set(self.training["tasks"])
        if self.start == self.instruct:
            tasks |= set(read_json(self.instruct / "metrics.json")["tasks"])
        return ingredients(tasks, self.base, self.data)

    def example(self) -> str:
        """A prompt that it has answered."""
        with (self.evaluation / "answers.jsonl").open(encoding="utf-8") as lines:
            return next(str(row["prompt"]) for row in map(json.loads, lines) if row["model"] == self.model)


def candidates(artifacts: Path) -> list[Candidate]:
    """Every model that stage `evaluate` has scored in a workspace."""
    evaluation = need(artifacts / "evaluate", "metrics.json", "answers.jsonl", stage="evaluate")
    base, data, instruct = (artifacts / stage for stage in ("base", "prepare", "instruct"))
    scored = read_json(evaluation / "metrics.json").get("models", {})
    folders = [instruct if name == "instruct" else artifacts / "adapt" / name for name in scored]
    return [Candidate(folder, base, data, evaluation, instruct) for folder in folders]


class Promotion(NamedTuple):
    """What became of a candidate: promoted, refused or unchanged, and the line that says why."""

    outcome: str
    line: str


class Registry:
    """The registered models of one store."""

    def __init__(self, address: str) -> None:
        """Raises PlumblineError when the store cannot be reached."""
        os.environ.setdefault("MLFLOW_TRACKING_URI", address)  # MLflow looks there itself when it makes a version
        from mlflow.exceptions import MlflowException

        try:
            self.client, self.experiment = connect(address)
        except MlflowException as error:
            raise PlumblineError(f"{address}: MLflow cannot be reached: {first_line(error)}") from None

    def register(self, candidate: Candidate, run: str | None = None) -> "ModelVersion":
        """The version of the candidate's weights, made now if they are new, with its card and alias brought up to date.

        `run` stands for the run that made the weights where MLflow does not know that one.
        """
        maker_run = maker(candidate.folder).get("run")
        if maker_run and self._found(lambda: self.client.get_run(maker_run)):
            run = maker_run
        name, made_from = candidate.name, candidate.made_from()
        version = self.of_digest(name, candidate.digest)
        kept = keep(self.client, self.experiment, name, candidate.folder, run)
        facts = {
            "Weights": f"SHA-256 `{candidate.digest}`, from `{candidate.folder}`",
            "Trained from": f"`{candidate.start}`",
            **self.origin(kept.source_run_id),
        }
        numbers = candidate.numbers["scores"]
        table = {task: numbers[task][candidate.model] for task in candidate.scores.metrics}
        text = card(name, made_from, table, candidate.scores, facts)
        with tempfile.TemporaryDirectory() as folder:
            if version is None:
                save(Path(folder) / "model", candidate, kept.model_id, self.beneath(candidate))
            (Path(folder) / "model" / EVALUATIONS).mkdir(parents=True, exist_ok=True)
            (Path(folder) / "model" / "README.md").write_text(text, encoding="utf-8")
            scores = Path(folder) / "model" / EVALUATIONS / f"{candidate.scores.key}.json"
            scores.write_text(json.dumps(candidate.scores.as_json()), encoding="utf-8")
            self.client.log_model_artifacts(kept.model_id, str(Path(folder) / "model"))
        if version is None:
            if self._found(lambda: self.client.get_registered_model(name)) is None:
                self.client.create_registered_model(name)
            tags = {DIGEST: candidate.digest, MODEL: kept.model_id}
            version = self.client.create_model_version(
                name, kept.artifact_location, kept.source_run_id or None, tags, description=text, model_id=kept.model_id
            )
            page = [{"name": name, "version": version.version}]  # the model's page links to it
            self.client.set_logged_model_tags(kept.model_id, {"mlflow.modelVersions": json.dumps(page)})
        else:
            self.client.update_model_version(name, version.version, text)
        self.client.set_registered_model_alias(name, CANDIDATE, version.version)
        return version

    def promote(self, candidate: Candidate) -> Promotion:
        """Register the candidate, and make it the champion if it is clearly better than the one there is, or the first.

        Raises ArtifactError when a licence is unknown, or when the two were scored on other rows.
        """
        version = self.register(candidate)
        name, number, champion = candidate.name, version.version, self.champion(candidate.name)
        require_licences(name, candidate.made_from())
        if champion and champion.version == number:
            return Promotion("unchanged", f"{name}: version {number} is the champion already")
        verdict = self.verdict(candidate, champion)
        self.client.set_model_version_tag(name, number, "plumbline.verdict", verdict.reason)
        if verdict.better:
            self.client.set_registered_model_alias(name, CHAMPION, number)
        return Promotion("promoted" if verdict.better else "refused", f"{name}: version {number} is {verdict.reason}")

    def verdict(self, candidate: Candidate, champion: "ModelVersion | None") -> Verdict:
        """Whether the candidate is to take the champion's place."""
        if champion is None:
            return Verdict(True, "the first champion")
        known = self.evaluation(champion, candidate.scores)
        settings = candidate.numbers["settings"]
        return compare(candidate.scores, known, resamples=settings["resamples"], seed=settings["seed"])

    def champion(self, name: str) -> "ModelVersion | None":
        return self._found(lambda: self.client.get_model_version_by_alias(name, CHAMPION))

    def evaluation(self, version: "ModelVersion", like: Evaluation) -> Evaluation:
        """How a version did on the rows of another evaluation; ArtifactError when it was never scored on them."""
        from mlflow.artifacts import download_artifacts, list_artifacts

        folder = f"{version.source}/{EVALUATIONS}"
        known = [Path(file.path).stem for file in list_artifacts(artifact_uri=folder)]
        if like.key not in known:
            same_rows = any(key.split("-")[0] == like.key.split("-")[0] for key in known)
            other = "with other knobs of evaluate" if same_rows else "on other rows"
            raise ArtifactError(
                f"{version.name}: the champion, version {version.version}, was scored {other} than the candidate; go back "
                "to the champion's rows and knobs of prepare and evaluate, or take its alias off to begin anew"
            )
        return Evaluation.from_json(read_json(Path(download_artifacts(f"{folder}/{like.key}.json"))))

    def of_digest(self, name: str, weights: str) -> "ModelVersion | None":
        """The version of these weights."""
        found = self.client.search_model_versions(f"name = '{name}' and tags.`{DIGEST}` = '{weights}'", max_results=1)
        return found[0] if found else None

    def beneath(self, candidate: Candidate) -> "LoggedModel | None":
        """The copy that MLflow has of the model that an adapter lies on."""
        if not (candidate.folder / "adapter.json").exists():
            return None
        start = candidate.start
        folder = start / "model" if start != candidate.base else weights_folder(start, check=True)
        return keep(self.client, self.experiment, start.name, folder, None)

    def origin(self, run: str | None) -> dict[str, str]:
        """Commit and run that a model comes from, as far as MLflow knows them."""
        if not run:
            return {}
        tags = self.client.get_run(run).data.tags
        commit = tags.get("mlflow.source.git.commit")
        edited = ", with uncommitted edits" if tags.get("git.dirty") == "true" else ""
        return {"MLflow run": f"`{run}`"} | ({"Commit": f"`{commit}`{edited}"} if commit else {})

    def _found(self, ask: Callable[[], Any]) -> Any:
        """What MLflow answers, or None where there is no such thing."""
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            return None


def registration(candidate: Candidate) -> "Callable[[Store], object]":
    """For `Run.then`: enter a model that the stage has scored in the registry."""
    return lambda store: Registry(store.address).register(candidate, store.run)


def save(folder: Path, candidate: Candidate, model_id: str, beneath: "LoggedModel | None") -> None:
    """Write what turns a folder of weights into a model that MLflow can serve: the code, how to call it, an example."""
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    code = Path(__file__).parent
    tokens = candidate.scores.settings["max_new_tokens"]
    save_model(
        str(folder),
        python_model=str(code / "serving.py"),
        code_paths=[str(code)],
        signature=ModelSignature(
            Schema([ColSpec("string", "prompt")]),
            Schema([ColSpec("string")]),
            ParamSchema([ParamSpec("max_new_tokens", "integer", tokens), ParamSpec("chat", "boolean", False)]),
        ),
        input_example={"prompt": [candidate.example()]},
        pip_requirements=[f"{package}=={installed(package)}" for package in PACKAGES],
        mlflow_model=Model(model_id=model_id),
    )
    about = {"digests": file_digests(candidate.folder), "beneath": beneath.model_id if beneath else None}
    write_json(folder / REGISTERED, about)
