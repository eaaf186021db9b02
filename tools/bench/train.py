"""Fine-tune the same rows with rivals and with xturing, in turn, and print the ratios.

    uv run python tools/bench/train.py --rows 200

Each round runs one after the other in processes of their own. Tokens are real ones:
padding is not counted. A rival's seconds are those of training alone; ours are those of
all that comes after loading: encoding, compiling, training, saving. Memory is the peak
of the whole process. What each has learnt is scored on rows that none has seen, by one
and the same code.

The speed of a shared machine drifts within minutes. So every run, the rivals' too,
multiplies matrices after each step, in time that is not counted: ratios are printed as
measured, and at equal speed of the machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from results import Ratio, add_option, record
from watched.machine_speed import MachineSpeed

SHARED = Path(__file__).parents[3] / "shared"
RANK = 8
TRL = ("--with", "trl==1.16.0", "--with", "peft", "--with", "torch==2.15.0")
LLAMA_FACTORY = (
    *("--with", "llamafactory==0.9.5", "--with", "torch==2.11.0"),
    *("--with", "torchvision==0.26.0", "--with", "torchaudio==2.11.0"),
)
RIVALS = {
    "trl": (TRL, "peer_trl.py", ()),
    "trl packing": (TRL, "peer_trl.py", ("--packing",)),
    "llama-factory": (LLAMA_FACTORY, "peer_llamafactory.py", ()),
}
Figures = dict[str, Any]


def ours(arguments: argparse.Namespace) -> Figures:
    """Fine-tune in this process, set up as the rivals' scripts are."""
    from xturing.core.events import listening
    from xturing.models import BaseModel
    from xturing.train import BlocksCompiled, StepEnded
    from xturing.train.throughput import run_flops

    model = BaseModel.create("smollm2_lora")
    config = model.finetuning_config()
    config.learning_rate = 2e-4
    config.batch_size = arguments.batch_size
    config.gradient_accumulation_steps = 1
    config.max_length, config.length_policy = arguments.max_length, "truncate"
    config.lora_rank, config.lora_alpha, config.lora_dropout = RANK, 16, 0.0
    config.warmup_steps, config.max_grad_norm = 0, 1.0
    config.validation_split = 0
    config.output_dir = str(arguments.adapter)
    compiling: list[float] = []
    speed = MachineSpeed()

    def note(event: object) -> None:
        if isinstance(event, BlocksCompiled):
            compiling.append(event.seconds)
        if isinstance(event, StepEnded):
            speed.sample()

    with listening(note), timed_work() as work:
        started = time.perf_counter()
        report = model.finetune(arguments.data)
        seconds = time.perf_counter() - started - speed.spent
    tokens = report.run_ledger.tokens
    trained = seconds - sum(compiling)
    flops = run_flops(model.engine.model, tokens)
    return {
        "tokens": tokens,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(tokens / trained, 1),
        "with_compiling": round(tokens / seconds, 1),
        "peak_gb": round((report.peak_memory_bytes or 0) / 1e9, 2),
        "rate": speed.rate,
        "flops_share": round(flops / trained / speed.rate, 3),
        "outside_share": round(1 - sum(work) / trained, 3),
    }


