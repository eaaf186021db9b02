"""Data that the real model writes, and learns from."""

import pytest
import scripts

from xturing.models import BaseModel
from xturing.selfinstruct import SelfInstructConfig, Terms, generate
from xturing.selfinstruct.clients.local import Local

PROMPTS = {
    "instructions": "Write {{ wanted }} questions like these:\n"
    "{% for task in tasks %}\n{{ loop.index }}. {{ task }}\n{% endfor %}",
    "plain": "Answer in a few words. {{ instruction }}",
}
"""What so small a model can follow, and soon has read."""
SEEDS = """What is the capital of Italy?
Which animals live in the sea?
How do you boil an egg?
Why is the sky blue at noon?
What do bees make of flowers?
When do leaves fall from trees?""".splitlines()


@pytest.fixture
def learner(tmp_path):
    model = BaseModel.create("smollm2_lora")
    config = model.finetuning_config()
    config.output_dir = str(tmp_path / "tuned")
    config.max_steps, config.report_samples, config.batch_size = 1, 0, 1
    return model


@pytest.mark.slow
def test_what_the_real_model_writes_is_learnt(smollm2, learner, tmp_path):
    (tmp_path / "prompts").mkdir()
    for name, text in PROMPTS.items():
        (tmp_path / f"prompts/{name}.jinja").write_text(text)
    seeds = [{"instruction": seed, "instances": []} for seed in SEEDS]
    file = scripts.write_lines(tmp_path / "seeds.jsonl", seeds)
    config = SelfInstructConfig(
        num_instructions=3,
        num_prompt_instructions=4,
        instructions_per_request=4,
        max_instruction_tokens=80,
        max_instance_tokens=40,
        answers="plain",
    )
    terms = Terms(prompts=tmp_path / "prompts")
    run = generate(file, Local(smollm2), tmp_path / "run", config, terms)
    assert [stage.accepted for stage in run.stages[:1]] == [3]
    report = learner.finetune(run.dataset())
    assert report.steps == 1
