"""Rows of preferences and of judgements, by the objective that learns from them."""

from xturing.data import JudgementDataset, PreferenceDataset

WORDS = ("fox", "dog", "paris", "hello")
PAIRS = [
    {"prompt": f"say {a} {n}", "chosen": f"{a} it is", "rejected": f"no {a} and no dog"}
    for a in WORDS
    for n in range(4)
]
JUDGED = [
    {"prompt": f"say {a} {n}", "completion": f"{a} {n}", "label": n % 2 == 0}
    for a in WORDS
    for n in range(4)
]
ROWS = {"dpo": PAIRS, "orpo": PAIRS, "kto": JUDGED}
OPEN = {"dpo": PreferenceDataset, "orpo": PreferenceDataset, "kto": JudgementDataset}
