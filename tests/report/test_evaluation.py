"""The page of an evaluation: what it says, and that it is safe and self-contained."""

import dataclasses
import re
from html.parser import HTMLParser

import pytest

from plumbline.metrics.table import METRICS
from plumbline.report.evaluation import Evaluation, Sample, change, headline_metric, page, share, signed, title
from plumbline.rows import Example

NOTHING = {"value": None, "low": None, "high": None}
EVIL = "<script>alert('x')</script> & \"quotes\" </svg></style>"


def numbers(value, width=0.02):
    return {"value": value, "low": value - width, "high": value + width}


def forgetting_cell(gain, trained):
    return {
        "metric": "rougeL", "rows": 60, "trained": trained, "before": numbers(0.2), "after": numbers(0.2 + gain),
        "difference": numbers(gain),
    }  # fmt: skip


ADAPTER = {
    "kind": "lora", "start": "base", "rows": 400, "parameters": {"trained": 5000, "all": 105000},
    "bytes": {"saved": 10000, "base": 200000}, "validation_loss_before": 2.0, "validation_loss": 1.0,
}  # fmt: skip


def evaluation(*, gains=(0.5, 0.4), text="the kettle drips", task="summarise", trained=None, sweep=None):
    tasks = [task, "intent"]
    scores = {
        each: {
            "base": dict.fromkeys(METRICS, numbers(0.2)),
            "instruct": dict.fromkeys(METRICS, numbers(0.2 + gain)) | {"bleu": NOTHING},
        }
        for each, gain in zip(tasks, gains, strict=True)
    }
    differences = {
        each: {"instruct - base": dict.fromkeys(METRICS, numbers(gain)) | {"bleu": NOTHING}}
        for each, gain in zip(tasks, gains, strict=True)
    }
    row = Example(
        id="dialogue-1", task=task, group="g", prompt=text, answer=text, references=[text, "a lamp broke"],
        template="plain", source_file="rows.jsonl", source_line=1,
    )  # fmt: skip
    return Evaluation(
        rows=dict.fromkeys(tasks, 60),
        groups={task: 50, "intent": 60},
        scores=scores,
        differences=differences,
        forgetting={
            "instruct": {
                each: forgetting_cell(gain, (trained or {task: 700}).get(each, 0))
                for each, gain in zip(tasks, gains, strict=True)
            },
            "terse": {task: forgetting_cell(0.1, 400), "intent": forgetting_cell(0.0, 0) | {"rows": 20}},
            "ppo": {task: forgetting_cell(0.0, 0) | {"rows": 15}, "intent": forgetting_cell(0.0, 0) | {"rows": 15}},
        },
        headline={task: "rougeL", "intent": "exact_match"},
        settings={"decoding": "greedy", "resamples": 1000, "bleu_signature": {task: "nrefs:2|case:mixed"}},
        base={
            "folder": "artifacts/pretrain/causal",
            "class": "LlamaForCausalLM",
            "weights": {"model.safetensors": "ab"},
        },
        trained={"instruct": {task: 700} if trained is None else trained},
        sweep=sweep,
        adapters={"terse": ADAPTER | {"tasks": {task: 400}}},
        curves=[
            {"step": 1.0, "loss": 2.0, "learning_rate": 1e-3, "validation_loss": None},
            {"step": 2.0, "loss": 1.0, "learning_rate": 5e-4, "validation_loss": 1.5},
        ],
        samples=[Sample(row, {"base": text, "instruct": ""})],
    )


