"""The metric modules: importable, loadable from their folders without network, equal to the functions they serve."""

from pathlib import Path

import numpy as np
import pytest

from plumbline.metrics.score import bleu, bleu_parts, exact_match, rouge, token_f1

ROOT = Path(__file__).parents[2]
ANSWERS = ["It is very cold outside", "refund", "cold cold cold cold", ""]
REFERENCES = [["It is cold outside", "It is really cold outside"], ["refund"], ["It is cold outside"], ["a new kettle"]]


@pytest.fixture(scope="module", params=["rouge", "bleu", "exact_match", "token_f1"])
def module(request, tmp_path_factory):
    evaluate = pytest.importorskip("evaluate")
    cache = tmp_path_factory.mktemp("cache")
    return request.param, evaluate.load(str(ROOT / "plumbline/metrics" / request.param), cache_dir=str(cache))


def test_every_module_loads_from_its_folder_and_gives_the_functions_scores(module):
    name, metric = module
    scores = metric.compute(predictions=ANSWERS, references=REFERENCES)
    rows = list(zip(ANSWERS, REFERENCES, strict=True))
    expected = {
        "rouge": lambda: np.mean([rouge(*row, stemmer=False)["rougeL"].f for row in rows]),
        "bleu": lambda: bleu(np.sum([bleu_parts(*row) for row in rows], axis=0)),
        "exact_match": lambda: np.mean([exact_match(*row) for row in rows]),
        "token_f1": lambda: np.mean([token_f1(*row) for row in rows]),
    }[name]()
    assert scores["rougeL" if name == "rouge" else name] == pytest.approx(float(expected))


def test_without_aggregation_every_module_gives_one_score_a_row(module):
    _, metric = module
    scores = metric.compute(predictions=ANSWERS, references=REFERENCES, aggregate=False)
    lists = [value for value in scores.values() if isinstance(value, list)]
    assert lists and all(len(values) == len(ANSWERS) for values in lists)


def test_rouge_gives_precision_and_recall_beside_f():
    from plumbline.metrics.rouge.rouge import Rouge

    scores = Rouge(keep_in_memory=True).compute(predictions=ANSWERS[:1], references=[["It is cold outside"]])
    assert (scores["rougeL_precision"], scores["rougeL_recall"]) == (0.8, 1.0)
    assert scores["rougeL"] == pytest.approx(0.889, abs=5e-4)


def test_a_score_that_no_row_allows_is_none():
    from plumbline.metrics.bleu.bleu import Bleu
    from plumbline.metrics.rouge.rouge import Rouge

    labels = {"predictions": ["refund", "order"], "references": [["refund"], ["return"]]}
    assert Rouge(keep_in_memory=True).compute(**labels)["rouge2"] is None
    assert Bleu(keep_in_memory=True).compute(**labels)["bleu"] is None


def test_no_module_imports_two_packages_on_one_line():
    """evaluate's loader takes `import a, b` for one package of that name, and asks for it to be installed."""
    for script in ROOT.glob("plumbline/metrics/*/*.py"):
        for line in script.read_text(encoding="utf-8").splitlines():
            assert not (line.startswith("import ") and "," in line), f"{script}: {line}"
