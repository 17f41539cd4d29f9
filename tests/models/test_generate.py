import pytest

from plumbline.models.generate import generate
from plumbline.models.load import load_model

PROMPTS = ["order 12", "of the copper kettle on 3 May, says Lotte, and of much more", "x", "the kettle arrives"]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "qwen2", "t5", "bart"])
def test_a_batch_answers_as_each_prompt_alone(model_folder, tokenizer, family):
    model = load_model(model_folder(family))
    alone = [generate(model, tokenizer, [prompt], batch=1, max_new_tokens=6)[0] for prompt in PROMPTS]
    assert generate(model, tokenizer, PROMPTS, batch=3, max_new_tokens=6) == alone


def test_progress_reaches_the_number_of_prompts(model_folder, tokenizer):
    seen = []
    model = load_model(model_folder("llama"))
    generate(model, tokenizer, PROMPTS, batch=3, max_new_tokens=1, on_progress=lambda done, of: seen.append((done, of)))
    assert seen == [(3, 4), (4, 4)]


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_greedy_is_greedy_whatever_the_model_brings_along(model_folder, tokenizer, family):
    model = load_model(model_folder(family))
    plain = generate(model, tokenizer, PROMPTS, batch=2, max_new_tokens=12)
    given = {"repetition_penalty": 3.0, "num_beams": 3, "min_length": 9, "no_repeat_ngram_size": 1}
    for name, value in given.items():
        setattr(model.generation_config, name, value)
    assert generate(model, tokenizer, PROMPTS, batch=2, max_new_tokens=12) == plain
    assert {name: getattr(model.generation_config, name) for name in given} == given  # the model keeps them
