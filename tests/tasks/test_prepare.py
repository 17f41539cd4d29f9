"""Stage `prepare`: every row is used or named, nothing leaks, equal input gives equal bytes, bad input one line."""

import gzip
import json
import os
import random
import re
import runpy
import shutil
from pathlib import Path

import pytest
import yaml
from tokenizers import AddedToken
from transformers import AutoTokenizer

from plumbline.data.duplicates import normalise
from plumbline.errors import DataError, ParamsError
from plumbline.models.tokenizer import train_tokenizer
from plumbline.params import Prepare, World
from plumbline.rows import Example, Ranking, Reject, Thumb, read_rows
from plumbline.stage import run_stage
from plumbline.store import digest, read_json
from tasks.prepare import prepare
from tasks.world import world

ROOT = Path(__file__).parents[2]
CASES = runpy.run_path(str(Path(__file__).with_name("malformed_rows.py")))
ALPACA, MALFORMED, lines = CASES["ALPACA"], CASES["MALFORMED"], CASES["lines"]
REAL = ROOT.parent / "shared" / "data"
THINGS = ["kettle", "lamp", "chair", "radio", "clock", "basket", "mirror", "tent", "scarf", "stove", "ladder"]
SYLLABLES = ["ba", "co", "di", "fu", "ge", "ha", "jo", "ku"]
WORDS = [f"{start}{end}" for start in SYLLABLES for end in ("lan", "mor", "tis", "vek", "rup", "sand")]


def source(path, format, task="instruction", columns=None, limit=0):
    return {"path": path, "format": format, "task": task, "columns": columns or {}, "limit": limit}


