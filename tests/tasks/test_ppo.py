"""Stage `ppo`: where its scores come from, what it compares, and what it refuses. The loop is in models/test_reinforcement.py."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from plumbline.errors import ArtifactError, DataError, ParamsError
from plumbline.params import Ppo, load_params
from plumbline.rows import Preference, Ranking, write_rows
from plumbline.world import replies
from plumbline.world.shop import make_shop
from tasks.ppo import beside, compared, function_named, gold_score, other_sources, prompts_of, scorer_in, that_fit

PARAMS = load_params(Path("params.yaml")).ppo


def ranking(row):
    return Ranking(
        id=row["id"], task="reply", group=row["group"], prompt=f"<|user|>\n{row['message']}", completions=row["replies"],
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
    assert function_named("operator:add")([1], [2]) == [1, 2]
    with pytest.raises(ParamsError, match=r"ppo\.rewards\.operator:nothing: .*nothing.*; name a function"):
        function_named("operator:nothing")
    with pytest.raises(ParamsError, match=r"ppo\.rewards\.nowhere\.at:all: No module named"):
        function_named("nowhere.at:all")
    with pytest.raises(ArtifactError, match="no such folder"):
        scorer_in(tmp_path / "away", PARAMS, [])


def test_what_scores_come_from_besides_the_stage_is_known_so_that_its_change_starts_a_run_anew(tmp_path):
    assert other_sources(PARAMS) == {}
    rewards = {"reward": 1.0, "artifacts/other": 0.5, "tests.tasks.test_ppo:ranking": 0.5, "builtins:len": 0.1}
    found = other_sources(PARAMS.model_copy(update={"rewards": rewards, "second_scorer": "artifacts/second"}))
    assert found == {
        "rewards.artifacts/other": Path("artifacts/other"),
        "rewards.tests.tasks.test_ppo:ranking": Path("tests/tasks/test_ppo.py"),
        "second_scorer": Path("artifacts/second"),
    }


def test_a_prompt_that_leaves_no_room_for_an_answer_is_left_out_with_a_line(mails, capsys):
    rows, file = [ranking(each) for each in mails[:3]], Path("data/rankings_train.jsonl")
    causal = SimpleNamespace(max_position_embeddings=512, is_encoder_decoder=False)
    assert that_fit(rows, [432, 100, 12], 80, causal, file) == rows
    assert that_fit(rows, [433, 432, 513], 80, SimpleNamespace(is_encoder_decoder=True), file) == rows  # as T5
    assert capsys.readouterr().out == ""
    assert that_fit(rows, [433, 432, 513], 80, causal, file) == rows[1:2]
    told = f"{file}: 2 of 3 prompts leave no room for an answer of 80 tokens in 512"
    assert capsys.readouterr().out == f"ppo: {told}, and are left out\n"
    encoder_decoder = SimpleNamespace(max_position_embeddings=512, is_encoder_decoder=True)
    assert that_fit(rows, [433, 432, 513], 80, encoder_decoder, file) == rows[:2]
    with pytest.raises(DataError, match=r"3 of 3 prompts leave no room .* in 512; lower ppo\.max_new_tokens or"):
        that_fit(rows, [433, 433, 513], 80, causal, file)


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
        ({"minibatch": 16, "micro_batch": 3}, r"minibatch \(16\) must be a multiple of micro_batch \(3\)"),
        ({"batch": 24, "minibatch": 16}, r"batch \(24\) must be a multiple of minibatch \(16\)"),
        (
            {"lora": {"rank": 8, "alpha": 16, "dropout": 0.1, "targets": "attention"}},
            r"lora\.dropout \(0\.1\) must be 0",
        ),
        (
            {"kl": PARAMS.kl.model_dump() | {"coefficient": 0.0, "control": "adaptive"}},
            r"kl\.coefficient \(0\) must be above 0 for adaptive control",
        ),
        ({"kl": PARAMS.kl.model_dump() | {"horizon": 8}}, r"kl\.horizon \(8\) must be at least batch \(32\)"),
    ],
)
def test_knobs_that_do_not_fit_together_are_refused(knobs, message):
    with pytest.raises(ValueError, match=message):
        Ppo.model_validate(PARAMS.model_dump() | knobs)