class Outline(HTMLParser):
    """The tags of a page, their attributes, and whether they nest."""

    void = frozenset({"meta", "br", "link", "img", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.ids, self.headings = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


def outline(html):
    parsed = Outline()
    parsed.feed(html)
    assert not parsed.open
    return parsed


def test_the_page_is_one_well_formed_document_that_loads_nothing():
    html = page(evaluation())
    tags = outline(html).seen
    assert not {tag for tag, _ in tags} & {"script", "link", "img", "iframe", "object"}
    assert all(attrs["href"].startswith("#") for _, attrs in tags if "href" in attrs)
    assert not re.search(r"https?:|url\(|@import", html)
    assert "default-src 'none'" in html


def test_every_link_of_the_page_leads_somewhere():
    tags = outline(page(evaluation())).seen
    ids = {attrs["id"] for _, attrs in tags if "id" in attrs}
    assert {attrs["href"][1:] for _, attrs in tags if "href" in attrs} <= ids


def test_text_of_models_and_rows_cannot_become_markup():
    html = page(evaluation(text=EVIL, task=EVIL))
    assert "<script" not in html and "&lt;script&gt;" in html
    outline(html)


def test_the_page_shows_every_task_and_both_answers_with_the_models_names():
    html = page(evaluation())
    for expected in ("summarise", "intent", "the kettle drips", "(an empty answer)", "nrefs:2|case:mixed", "700 rows"):
        assert expected in html


def test_the_headline_says_what_improved_by_how_much_and_how_sure_that_is():
    html = page(evaluation())
    assert "ROUGE-L went from 0.200 to 0.700 (+0.500, 95 % interval +0.480 to +0.520)" in html
    assert "<b>artifacts/pretrain/causal</b>" in html


@pytest.mark.parametrize(
    ("gains", "says"),
    [
        ((0.5, 0.4), "instruct is better than base on all 2 tasks"),
        ((0.5, 0.0), "instruct is better than base on 1 of 2 tasks"),
        ((0.5, -0.4), "instruct is better than base on 1 of 2 tasks, and worse on 1"),
        ((0.0, 0.0), "instruct is not clearly better than base on any of 2 tasks"),
    ],
)
def test_the_title_counts_clear_differences_only(gains, says):
    assert title(evaluation(gains=gains)) == says


def test_a_task_that_was_not_trained_on_and_fell_is_marked_as_forgotten():
    forgotten = page(evaluation(gains=(0.5, -0.1)))
    assert forgotten.count("not trained: forgotten") == 1
    assert "forgotten</small>" not in page(evaluation(gains=(0.5, 0.1)))
    assert "not trained: forgotten" not in page(evaluation(gains=(0.5, -0.1), trained={"summarise": 1, "intent": 1}))


def test_every_model_s_start_training_size_and_every_task_after_it_are_shown():
    html = page(evaluation())
    for expected in ("LoRA on base, summarise", "4.8 %", "5 % of its base", "all weights, one task", "20 scored"):
        assert expected in html
    without = page(dataclasses.replace(evaluation(), adapters={}, forgetting={}))
    assert "#adapters" not in without and "5 % of its base" not in without


def measured(rank, value):
    return {
        "targets": "attention", "rank": rank, "parameters": 100 * rank, "bytes": 200 * rank, "rougeL": numbers(value),
        "loss": numbers(1.0),
    }  # fmt: skip


def test_a_sweep_over_ranks_is_shown_where_there_is_one():
    ends = {
        name: measured(64, 0.5) | {"targets": label, "rank": None}
        for name, label in (("full", "all weights"), ("base", "bare base"))
    }
    sweep = {
        "adapter": "terse", "tasks": ["summarise"], "rows": 60, "date": "2026-11-25", **ends,
        "points": [measured(1, 0.3), measured(64, 0.4)],
    }  # fmt: skip
    html = page(evaluation(sweep=sweep))
    outline(html)
    for expected in ("How much rank a LoRA needs", ">64</text>", "bare base", "1.6 % of the base"):
        assert expected in html
    assert "How much rank" not in page(evaluation())


def test_a_difference_is_clear_only_when_its_interval_leaves_out_zero():
    assert change("rougeL", numbers(0.1)).kind == "better"
    assert change("rougeL", numbers(-0.1)).kind == "worse"
    assert change("loss", numbers(-0.1)).kind == "better"
    assert change("loss", numbers(0.1)).kind == "worse"
    assert change("rougeL", numbers(0.01)).kind == "unclear"
    assert change("rougeL", {"value": 0.1, "low": None, "high": None}).kind == "unknown"
    assert change("bleu", NOTHING).text == "cannot be computed"


def test_intervals_from_few_groups_come_with_a_caution():
    assert "too narrow" not in page(evaluation())
    assert "too narrow" in page(dataclasses.replace(evaluation(), groups={"summarise": 5, "intent": 60}))


def test_differences_carry_their_sign_and_a_missing_one_is_a_dash():
    assert (signed("rougeL", -0.1), signed("bleu", 3.0), signed("bleu", None)) == ("−0.100", "+3.0", "–")


def test_labels_are_judged_by_exact_match_and_texts_by_rouge():
    assert headline_metric([["refund"], ["order status"]]) == "exact_match"
    assert headline_metric([["Iris Bell asks for a refund."]]) == "rougeL"


def test_equal_results_give_equal_pages():
    assert page(evaluation()) == page(evaluation())


@pytest.mark.parametrize(
    ("part", "said"), [(24, "2.4 %"), (99.6, "10 %"), (994, "99 %"), (1000, "100 %"), (1999, "200 %"), (0, "0 %")]
)
def test_a_share_is_said_in_plain_digits(part, said):
    assert share(part, 1000) == said