def knobs(*sources, **changes):
    usual = {
        "seed": 7,
        "max_tokens": 400,
        "overlong": "reject",
        "validation": 0.1,
        "test": 0.2,
        "near_duplicate": 0.85,
        "reject_limit": 0.5,
        "ties": "keep",
    }
    return Prepare.model_validate({**usual, **changes, "sources": list(sources)})


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A folder that has all of a base model that `prepare` looks at."""
    folder = tmp_path_factory.mktemp("base")
    texts = [f"The {thing} has {word} and costs 2 euros. Why? Human Assistant" for thing in THINGS for word in WORDS]
    train_tokenizer(texts, 700).save_pretrained(folder)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "max_position_embeddings": 100_000}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def encoder_decoder_base(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seq2seq") / "base"
    folder.mkdir()
    for file in base.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, base, no_store):
    """Runs `prepare` on row files in an otherwise empty folder; `place.rows` is where they lie."""

    class Place:
        rows = tmp_path / "data"
        world = tmp_path / "artifacts" / "world"
        out = tmp_path / "artifacts" / "prepare"

        def run(self, params, *, base=base, out=out):
            return prepare(params, base=base, world=self.world, rows=self.rows, out=out)

        def write(self, name, rows):
            (self.rows / name).write_bytes(lines(*rows))

    monkeypatch.chdir(tmp_path)
    Place.rows.mkdir()
    return Place()


def instructions(count, seed="rows"):
    draw = random.Random(seed)
    return [
        {
            "id": f"{seed}-{number}",
            "instruction": f"Say where the {draw.choice(THINGS)} is: {' '.join(draw.choices(WORDS, k=20))}.",
            "input": " ".join(draw.choices(WORDS, k=10)) if number % 2 else "",
            "output": f"It is by the {draw.choice(WORDS)}.",
        }
        for number in range(count)
    ]


def splits(folder, kind=Example, prefix=""):
    return {name: read_rows(folder / f"{prefix}{name}.jsonl", kind) for name in ("train", "validation", "test")}


def test_every_row_is_used_or_named_and_the_numbers_say_so(place):
    rows = instructions(80)
    bad = [{"instruction": "x", "output": ""}, ["a"], rows[3], {**rows[4], "id": "again"}, {"output": 7}]
    place.write("rows.jsonl", [*rows, *bad])
    folder = place.run(knobs(source("data/rows.jsonl", "alpaca")))
    used = [row for split in splits(folder).values() for row in split]
    rejects = read_rows(folder / "rejects.jsonl", Reject)
    assert sorted([row.source_line for row in used] + [row.line for row in rejects]) == list(range(1, 86))
    assert {row.line: row.reason for row in rejects} == {
        81: "blank: output is blank",
        82: "type: the row is a list, not an object",
        83: "id: rows-3 is the id of data/rows.jsonl:4 too; without a column `id`, rows go by their lines",
        84: "duplicate: of data/rows.jsonl:5",
        85: "missing: instruction is not given",
    }
    numbers = read_json(folder / "metrics.json")
    assert numbers["rows"] == {"read": 85, "used": 80, "rejected": 5}
    assert numbers["sources"] == {"data/rows.jsonl": numbers["rows"]}
    assert numbers["rejects"] == {"blank": 1, "type": 1, "id": 1, "duplicate": 1, "missing": 1}
    assert (
        numbers["tasks"]["instruction"]
        == numbers["splits"]
        == {name: len(each) for name, each in splits(folder).items()}
    )


def test_equal_input_gives_equal_bytes_and_no_folder_knows_where_it_lies(place, tmp_path):
    place.write("rows.jsonl", instructions(60))
    params = knobs(source("data/rows.jsonl", "alpaca"))
    one, other = place.run(params), place.run(params, out=tmp_path / "elsewhere" / "again")
    assert digest(one) == digest(other)
    assert not any(str(tmp_path).encode() in file.read_bytes() for file in one.iterdir())


def test_the_prompt_is_the_filled_template_within_the_models_chat_and_the_answer_is_bare(place):
    place.write("rows.jsonl", instructions(60))
    rows = {row["id"]: row for row in instructions(60)}
    for row in splits(place.run(knobs(source("data/rows.jsonl", "alpaca"))))["train"]:
        assert row.prompt.startswith("<|user|>\n") and row.prompt.endswith("\n<|assistant|>\n")
        assert rows[row.id]["instruction"] in row.prompt and rows[row.id]["input"] in row.prompt
        assert row.answer == rows[row.id]["output"] == row.references[0]
        assert row.template.startswith("instruction.")


def test_rows_of_a_group_or_with_a_text_in_common_stand_in_one_split(place):
    rows = [{**row, "group": f"group-{number % 25}"} for number, row in enumerate(instructions(100))]
    rows += [{**rows[0], "id": "common", "group": "group-24", "output": "Elsewhere."}]
    place.write("rows.jsonl", rows)
    found = splits(place.run(knobs(source("data/rows.jsonl", "alpaca"))))
    where = {row.group: name for name, split in found.items() for row in split}
    assert sum(len(split) for split in found.values()) == 101
    assert all(where[row.group] == name for name, split in found.items() for row in split)
    by_id = {row.id: row.group for split in found.values() for row in split}
    assert by_id["common"] == by_id["rows-0"] == by_id["rows-24"] == "group-0"


def test_more_rows_do_not_move_the_others_to_another_split(place, tmp_path):
    place.write("few.jsonl", instructions(60))
    place.write("many.jsonl", instructions(60) + instructions(60, "more"))
    few = splits(place.run(knobs(source("data/few.jsonl", "alpaca"))))
    many = splits(place.run(knobs(source("data/many.jsonl", "alpaca")), out=tmp_path / "artifacts" / "many"))
    for name, split in few.items():
        assert {row.id for row in split} <= {row.id for row in many[name]}


def test_planted_leaks_are_rejected_with_the_row_that_they_leak(place):
    draw = random.Random("leaks")
    rows = instructions(300)
    place.write("rows.jsonl", rows)
    params = knobs(source("data/rows.jsonl", "alpaca"), near_duplicate=0.7)
    test = [row.id for row in splits(place.run(params))["test"]][:40]
    leaks = []
    for row in rows:
        if row["id"] in test:
            words = row["instruction"].split()
            words[draw.choice([0, -1])] = "altered"
            leaks.append({**row, "id": f"leak-{row['id']}", "instruction": " ".join(words), "output": "Elsewhere."})
    place.write("rows.jsonl", rows + leaks)
    folder = place.run(params)
    found = {row.id for row in splits(folder)["train"]} | {row.id for row in splits(folder)["validation"]}
    assert not found & {leak["id"] for leak in leaks}
    named = [row for row in read_rows(folder / "rejects.jsonl", Reject) if row.line > 300]
    assert len(named) > 20
    assert all(row.reason.startswith("near-duplicate: 0.") and " row data/rows.jsonl:" in row.reason for row in named)
    assert sum(row.line <= 300 for row in read_rows(folder / "rejects.jsonl", Reject)) <= 1


def test_an_overlong_row_is_rejected_or_loses_the_end_of_its_longest_field(place, tmp_path):
    rows = instructions(60)
    rows[5]["input"] = " ".join(["kettle", *random.Random(5).choices(WORDS, k=500)])
    rows[6]["output"] = " ".join(random.Random(6).choices(WORDS, k=500))
    place.write("rows.jsonl", rows)
    rejecting = place.run(knobs(source("data/rows.jsonl", "alpaca")))
    assert {row.line: row.reason.split(" ")[0] for row in read_rows(rejecting / "rejects.jsonl", Reject)} == {
        6: "overlong:",
        7: "overlong:",
    }
    cutting = place.run(knobs(source("data/rows.jsonl", "alpaca"), overlong="cut_prompt"), out=tmp_path / "cut")
    [reject] = read_rows(cutting / "rejects.jsonl", Reject)
    assert reject.line == 7 and "the answer alone has" in reject.reason
    [row] = [row for split in splits(cutting).values() for row in split if row.id == "rows-5"]
    assert rows[5]["instruction"] in row.prompt and " ".join(rows[5]["input"].split()[:50]) in row.prompt
    assert row.answer == rows[5]["output"] and row.prompt.endswith("<|assistant|>\n")
    assert read_json(cutting / "metrics.json")["cut"] == 1
    most = read_json(cutting / "metrics.json")["tokens"]["prompt"]["max"]
    assert 400 - 15 < most < 400


def test_an_encoder_decoder_has_max_tokens_for_each_of_prompt_and_answer(place, encoder_decoder_base):
    place.write("rows.jsonl", instructions(60))
    rows = source("data/rows.jsonl", "alpaca")
    longest = read_json(place.run(knobs(rows)) / "metrics.json")["tokens"]["prompt"]["max"]
    limited = knobs(rows, max_tokens=longest, reject_limit=1.0)
    assert read_json(place.run(limited) / "metrics.json")["rows"]["rejected"] > 0
    assert read_json(place.run(limited, base=encoder_decoder_base) / "metrics.json")["rows"]["rejected"] == 0


@pytest.mark.parametrize("mark", ["</s>", "<|assistant|>", "<pad>", "<extra_id_0>"])
def test_a_text_that_spells_a_mark_of_the_tokenizer_is_rejected(place, mark):
    rows = instructions(60)
    rows[2]["output"] += f" {mark} more"
    place.write("rows.jsonl", rows)
    [reject] = read_rows(place.run(knobs(source("data/rows.jsonl", "alpaca"))) / "rejects.jsonl", Reject)
    assert reject.line == 3 and reject.reason.startswith(f"special: a text holds {mark},")


def test_rankings_and_thumbs_have_files_of_their_own_and_only_where_there_are_such_rows(place):
    rows = instructions(80)
    prompts = [row["instruction"] for row in rows]
    place.write("rows.jsonl", rows)
    place.write(
        "ranked.jsonl", [{"prompt": each, "completions": ["a", "b", "c"], "ranks": [2, 1, 1]} for each in prompts]
    )
    place.write("thumbs.jsonl", [{"prompt": each, "completion": "a", "liked": bool(len(each) % 2)} for each in prompts])
    alone = place.run(knobs(source("data/rows.jsonl", "alpaca")))
    assert not list(alone.glob("rankings_*")) and not list(alone.glob("thumbs_*"))
    folder = place.run(
        knobs(
            source("data/rows.jsonl", "alpaca"),
            source("data/ranked.jsonl", "ranked", "preference"),
            source("data/thumbs.jsonl", "thumbs", "preference"),
        )
    )
    rankings, thumbs = splits(folder, Ranking, "rankings_"), splits(folder, Thumb, "thumbs_")
    assert {tuple(row.ranks) for split in rankings.values() for row in split} == {(2, 1, 1)}
    assert {row.liked for split in thumbs.values() for row in split} == {True, False}
    where = [{row.prompt: name for name, split in kind.items() for row in split} for kind in (rankings, thumbs)]
    assert where[0] == where[1] and len(where[0]) == 80
    assert read_json(folder / "metrics.json")["rows"] == {"read": 240, "used": 240, "rejected": 0}


def prompts(count):
    return [row["instruction"] for row in instructions(count)]


def rankings_of(folder):
    return {row.prompt: row for split in splits(folder, Ranking, "rankings_").values() for row in split}


def by_text(row):
    """The pairs of a ranking as texts: (better, worse) and votes."""
    return {(row.completions[each.better], row.completions[each.worse]): each.votes for each in row.pairs}


def test_rows_of_several_people_become_one_ranking_with_all_their_votes(place):
    rows = []
    for text in prompts(60):
        shown = {"prompt": text, "id": text}
        rows += [
            {**shown, "completions": ["a", "b", "c"], "ranks": [1, 2, 3], "rater": "ann"},
            {**shown, "completions": ["c", "a", "b"], "ranks": [3, 2, 1], "rater": "bob"},
            {**shown, "completions": ["b", "c", "a"], "ranks": [2, 2, 1], "rater": "cy"},
        ]
    place.write("ranked.jsonl", rows)
    ranked = source("data/ranked.jsonl", "ranked", "preference")
    folder = place.run(knobs(ranked))
    found = rankings_of(folder)
    assert len(found) == 60
    for row in found.values():
        assert (row.completions, row.ranks, row.raters) == (["a", "b", "c"], [1, 2, 3], ["ann", "bob", "cy"])
        assert by_text(row) == {
            ("a", "b"): 2,
            ("b", "a"): 1,
            ("a", "c"): 3,
            ("b", "c"): 2.5,
            ("c", "b"): 0.5,
        }
    numbers = read_json(folder / "metrics.json")
    assert numbers["rows"] == {"read": 180, "used": 180, "rejected": 0}
    told = numbers["feedback"]["ranked"]
    assert {name: told[name] for name in ("rows", "prompts", "pairs", "verdicts", "ties")} == {
        "rows": 180,
        "prompts": 60,
        "pairs": 180,
        "verdicts": 540,
        "ties": 60,
    }
    assert 0 < told["agreement"] < 1
    without = rankings_of(place.run(knobs(ranked, ties="drop")))
    assert all(by_text(row)["b", "c"] == 2 and ("c", "b") not in by_text(row) for row in without.values())


def test_a_table_of_pairs_becomes_rankings_and_a_circle_in_it_is_named_with_its_rows(place):
    def judged(text, one, other, better, rater="ann"):
        return {"prompt": text, "one": one, "two": other, "better": better, "rater": rater}

    rows = []
    for text in prompts(60):
        rows += [judged(text, "a", "b", 1), judged(text, "c", "b", 2), judged(text, "a", "c", 1)]
    bad = prompts(60)[7]
    rows += [judged(bad, "a", "b", 1, "bob"), judged(bad, "b", "c", 1, "bob"), judged(bad, "a", "c", 2, "bob")]
    rows += [judged(bad, "a", "b", 1, "cy"), judged(bad, "b", "a", 1, "cy"), judged(bad, "a", "b", 1)]
    place.write("pairs.jsonl", rows)
    columns = {"completions": ["one", "two"], "preference": "better"}
    folder = place.run(knobs(source("data/pairs.jsonl", "compared", "preference", columns)))
    assert all(
        (row.completions, row.ranks, row.raters) == (["a", "b", "c"], [1, 2, 3], ["ann"])
        for row in rankings_of(folder).values()
    )
    rejects = {row.line: row.reason for row in read_rows(folder / "rejects.jsonl", Reject)}
    where = ", ".join(f"data/pairs.jsonl:{line}" for line in (181, 182, 183))
    assert {rejects[line] for line in (181, 182, 183)} == {f"cycle: bob puts 'a' over 'b' over 'c' over 'a' ({where})"}
    where = "data/pairs.jsonl:184, data/pairs.jsonl:185"
    assert {rejects[line] for line in (184, 185)} == {f"cycle: cy judges 'a' and 'b' in two ways ({where})"}
    assert rejects[186] == "duplicate: of data/pairs.jsonl:22"
    assert len(rejects) == 6
    assert read_json(folder / "metrics.json")["rejects"] == {"cycle": 5, "duplicate": 1}


def test_a_circle_within_one_row_is_rejected(place):
    rows = [{"prompt": text, "completions": ["a", "b", "c"], "preference": [1, 1, 1]} for text in prompts(60)]
    rows[4]["preference"] = [1, 2, 1]
    place.write("pairs.jsonl", rows)
    folder = place.run(knobs(source("data/pairs.jsonl", "compared", "preference")))
    [reject] = read_rows(folder / "rejects.jsonl", Reject)
    assert reject.line == 5 and "puts 'a' over 'b' over 'c' over 'a'" in reject.reason


def test_a_row_of_nothing_but_ties_is_kept_or_rejected(place):
    rows = [
        {"prompt": text, "completions": ["a", "b"], "preference": number % 2} for number, text in enumerate(prompts(80))
    ]
    place.write("pairs.jsonl", rows)
    pairs = source("data/pairs.jsonl", "compared", "preference")
    kept = place.run(knobs(pairs))
    assert read_json(kept / "metrics.json")["feedback"]["compared"]["ties"] == 40
    assert {tuple(row.ranks) for row in rankings_of(kept).values()} == {(1, 1), (1, 2)}
    numbers = read_json(place.run(knobs(pairs, ties="drop", reject_limit=0.6)) / "metrics.json")
    assert numbers["rejects"] == {"tie": 40}
    assert numbers["feedback"]["compared"] == {"rows": 40, "prompts": 40, "pairs": 40, "verdicts": 40, "ties": 0}


def test_thumbs_up_and_down_on_one_prompt_make_pairs_of_the_ones_over_the_others(place):
    rows = []
    for text in prompts(60):
        rows += [{"prompt": text, "completion": each, "liked": each in "ab"} for each in ("a", "b", "c", "d", "e")]
    rows += [{"prompt": prompts(60)[0], "completion": "e", "liked": True}]  # people differ on this one
    place.write("thumbs.jsonl", rows)
    folder = place.run(knobs(source("data/thumbs.jsonl", "thumbs", "preference")))
    found = rankings_of(folder)
    over = {(better, worse): 1 for better in "ab" for worse in "cde"}
    assert sorted(len(by_text(row)) for row in found.values()) == [4] + [6] * 59
    assert all(by_text(row).items() <= over.items() for row in found.values())
    assert all(row.ranks == [1, 1] + [2] * (len(row.completions) - 2) for row in found.values())
    numbers = read_json(folder / "metrics.json")
    assert numbers["rows"] == {"read": 301, "used": 301, "rejected": 0}
    assert numbers["feedback"]["thumbs"]["pairs"] == 4 + 6 * 59
    assert sum(len(split) for split in splits(folder, Thumb, "thumbs_").values()) == 301


def test_no_prompt_of_any_kind_of_row_is_in_two_splits(place):
    texts = prompts(120)
    place.write("ranked.jsonl", [{"prompt": each, "completions": ["a", "b"], "ranks": [2, 1]} for each in texts[:80]])
    place.write("thumbs.jsonl", [{"prompt": each, "completion": "a", "liked": True} for each in texts[40:]])
    place.write("rows.jsonl", [{"prompt": each, "completion": "a"} for each in texts])
    folder = place.run(
        knobs(
            source("data/ranked.jsonl", "ranked", "preference"),
            source("data/thumbs.jsonl", "thumbs", "preference"),
            source("data/rows.jsonl", "prompt_completion"),
        )
    )
    kinds = [splits(folder), splits(folder, Ranking, "rankings_"), splits(folder, Thumb, "thumbs_")]
    in_split = [{row.prompt for kind in kinds for row in kind[name]} for name in ("train", "validation", "test")]
    assert sum(map(len, in_split)) == len(set().union(*in_split)) == 120


def test_the_worlds_replies_are_ranked_under_the_prompts_of_its_demonstrations_and_no_gold_is_there(place):
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    small = dict.fromkeys(("dialogues", "rewrites", "questions", "traces", "redteam", "stories", "articles"), 4)
    shop = World.model_validate({**params["world"], **small, "orders": 80, "replies": 150, "demonstrations": 100})
    world(shop, out=place.world)
    chosen = [each for each in params["prepare"]["sources"] if each["path"] != "world/dialogues.jsonl"]
    folder = place.run(knobs(*chosen, max_tokens=1500, test=0.2))
    examples, rankings = splits(folder), splits(folder, Ranking, "rankings_")
    for name in ("train", "validation", "test"):
        ranked = {row.id: row for row in rankings[name]}
        shown = [row for row in examples[name] if row.task == "reply"]
        assert shown and all(row.prompt == ranked[row.id].prompt and row.group == ranked[row.id].group for row in shown)
    assert sum(map(len, rankings.values())) == 150
    groups = [{row.group for row in [*examples[name], *rankings[name]]} for name in ("train", "validation", "test")]
    assert not groups[0] & groups[2] and not groups[0] & groups[1] and not groups[1] & groups[2]

    gold = [json.loads(line) for line in (place.world / "gold.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["id"] for row in gold} == {row.id for split in rankings.values() for row in split}
    for file in [place.world / "replies.jsonl", place.world / "instructions.jsonl", *folder.glob("*.jsonl")]:
        text = file.read_text(encoding="utf-8")
        assert not any(f'"{word}"' in text for word in ("gold", "rubric", "facts", "correct", "polite")), file
    ranked = {row.id: row for split in rankings.values() for row in split}
    right = votes = 0.0
    for each in gold:  # the completions keep their order, so that gold can be joined by id
        for pair in ranked[each["id"]].pairs:
            votes += pair.votes
            right += pair.votes * (each["gold"][pair.better] > each["gold"][pair.worse])
    assert votes == 150 * 6 * 3
    assert right / votes == pytest.approx(0.9, abs=0.03)


def test_a_source_that_loses_too_many_rows_stops_the_run_and_its_page_survives(place):
    place.write("rows.jsonl", [*instructions(60), *[{"instruction": "x", "output": ""}] * 40])
    params = knobs(source("data/rows.jsonl", "alpaca"), reject_limit=0.3)
    with pytest.raises(DataError) as raised:
        place.run(params)
    gate, page = str(raised.value).splitlines()
    assert gate.startswith("gate source: expect_column_values_to_be_between (rejected): ")
    assert "data/rows.jsonl (0.4)" in gate
    left = list(place.out.parent.iterdir())
    assert [entry.name for entry in left] == ["prepare.gates.html"] and left[0].name in page
    assert "data/rows.jsonl:61: blank: output is blank" in left[0].read_text(encoding="utf-8")
    place.run(knobs(source("data/rows.jsonl", "alpaca")))
    assert not left[0].exists()


def test_too_few_rows_to_split_are_refused_in_one_line(place):
    place.write("rows.jsonl", instructions(2))
    with pytest.raises(DataError, match=r"no example for .* among 2 rows in 2 groups"):
        place.run(knobs(source("data/rows.jsonl", "alpaca")))


def test_the_worlds_rows_are_read_from_the_worlds_folder(place):
    place.world.mkdir(parents=True)
    rows = [
        {"id": row["id"], "dialogue": row["instruction"], "summaries": [row["output"], "So."]}
        for row in instructions(60)
    ]
    (place.world / "dialogues.jsonl").write_bytes(lines(*rows))
    folder = place.run(
        knobs(source("world/dialogues.jsonl", "dialogue_summary", "summarise", {"summary": "summaries"}))
    )
    row = splits(folder)["train"][0]
    assert row.source_file == "world/dialogues.jsonl" and row.references[1] == "So." and row.task == "summarise"


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case[0])
def test_malformed_rows_end_with_one_line_and_exit_code_1_and_leave_nothing(place, base, capsys, case):
    _, name, content, format, message = case
    path = place.rows / name
    if content is not None:
        path.write_bytes(content)
    elif name == "folder.jsonl":
        path.mkdir()
    elif name == "loop.jsonl":
        path.symlink_to(path)
    elif name == "pipe.jsonl":
        os.mkfifo(path)
    elif name == "near/train.jsonl":
        path.parent.mkdir()
        path.with_name("trains.jsonl").write_bytes(lines(ALPACA))
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["prepare"]["sources"] = [source(f"data/{name}", format, "" if format == "fields" else "instruction")]
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        run_stage(prepare, ["--base", str(base), "--world", "w", "--rows", "data", "--out", "artifacts/prepare"])
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert message in said[0]
    assert all(line.startswith(f"prepare: data/{name}") or len(said) == 1 for line in said), said
    assert len(said) <= 2  # one for each problem
    assert place.out.parent.exists() is False or list(place.out.parent.iterdir()) == []


def read_real(name):
    opened = gzip.open if name.endswith(".gz") else open
    with opened(REAL / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def used_or_named(folder, read):
    numbers = read_json(folder / "metrics.json")["rows"]
    assert numbers["read"] == read
    counts = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in folder.glob("*.jsonl")}
    assert counts["rejects.jsonl"] == numbers["rejected"]
    assert sum(counts.values()) == numbers["used"] + numbers["rejected"] == read
    return numbers


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real rows are not on this machine")
class TestRealRows:
    @pytest.mark.parametrize(("recipe", "read"), [("mts_dialog", 1201), ("self_instruct", 993)])
    def test_every_row_of_a_recipe_is_used_or_named(self, place, recipe, read):
        content = yaml.safe_load((ROOT / "recipes" / f"{recipe}.yaml").read_text(encoding="utf-8"))
        own = [each for each in content["prepare"]["sources"] if not each["path"].startswith("world/")]
        knobs_of_it = {**content["prepare"], "sources": own, "max_tokens": 700, "reject_limit": 1.0, "ties": "keep"}
        params = Prepare.model_validate(knobs_of_it)
        place.rows.rmdir()
        place.rows.symlink_to(REAL)
        assert used_or_named(place.run(params), read)["used"] > read // 2

    @pytest.mark.parametrize(
        ("name", "columns", "least"),
        [("hh_rlhf/harmless_base_test.jsonl.gz", {}, 350), ("ultrafeedback/clean_1000.jsonl.gz", {}, 350)],
    )
    def test_every_pair_of_chosen_and_rejected_is_used_or_named(self, place, name, columns, least):
        place.rows.rmdir()
        place.rows.symlink_to(REAL)
        limited = source(f"data/{name}", "chosen_rejected", "preference", columns, limit=400)
        folder = place.run(knobs(limited, max_tokens=4000, reject_limit=1.0))
        assert used_or_named(folder, 400)["used"] >= least
        assert all(row.ranks == [1, 2] for row in splits(folder, Ranking, "rankings_")["train"])

    def test_no_first_turn_of_the_real_conversations_is_in_two_splits(self, place):
        place.rows.rmdir()
        place.rows.symlink_to(REAL)
        pairs = source("data/hh_rlhf/harmless_base_test.jsonl.gz", "chosen_rejected", "preference")
        folder = place.run(knobs(pairs, max_tokens=100_000))
        found = splits(folder, Ranking, "rankings_")
        turn = re.compile(r"<\|user\|>\n(.*?)\n<\|assistant\|>", re.DOTALL)
        first = [{normalise(turn.match(row.prompt)[1]) for row in found[name]} for name in found]
        assert len(set().union(*first)) == sum(map(len, first)) > 2000
        numbers = read_json(folder / "metrics.json")
        assert numbers["rows"] == {"read": 2312, "used": 2299, "rejected": 13}
        assert numbers["rejects"] == {"blank": 4, "turns": 9}
        assert numbers["feedback"]["chosen_rejected"]["pairs"] == 2299

    def test_six_preferences_by_people_make_a_ranking_of_four_in_every_row(self, place):
        place.rows.rmdir()
        place.rows.symlink_to(REAL)
        columns = {
            "prompt": "question",
            "completions": [f"prediction {number}" for number in (1, 2, 3, 4)],
        }
        compared = source("data/fg_rlhf/qa_feedback_dev.jsonl.gz", "compared", "preference", columns)
        folder = place.run(knobs(compared, max_tokens=10000))
        numbers = read_json(folder / "metrics.json")
        assert numbers["rows"] == {"read": 500, "used": 500, "rejected": 0}
        given = read_real("fg_rlhf/qa_feedback_dev.jsonl.gz")
        ties = sum(row["preference"].count(0) for row in given)
        assert numbers["feedback"]["compared"] == {
            "rows": 500,
            "prompts": 500,
            "pairs": 3000,
            "verdicts": 3000,
            "ties": ties,
        }
        pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
        for row in rankings_of(folder).values():
            for (one, other), better in zip(pairs, given[row.source_line - 1]["preference"], strict=True):
                votes = {(each.better, each.worse): each.votes for each in row.pairs}
                first = {1: 1, 2: 0, 0: 0.5}[better]
                assert (votes.get((one, other), 0), votes.get((other, one), 0)) == (first, 1 - first)
                assert better == 0 or (row.ranks[one] < row.ranks[other]) == (better == 1)

    def test_three_people_on_one_pair_are_one_ranking_with_their_agreement(self, place):
        place.rows.rmdir()
        place.rows.symlink_to(REAL)
        columns = {
            "prompt": ["instruction", "input"],
            "completions": ["response1", "response2"],
            "preference": ["annotator1", "annotator2", "annotator3"],
        }
        folder = place.run(
            knobs(source("data/pandalm/testset_v1.jsonl.gz", "compared", "preference", columns), max_tokens=10000)
        )
        numbers = read_json(folder / "metrics.json")
        assert numbers["rows"] == {"read": 999, "used": 820, "rejected": 179}
        assert numbers["rejects"] == {"blank": 55, "cycle": 17, "duplicate": 101, "type": 6}
        told = numbers["feedback"]["compared"]
        assert (told["pairs"], told["verdicts"]) == (820, 3 * 820)
        assert 0.5 < told["agreement"] < 0.95
        assert all(row.raters == ["annotator1", "annotator2", "annotator3"] for row in rankings_of(folder).values())


def test_a_file_may_be_read_as_two_sources_of_different_kinds(place):
    rows = [{"prompt": each, "chosen": "It is on its way.", "rejected": "No idea."} for each in prompts(60)]
    rows[4]["chosen"] = ""
    place.write("pairs.jsonl", rows)
    folder = place.run(
        knobs(
            source("data/pairs.jsonl", "prompt_completion", "reply", columns={"completion": "chosen"}),
            source("data/pairs.jsonl", "chosen_rejected", "reply"),
        )
    )
    assert sum(map(len, splits(folder).values())) == 59 and len(rankings_of(folder)) == 59
    numbers = read_json(folder / "metrics.json")
    assert numbers["rows"] == numbers["sources"]["data/pairs.jsonl"] == {"read": 120, "used": 118, "rejected": 2}


def test_thumbs_on_one_prompt_are_paired_whatever_template_each_was_given(place):
    rows = [{"prompt": text, "completion": each, "liked": each == "a"} for text in prompts(60) for each in "ab"]
    place.write("thumbs.jsonl", rows)
    folder = place.run(knobs(source("data/thumbs.jsonl", "thumbs", "reply")))
    thumbs = [row for split in splits(folder, Thumb, "thumbs_").values() for row in split]
    shown = {text: {row.prompt for row in thumbs if text in row.prompt} for text in prompts(60)}
    assert any(len(each) > 1 for each in shown.values())  # or nothing is tested
    assert len(rankings_of(folder)) == 60


def test_more_tokens_than_the_base_reads_are_refused_before_anything_is_read(place):
    place.write("rows.jsonl", instructions(60))
    with pytest.raises(ParamsError, match=r"prepare\.max_tokens \(\d+\) must be at most what the base reads \(\d+\)"):
        place.run(knobs(source("data/rows.jsonl", "alpaca"), max_tokens=100_001))


def test_a_mark_that_only_the_added_tokens_call_special_is_a_mark(place, base, tmp_path):
    folder = tmp_path / "marked"
    shutil.copytree(base, folder)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([AddedToken("<|start_header_id|>", special=True)])
    tokenizer.save_pretrained(folder)
    assert "<|start_header_id|>" not in AutoTokenizer.from_pretrained(folder).all_special_tokens  # as in Llama 3
    rows = instructions(60)
    rows[2]["output"] += " <|start_header_id|>system"
    place.write("rows.jsonl", rows)
    [reject] = read_rows(place.run(knobs(source("data/rows.jsonl", "alpaca")), base=folder) / "rejects.jsonl", Reject)
    assert reject.line == 3 and reject.reason.startswith("special: a text holds <|start_header_id|>,")