@contextmanager
def timed_work() -> Iterator[list[float]]:
    """Note the seconds that go forward, backward and into the optimizer."""
    import torch
    from lightning.pytorch.strategies import Strategy

    from xturing.train.module import SupervisedModule

    spent: list[float] = []
    depth = 0

    def timed(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal depth
            started = time.perf_counter()
            depth += 1
            try:
                return real(*given, **named)
            finally:
                depth -= 1
                # The optimizer's step has the last forward and backward within it.
                if not depth:
                    spent.append(time.perf_counter() - started)

        return call

    with (
        patch.object(
            SupervisedModule, "training_step", timed(SupervisedModule.training_step)
        ),
        patch.object(Strategy, "backward", timed(Strategy.backward)),
        patch.object(torch.optim.AdamW, "step", timed(torch.optim.AdamW.step)),
    ):
        yield spent


def held_out_loss(adapter: Path | None, rows: Path, max_length: int) -> float:
    """Return the mean loss of the rows' answers, in nats per token."""
    from peft import PeftModel

    from xturing.data import encode, open_dataset
    from xturing.models import BaseModel
    from xturing.train.evaluation import held_out_loss as score

    model = BaseModel.create("smollm2")
    network = model.engine.model
    if adapter is not None:
        network = PeftModel.from_pretrained(network, str(adapter))
    examples = encode(
        open_dataset(rows),
        model.engine.tokenizer,
        max_length=max_length,
        length_policy="truncate",
    ).examples
    return score(network, examples, pad_id=model.engine.pad_id, batch_size=4).mean


def in_a_process(command: list[str], **variables: str) -> Figures:
    """Run a script and return the figures in its last line."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment |= variables
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def watched(command: list[str], notes: Path) -> Figures:
    """Run a rival's script, and return its figures with the machine's speed."""
    folder = str(Path(__file__).with_name("watched"))
    found = in_a_process(command, PYTHONPATH=folder, WATCHED=str(notes))
    seen = json.loads(notes.read_text(encoding="utf-8"))
    seconds = found["seconds"] - seen["spent"]
    rate = round(found["tokens"] / seconds, 1)
    own = {"seconds": round(seconds, 2), "tokens_per_second": rate}
    return found | own | {"rate": seen["rate"]}


def write_rows(source: Path, folder: Path, rows: int, held_out: int) -> None:
    """Write what the rivals read, and the same conversations as they make of it."""
    given = json.loads(source.read_text(encoding="utf-8"))

    def conversation(row: dict[str, str]) -> Figures:
        question = "\n".join(filter(None, (row["instruction"], row.get("input"))))
        pairs = (("user", question), ("assistant", row["output"]))
        return {"messages": [{"role": who, "content": text} for who, text in pairs]}

    alpaca, rest = given[:rows], given[rows : rows + held_out]
    for name, content in (
        ("alpaca", alpaca),
        ("messages", [conversation(row) for row in alpaca]),
        ("held_out", [conversation(row) for row in rest]),
    ):
        text = json.dumps(content)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def compare(arguments: argparse.Namespace) -> None:
    """Run all in turn, and print every figure and the ratios of the medians."""
    from xturing.models import families
    from xturing.models.hub import locate_family

    model = locate_family(families()["smollm2"]).folder
    runs: dict[str, list[Figures]] = {name: [] for name in (*RIVALS, "xturing")}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_rows(arguments.data, work, arguments.rows, arguments.held_out)
        shape = [
            *("--batch-size", str(arguments.batch_size)),
            *("--max-length", str(arguments.max_length)),
        ]
        for number in range(arguments.rounds):
            for name, done in runs.items():
                adapter = work / f"{name}-{number}"
                if name == "xturing":
                    command = [sys.executable, __file__, "--only-ours"]
                    command += ["--data", str(work / "messages.json")]
                    command += ["--adapter", str(adapter), *shape]
                    found = in_a_process(command)
                else:
                    packages, script, options = RIVALS[name]
                    command = ["uv", "run", "--no-project", "--isolated", *packages]
                    command += ["python", str(Path(__file__).with_name("peer.py"))]
                    command += [str(arguments.peers / script), str(adapter)]
                    command += ["--model", str(model), *shape, *options]
                    command += ["--data", str(work / "alpaca.json")]
                    command += ["--rows", str(arguments.rows)]
                    found = watched(command, work / "speed.json")
                scored = held_out_loss(
                    adapter, work / "held_out.json", arguments.max_length
                )
                done.append(found | {"held_out_loss": scored})
                print(json.dumps({"who": name, **done[-1]}), flush=True)
        untrained = held_out_loss(None, work / "held_out.json", arguments.max_length)
        print(json.dumps({"who": "untrained", "held_out_loss": untrained}))
    record(arguments.json, tell_ratios(runs))


def tell_ratios(runs: dict[str, list[Figures]]) -> list[Ratio]:
    """Print what ours are of theirs, and the shares of ours; return the ratios."""
    ratios: list[Ratio] = []

    def median(name: str, figure: str, *, at_equal_speed: bool = False) -> float:
        return statistics.median(
            float(run[figure]) / (run["rate"] if at_equal_speed else 1)
            for run in runs[name]
        )

    for name in RIVALS:
        for figure in ("tokens_per_second", "with_compiling"):
            for is_equal in (False, True):
                mine = median("xturing", figure, at_equal_speed=is_equal)
                theirs = median(name, "tokens_per_second", at_equal_speed=is_equal)
                about = " at equal speed of the machine" if is_equal else ""
                print(f"{figure}: {mine / theirs:.2f} x {name}{about}")
                said = f"{figure}{about}: xturing / {name}"
                ratios.append(Ratio(name=said, value=mine / theirs))
        for figure in ("peak_gb", "held_out_loss"):
            ratio = median("xturing", figure) / median(name, figure)
            print(f"{figure}: {ratio:.4f} x {name}")
            said = f"{figure}: xturing / {name}"
            ratios.append(Ratio(name=said, value=ratio, better="less"))
    for figure in ("flops_share", "outside_share"):
        print(f"{figure}: {median('xturing', figure):.3f}")
    return ratios


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=SHARED / "data/alpaca_en.json")
    parser.add_argument("--peers", type=Path, default=SHARED / "bench")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--adapter", type=Path, help="where --only-ours saves")
    add_option(parser)
    arguments = parser.parse_args()
    if arguments.only_ours:
        print(json.dumps(ours(arguments)))
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
