"""Sort out near-duplicates among instructions with rouge-score and with xturing.

    uv run python tools/bench/novelty.py

Instructions are checked one after the other against all that were kept, and kept if
they are new, as Self-Instruct does. They are real ones first; the others are made of
those, by joining the beginning of one to the end of another and by changing some of the
words, so that there are near-duplicates among them. None is there twice.

Both work in this process, on one core; seconds are those in which it computes.
rouge-score scores each text with each kept one, as `RougeScorer.score` does; it does so
for `--sample` texts, spread evenly over the sequence, and its seconds are multiplied
accordingly. Both must decide the same wherever both decide. The exit code tells whether
ours is at least 50 times as fast, and grows no faster than the number of texts to the
power of 1.3.
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from results import Ratio, add_option, record

from xturing.selfinstruct.novelty import NoveltyFilter

SHARED = Path(__file__).parents[3] / "shared" / "data"
THRESHOLD = 0.7
LEAST_RATIO = 50
MOST_GROWTH = 1.3
FEWEST_WORDS = 4
MOST_WORDS = 60


def real(folder: Path) -> list[str]:
    """Return what people asked in the files of a folder, each text once."""
    found = dict.fromkeys(" ".join(text.split()) for text in asked(folder))
    return [text for text in found if FEWEST_WORDS <= len(text.split()) <= MOST_WORDS]


def asked(folder: Path) -> Iterator[str]:
    """Yield all instructions, questions and users' turns."""
    for line in (folder / "seed_tasks.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)["instruction"]
    for row in json.loads((folder / "alpaca_en.json").read_text("utf-8")):
        yield row["instruction"]
    for line in (folder / "gsm8k_300.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)["question"]
    for name in ("preference_en.json", "toolcall_sharegpt_en.json"):
        for row in json.loads((folder / name).read_text("utf-8")):
            for turn in row["conversations"]:
                if turn["from"] == "human":
                    yield turn["value"]


def instructions(folder: Path, count: int, seed: int) -> list[str]:
    """Return that many distinct texts: real ones, and others made of them."""
    chance = random.Random(seed)
    models = real(folder)
    words = [word for text in models for word in text.split()]
    found = dict.fromkeys(models)
    while len(found) < count:
        found.setdefault(varied(joined(models, chance), words, chance))
    texts = list(found)[:count]
    chance.shuffle(texts)
    return texts


def joined(models: Sequence[str], chance: random.Random) -> list[str]:
    """Return the words of a text, or half of them and half of another's."""
    first = chance.choice(models).split()
    if chance.random() < 0.2:
        return first
    second = chance.choice(models).split()
    return first[: -(-len(first) // 2)] + second[len(second) // 2 :]


def varied(text: list[str], words: Sequence[str], chance: random.Random) -> str:
    """Return the text with some of its words exchanged for any others."""
    share = chance.choice([0.1, 0.2, 0.3, 0.5])
    return " ".join(
        chance.choice(words) if chance.random() < share else word for word in text
    )


def ours(texts: Sequence[str]) -> tuple[float, list[bool]]:
    """Return the seconds of the whole sequence, and which texts are new."""
    start = time.process_time()
    kept = NoveltyFilter(THRESHOLD)
    is_new = []
    for text in texts:
        is_new.append(kept.closest(text) is None)
        if is_new[-1]:
            kept.add(text)
    return time.process_time() - start, is_new


def rouge(
    texts: Sequence[str], is_new: Sequence[bool], sample: int
) -> tuple[float, int, int]:
    """Return rouge-score's seconds, and how many decisions it made and shares.

    For a text of the sample, all that were kept before it are kept.
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    step = len(texts) / sample
    places = [int((number + 0.5) * step) for number in range(sample)]
    same = 0
    start = time.process_time()
    for place in places:
        kept = [text for text, new in zip(texts[:place], is_new, strict=False) if new]
        scores = [scorer.score(text, texts[place])["rougeL"].fmeasure for text in kept]
        same += is_new[place] == (max(scores, default=0.0) <= THRESHOLD)
    return (time.process_time() - start) * step, sample, same


def growth(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the exponent of the power law that fits best."""
    x, y = [math.log(size) for size in sizes], [math.log(took) for took in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--against", type=int, default=5000)
    parser.add_argument("--sample", type=int, default=100)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[5000, 10000, 20000, 50000]
    )
    parser.add_argument("--seed", type=int, default=0)
    add_option(parser)
    arguments = parser.parse_args()
    sizes = arguments.sizes
    largest = max(*sizes, arguments.against)
    texts = instructions(arguments.data, largest, arguments.seed)
    spent = []
    for size in sizes:
        seconds, is_new = ours(texts[:size])
        spent.append(seconds)
        print(
            f"{size:>7,} texts: {seconds:8.2f} s, {seconds / size * 1e6:6.0f} µs each, "
            f"{sum(is_new):,} kept",
            flush=True,
        )
    exponent = growth(sizes, spent)
    print(f"growth: texts to the power of {exponent:.2f}", flush=True)
    few = texts[: arguments.against]
    seconds, is_new = ours(few)
    sample = min(arguments.sample, len(few))
    rival, decided, same = rouge(few, is_new, sample)
    ratio = rival / seconds
    print(
        f"rouge-score: {rival:.0f} s for {len(few):,} texts, from {decided:,} of them; "
        f"{same:,} of {decided:,} decisions are ours\n"
        f"xturing: {seconds:.2f} s, {ratio:.0f} times as fast"
    )
    record(
        arguments.json,
        [
            Ratio(name="seconds: rouge-score / xturing", value=ratio),
            Ratio(name="decisions as rouge-score's", value=same / decided),
            Ratio(name="exponent of growth", value=exponent, better="less"),
        ],
    )
    is_good = ratio >= LEAST_RATIO and exponent <= MOST_GROWTH and same == decided
    sys.exit(not is_good)


if __name__ == "__main__":
    main()
