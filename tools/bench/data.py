"""Tokenize and mask the same rows with rivals and with xturing, and print the ratios.

    uv run python tools/bench/data.py --rows 50000
    uv run python tools/bench/data.py --stream 2

Rows are those of an Alpaca file, over and over, each with a number of its own behind
its answer. Everyone gets them as a list in memory, works in one process, and learns the
answers only; nothing is cut. Each round runs one after the other in processes of their
own, so that a machine whose speed drifts is fair to all. Seconds are those of
preprocessing alone, peak memory is the whole process's.

With `--stream`, so many gigabytes of the rows are written as JSON lines, and read and
checked as a stream; peak memory beside the file's size is what counts.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from results import Better, Ratio, add_option, record

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
LONGEST = 8192
IGNORE = -100
PEERS: Mapping[str, tuple[str, ...]] = {
    "trl": ("trl==1.16.0", "torch==2.15.0"),
    "llamafactory": (
        *("llamafactory==0.9.5", "torch==2.11.0"),
        *("torchvision==0.26.0", "torchaudio==2.11.0"),
    ),
}
"""What each rival's environment holds, beside what that needs."""


FIGURES: tuple[tuple[str, Better], ...] = (
    ("rows_per_second", "more"),
    ("peak_gb", "less"),
)
"""What is compared, and which way is better."""


def rows_of(path: Path, count: int) -> list[dict[str, str]]:
    """Return that many rows, each different from all others."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [
        {**row, "output": f"{row['output']} ({number})"}
        for number in range(count)
        for row in (found[number % len(found)],)
    ]


def asked(row: dict[str, str]) -> str:
    """Return what the user says."""
    return "\n".join(part for part in (row["instruction"], row.get("input")) if part)


def xturing(rows: list[dict[str, str]], model: str) -> tuple[float, int, int]:
    """Return our seconds, tokens and learnt tokens."""
    from transformers import AutoTokenizer

    from xturing.data import InstructionDataset, encode

    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    start = time.perf_counter()
    encoded = encode(InstructionDataset(rows), tokenizer, max_length=LONGEST)
    seconds = time.perf_counter() - start
    return seconds, encoded.ledger.tokens, encoded.ledger.supervised


def counted(encoded: Any) -> tuple[int, int]:
    """Return the tokens of a rival's rows, and how many of them it learns."""
    tokens = sum(len(ids) for ids in encoded["input_ids"])
    learnt = sum(sum(label != IGNORE for label in row) for row in encoded["labels"])
    return tokens, learnt


def trl(rows: list[dict[str, str]], model: str) -> tuple[float, int, int]:
    """Return the figures of TRL's `SFTTrainer`, which tokenizes when it is made."""
    from datasets import Dataset
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportMissingImports]

    small = AutoConfig.from_pretrained(
        model, num_hidden_layers=1, hidden_size=64, intermediate_size=64
    )
    options = {
        "output_dir": tempfile.mkdtemp(),
        "max_length": LONGEST,
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "completion_only_loss": True,
    }
    data = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": asked(row)}],
                "completion": [{"role": "assistant", "content": row["output"]}],
            }
            for row in rows
        ]
    )
    network = AutoModelForCausalLM.from_config(small)
    tokenizer = AutoTokenizer.from_pretrained(model)
    start = time.perf_counter()
    trainer = SFTTrainer(
        model=network,
        args=SFTConfig(**options),
        train_dataset=data,
        processing_class=tokenizer,
    )
    seconds = time.perf_counter() - start
    return seconds, *counted(trainer.train_dataset)


