"""Stage `ppo`: where its scores come from, what it compares, and what it refuses. The loop is in models/test_reinforcement.py."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from plumbline.errors import ArtifactError, DataError, ParamsError
from plumbline.params import Ppo, load_params
from plumbline.rows import Preference, Ranking, write_rows
from plumbline.world import replies
from plumbline.world.shop import make_shop
from tasks.ppo import beside, compared, gold_score, prompts_of, refuse_overlong, scorer_named

PARAMS = load_params(Path("params.yaml")).ppo


def ranking(row):
    return Ranking(
        id=row["id"], group=row["group"], prompt=f"<|user|>\n{row['message']}", completions=row["replies"],
        ranks=[1, 2, 3, 4], pairs=[Preference(better=0, worse=1, votes=1.0)], raters=[""], source_file="", source_line=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mails():
    return replies.replies(make_shop("ppo", products=8, customers=9, agents=3, orders=12), 6, "test", 0.1, 1)


def test_the_gold_score_is_the_worlds_grade_of_each_answer_by_the_facts_of_its_own_prompt(mails, tmp_path):
    write_rows(tmp_path / "gold.jsonl", map(replies.hidden, mails))
    rows = [ranking(each) for each in mails]
    gold = gold_score(tmp_path / "gold.jsonl", rows)
    for row, mail in zip(rows, mails, strict=True):
        assert gold([row.prompt] * 4, mail["replies"]) == pytest.approx(mail["gold"])
    best = [mail["replies"][max(range(4), key=mail["gold"].__getitem__)] for mail in mails]
    prompts = [row.prompt for row in rows]
    assert sum(gold(prompts, best)) > sum(gold(prompts, [*best[1:], best[0]])) + 1


def test_there_is_no_gold_score_where_any_prompt_has_no_facts(mails, tmp_path):
    assert gold_score(tmp_path / "gold.jsonl", [ranking(mails[0])]) is None
    write_rows(tmp_path / "gold.jsonl", map(replies.hidden, mails[:1]))
    assert gold_score(tmp_path / "gold.jsonl", [ranking(mails[0])]) is not None
    assert gold_score(tmp_path / "gold.jsonl", [ranking(each) for each in mails]) is None


def test_a_prompt_that_stands_in_several_rankings_is_asked_once(mails, tmp_path):
    rows = [ranking(mails[0]), ranking(mails[1]), ranking(mails[0])]
    write_rows(tmp_path / "rankings_train.jsonl", rows)
    assert [row.id for row in prompts_of(tmp_path / "rankings_train.jsonl")] == [mails[0]["id"], mails[1]["id"]]
    write_rows(tmp_path / "rankings_test.jsonl", [])
    with pytest.raises(DataError, match=r"rankings_test\.jsonl: no rows"):
        prompts_of(tmp_path / "rankings_test.jsonl")


def test_a_reward_may_be_a_python_function_or_the_folder_of_a_scorer(tmp_path):
    assert scorer_named("operator:add", PARAMS)([1], [2]) == [1, 2]
    with pytest.raises(ParamsError, match=r"ppo\.rewards\.operator:nothing: .*nothing.*; name a function"):
        scorer_named("operator:nothing", PARAMS)
    with pytest.raises(ParamsError, match=r"ppo\.rewards\.nowhere\.at:all: No module named"):
        scorer_named("nowhere.at:all", PARAMS)
    with pytest.raises(ArtifactError, match="no such folder"):
        scorer_named(str(tmp_path / "away"), PARAMS)


def test_a_prompt_that_leaves_no_room_for_an_answer_is_refused():
    causal = SimpleNamespace(max_position_embeddings=512, is_encoder_decoder=False)
    refuse_overlong(432, 80, causal, Path("data"))
    with pytest.raises(DataError, match=r"data: prompt and answer may have 513 tokens, and the model reads 512; lower"):
        refuse_overlong(433, 80, causal, Path("data"))
    refuse_overlong(433, 80, SimpleNamespace(max_position_embeddings=512, is_encoder_decoder=True), Path("data"))
    refuse_overlong(900, 80, SimpleNamespace(is_encoder_decoder=True), Path("data"))  # T5 counts no positions


def test_before_and_after_are_compared_answer_by_answer(mails):
    said = [SimpleNamespace(text="a" * n, length=n, ended=n > 2, kl_k1=0.0, kl_k3=0.0) for n in (1, 2, 3, 4, 5, 6)]
    longer = [SimpleNamespace(**(vars(each) | {"text": each.text + "aa", "kl_k1": 0.5})) for each in said]
    length = lambda prompts, answers: [len(each) for each in answers]  # noqa: E731
    scorers = {"length": SimpleNamespace(score=length, weight=2.0)}
    found = compared(beside([ranking(each) for each in mails], said, longer, scorers, {"gold": length}), PARAMS)
    assert found["score"]["before"]["value"] == 7.0 and found["gold"]["after"]["value"] == 5.5
    assert found["score"]["difference"] == pytest.approx({"value": 4.0, "low": 4.0, "high": 4.0})
    assert found["kl_k1"]["difference"]["value"] == 0.5 and found["ended"]["before"]["value"] == pytest.approx(4 / 6)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"micro_batch": 3}, r"minibatch \(16\) must be a multiple of micro_batch \(3\)"),
        ({"batch": 24}, r"batch \(24\) must be a multiple of minibatch \(16\)"),
        (
            {"lora": {"rank": 8, "alpha": 16, "dropout": 0.1, "targets": "attention"}},
            r"lora\.dropout \(0\.1\) must be 0",
        ),
        ({"kl": PARAMS.kl.model_dump() | {"horizon": 8}}, r"kl\.horizon \(8\) must be at least batch \(32\)"),
    ],
)
def test_knobs_that_do_not_fit_together_are_refused(knobs, message):
    with pytest.raises(ValueError, match=message):
        Ppo.model_validate(PARAMS.model_dump() | knobs)
