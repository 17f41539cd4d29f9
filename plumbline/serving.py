"""How a registered model answers: MLflow keeps a copy of this file in the model's folder and runs it there.

The answers are those of `plumbline.models.generate`. An adapter lies on the model that it was trained on, which MLflow
holds as well; other weights beneath it are refused. Nothing is unpickled.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.artifacts import download_artifacts
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from plumbline.errors import ArtifactError
from plumbline.models.encode import render_prompt
from plumbline.models.generate import generate
from plumbline.models.load import load_model, load_tokenizer
from plumbline.store import digest, read_json

BATCH = 16  # prompts answered at once


class Answers(PythonModel):
    """Prompts in, answers out."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights beside this file, and for an adapter those beneath it; ArtifactError for any others."""
        folder = Path(__file__).parent
        registered = read_json(folder / "registered.json")
        for name, expected in registered["digests"].items():
            if not (folder / name).exists() or digest(folder / name) != expected:
                raise ArtifactError(f"{folder / name}: not the file that was registered; register the model again")
        self.choice = None
        if registered["beneath"]:
            from plumbline.models.adapters import Choice, load

            base = Path(download_artifacts(f"models:/{registered['beneath']}"))
            self.model, self.tokenizer = load_model(base), load_tokenizer(base)
            self.choice = Choice(self.model, load(self.model, base, folder))
        else:
            self.model, self.tokenizer = load_model(folder), load_tokenizer(folder)

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any]) -> list[str]:
        """The answer to each of the column `prompt`, at most `max_new_tokens` tokens long.

        With `chat`, each is what a user says; without, the text exactly as the model sees it, as in prepare's rows.
        """
        prompts = [str(prompt) for prompt in model_input["prompt"]]
        if params["chat"]:
            prompts = [render_prompt(self.tokenizer, [{"role": "user", "content": said}]) for said in prompts]
        return generate(
            self.model,
            self.tokenizer,
            prompts,
            batch=BATCH,
            max_new_tokens=params["max_new_tokens"],
            adapters=self.choice,
        )


set_model(Answers())