def llamafactory(rows: list[dict[str, str]], model: str) -> tuple[float, int, int]:
    """Return the figures of LLaMA-Factory's `get_dataset`, which reads a file."""
    from llamafactory.data import (  # pyright: ignore[reportMissingImports]
        get_dataset,
        get_template_and_fix_tokenizer,
    )
    from llamafactory.hparams import (  # pyright: ignore[reportMissingImports]
        get_train_args,
    )
    from llamafactory.model import (  # pyright: ignore[reportMissingImports]
        load_tokenizer,
    )

    folder = Path(tempfile.mkdtemp())
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    info = {"rows": {"file_name": "rows.json"}}
    (folder / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    model_args, data_args, training_args, _, _ = get_train_args(
        {
            "model_name_or_path": model,
            "stage": "sft",
            "do_train": True,
            "dataset_dir": str(folder),
            "dataset": "rows",
            "template": "smollm2",
            "cutoff_len": LONGEST,
            "output_dir": str(folder / "out"),
            "preprocessing_num_workers": 1,
            "overwrite_cache": True,
            "use_cpu": True,
            "report_to": "none",
        }
    )
    module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(module["tokenizer"], data_args)
    start = time.perf_counter()
    found = get_dataset(
        template, model_args, data_args, training_args, stage="sft", **module
    )
    seconds = time.perf_counter() - start
    return seconds, *counted(found["train_dataset"])


RUNNERS: Mapping[str, Callable[[list[dict[str, str]], str], tuple[float, int, int]]] = {
    "xturing": xturing,
    "trl": trl,
    "llamafactory": llamafactory,
}


def stream(path: Path) -> int:
    """Read and check a file's rows, and return how many there are."""
    from xturing.data import open_stream

    return sum(1 for _ in open_stream(path).records())


def write_rows(rows: list[dict[str, str]], path: Path, size: float) -> None:
    """Write the rows over and over, until the file has so many bytes."""
    with path.open("w", encoding="utf-8") as file:
        number = 0
        while file.tell() < size:
            for row in rows:
                number += 1
                said = f"{row['output']} ({number})"
                file.write(json.dumps({**row, "output": said}) + "\n")


def run_stream(arguments: argparse.Namespace) -> None:
    """Stream a big file in a process of its own, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        rows = json.loads(arguments.data.read_text(encoding="utf-8"))
        write_rows(rows, path, arguments.stream * 1e9)
        command = [sys.executable, __file__, "--only", "stream", "--data", str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="")
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    ratio = figures["peak_gb"] / figures["file_gb"]
    name = "peak memory / size of the file that is streamed"
    record(arguments.json, [Ratio(name=name, value=ratio, better="less")])


def cpu_seconds() -> float:
    """Return the seconds that this process and its children had a processor."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run(arguments: argparse.Namespace) -> None:
    """Preprocess in this process, and print the figures as a line of JSON."""
    if arguments.only == "stream":
        start = time.perf_counter()
        rows = stream(arguments.data)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        size = arguments.data.stat().st_size
        figures = {"file_gb": round(size / 1e9, 2), "peak_gb": round(peak / 1e9, 3)}
        print(json.dumps({**figures, "rows": rows, "seconds": round(seconds, 1)}))
        return
    rows = rows_of(arguments.data, arguments.rows)
    runner = RUNNERS[arguments.only]
    before = cpu_seconds()
    seconds, tokens, learnt = runner(rows, arguments.model)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {
        "rows_per_second": round(len(rows) / seconds, 1),
        "peak_gb": round(peak * 1024 / 1e9, 3),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds() - before, 2),
        "tokens": tokens,
        "learnt": learnt,
    }
    print(json.dumps(figures))


def compare(arguments: argparse.Namespace) -> None:
    """Run everyone in turn, and print every figure and the ratios of the medians."""
    from xturing.models import families
    from xturing.models.hub import locate_family

    folder = locate_family(families()["smollm2"]).folder
    shared = [
        *("--data", str(arguments.data), "--rows", str(arguments.rows)),
        *("--model", str(folder)),
    ]
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "DISABLE_VERSION_CHECK": "1",
    }
    runs: dict[str, list[dict[str, float]]] = {}
    for _ in range(arguments.rounds):
        for name in ("xturing", *arguments.peers):
            # Nothing may be found that an earlier round left.
            with tempfile.TemporaryDirectory() as cache:
                done = subprocess.run(
                    [*_python(name), __file__, "--only", name, *shared],
                    capture_output=True,
                    text=True,
                    check=False,
                    env=environment | {"HF_DATASETS_CACHE": cache},
                )
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
            figures = json.loads(done.stdout.strip().splitlines()[-1])
            runs.setdefault(name, []).append(figures)
            print(json.dumps({"who": name, **figures}), flush=True)
    ratios: list[Ratio] = []
    for figure, better in FIGURES:
        medians = {
            name: statistics.median(figures[figure] for figures in found)
            for name, found in runs.items()
        }
        for peer in arguments.peers:
            ratio = medians["xturing"] / medians[peer]
            name = f"{figure}: xturing / {peer}"
            print(f"{name} = {ratio:.2f} ({better} is better)")
            ratios.append(Ratio(name=name, value=ratio, better=better))
    record(arguments.json, ratios)


def _python(name: str) -> list[str]:
    if name == "xturing":
        return [sys.executable]
    packages = [part for package in PEERS[name] for part in ("--with", package)]
    return ["uv", "run", "--no-project", "--isolated", *packages, "python"]


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data/alpaca_en.json")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--stream", type=float, metavar="GB")
    parser.add_argument("--only", choices=[*RUNNERS, "stream"])
    parser.add_argument("--model", help="folder of the model, when run with --only")
    add_option(parser)
    arguments = parser.parse_args()
    if arguments.only:
        run(arguments)
    elif arguments.stream:
        run_stream(arguments)
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
