"""A model family: a row of what is known of it."""

from xturing.models.family import Family

FAMILY = Family(
    name="example",
    title="Example",
    checkpoint="someone/example-1b",
    lora_targets=("q_proj", "v_proj"),
    chat_template="chatml",
    decoding="greedy",
    tuning={"all": {"max_length": 512}, "lora": {"batch_size": 4}},
)
