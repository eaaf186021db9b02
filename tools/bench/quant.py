"""Measure what quantization costs and gives: fidelity, memory and speed.

    uv run python tools/bench/quant.py fidelity --text text.txt --rows rows.json
    uv run python tools/bench/quant.py memory
    uv run python tools/bench/quant.py speed

`fidelity` is the perplexity on a text in each scheme, and `qlora` what an adapter
learns on quantized weights. `memory` looks at weights, at the peak while loading, and
at that of training a model of over a billion random parameters, each in a process of
its own. `speed` decodes and trains in turn with full precision, with the native backend
and with bitsandbytes, in one process, so that a machine whose speed drifts is fair to
all.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from results import Ratio, add_option, record

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
WINDOW = 500
WINDOWS = 4
CALIBRATION_ROWS = 64
PROMPT = "The history of the city begins"
DECODED = 12
DECODING_ROUNDS = 4
MEGABYTE = 1e6


def fidelity(arguments: argparse.Namespace) -> list[Ratio]:
    """Print the perplexity of the default model under each scheme and backend."""
    from xturing.models import BaseModel

    text = arguments.text.read_text(encoding="utf-8")
    model = BaseModel.create("smollm2")
    ids = model.engine.tokenizer(text)["input_ids"]
    base = perplexity(model, ids)
    print(f"full precision: perplexity {base:.3f}")
    rows = windows(ids[WINDOW * WINDOWS :], CALIBRATION_ROWS)
    cases: list[tuple[str, str, Any]] = [
        *((scheme, "native", None) for scheme in ("int8", "int4", "nf4", "fp4")),
        *((scheme, "native", None) for scheme in ("int3", "int2", "int1")),
        *((scheme, "native", rows) for scheme in ("int4", "int3", "int2", "int1")),
        ("int8", "bitsandbytes", None),
        ("nf4", "bitsandbytes", None),
        ("int8", "torchao", None),
    ]
    if arguments.gptq:
        cases.append(("int4", "gptq", rows))
    ratios: list[Ratio] = []
    for scheme, backend, calibration in cases:
        started = time.perf_counter()
        made = model.quantize(scheme, backend, calibration=calibration)
        seconds = time.perf_counter() - started
        found = perplexity(made, ids)
        how = "calibrated" if calibration else ""
        print(
            f"{scheme:5} {backend:13} {how:11} perplexity {found:8.3f} "
            f"({100 * (found / base - 1):+.2f} %)  made in {seconds:.0f} s",
            flush=True,
        )
        name = f"perplexity: {' '.join((scheme, backend, how)).strip()} / whole"
        ratios.append(Ratio(name=name, value=found / base, better="less"))
    return ratios


def qlora(arguments: argparse.Namespace) -> list[Ratio]:
    """Print the held-out loss after LoRA on whole and on 4-bit weights."""
    from xturing.data import open_dataset
    from xturing.models import BaseModel

    losses: dict[str, float] = {}
    for name in ("smollm2_lora", "smollm2_lora_int4", "smollm2_lora_int8"):
        model = BaseModel.create(name)
        config = model.finetuning_config()
        config.learning_rate = 2e-4
        config.batch_size, config.gradient_accumulation_steps = 4, 2
        config.max_length, config.validation_split = 1024, 0.2
        config.num_train_epochs = 1
        rows = open_dataset(arguments.rows, limit=100)
        with tempfile.TemporaryDirectory() as folder:
            config.output_dir = f"{folder}/out"
            report = model.finetune(rows)
        losses[name] = report.loss_after or 0.0
        change = 100 * (losses[name] / losses["smollm2_lora"] - 1)
        print(
            f"{name}: held-out loss {report.loss_before:.4f} -> {losses[name]:.4f} "
            f"({change:+.2f} % of full precision's), {report.seconds:.0f} s",
            flush=True,
        )
    whole = losses.pop("smollm2_lora")
    return [
        Ratio(name=f"held-out loss: {name} / whole", value=loss / whole, better="less")
        for name, loss in losses.items()
    ]


def memory(arguments: argparse.Namespace) -> list[Ratio]:
    """Print weights and peaks, each of a process of its own."""
    ratios: list[Ratio] = []
    for name in ("smollm2", "smollm2_int8", "smollm2_int4"):
        ratios += show(name, in_a_process("load", name))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "billion"
        in_a_process("make", str(checkpoint))
        for name in ("generic_int4", "generic_lora", "generic_lora_kbit"):
            kind = "load" if name == "generic_int4" else "train"
            figures = in_a_process(kind, name, str(checkpoint))
            ratios += show(f"{name}, over a billion", figures)
    return ratios


def speed(arguments: argparse.Namespace) -> list[Ratio]:
    """Print how fast models decode and train, in turn, and the ratios."""
    from xturing.models import BaseModel

    variants: dict[str, dict[str, Any]] = {
        "fp32": {"name": "smollm2"},
        "native int8": {"name": "smollm2_int8"},
        "native int4": {"name": "smollm2_int4"},
        "bitsandbytes int8": {"name": "smollm2_int8", "backend": "bitsandbytes"},
    }
    models = {who: BaseModel.create(**options) for who, options in variants.items()}
    models["bitsandbytes nf4"] = models["fp32"].quantize("nf4", "bitsandbytes")
    decoders = {who: decoder(model) for who, model in models.items()}
    found = timed(decoders, DECODING_ROUNDS * arguments.rounds)
    ratios = show_ratios("decoding, seconds a token", found, "fp32")
    steps = {
        name: trainer(BaseModel.create(name))
        for name in ("smollm2_lora", "smollm2_lora_int8", "smollm2_lora_int4")
    }
    found = timed(steps, arguments.rounds)
    return ratios + show_ratios("training, seconds a step", found, "smollm2_lora")


def perplexity(model: Any, ids: list[int]) -> float:
    """Return exp(mean loss) over the first windows of a text."""
    import torch

    losses = []
    for row in windows(ids, WINDOWS):
        with torch.inference_mode():
            logits = model.engine.model(row).logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(logits, row[0, 1:]))
    return float(torch.stack(losses).mean().exp())


def windows(ids: list[int], count: int) -> list[Any]:
    """Return the first token ids as tensors of shape (1, window)."""
    import torch

    starts = range(0, min(len(ids) - WINDOW, WINDOW * (count - 1)) + 1, WINDOW)
    return [torch.tensor([ids[start : start + WINDOW]]) for start in starts]


def decoder(model: Any) -> Callable[[], float]:
    """Return a function that decodes greedily and returns seconds a token."""
    import torch

    tokenizer, network = model.engine.tokenizer, model.engine.model
    ids = tokenizer(PROMPT, return_tensors="pt")
    # Nothing ends an answer: holding back the end of turn by `min_new_tokens` takes as
    # long as a tenth of the model does.
    network.generation_config.eos_token_id = None

    def decode() -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            answer = network.generate(
                **ids, max_new_tokens=DECODED, do_sample=False, pad_token_id=0
            )
        seconds = time.perf_counter() - started
        return seconds / (answer.shape[1] - ids["input_ids"].shape[1])

    return decode


def trainer(model: Any) -> Callable[[], float]:
    """Return a function that takes a training step and returns its seconds."""
    import torch

    from xturing.models.loss import supervised_losses, trainable

    torch.manual_seed(0)
    network = model.prepare_training().train()
    optimizer = torch.optim.AdamW([weight for _, weight in trainable(network)])
    ids = torch.randint(0, 40_000, (4, 192))

    def step() -> float:
        started = time.perf_counter()
        losses = supervised_losses(network, ids, ids, torch.ones_like(ids))
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        return time.perf_counter() - started

    return step


def timed(
    functions: dict[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Run the functions in turn and return their seconds, a warm-up left out."""
    found: dict[str, list[float]] = {who: [] for who in functions}
    for _ in range(rounds + 1):
        for who, function in functions.items():
            found[who].append(function())
    return {who: seconds[1:] for who, seconds in found.items()}


def show_ratios(what: str, found: dict[str, list[float]], base: str) -> list[Ratio]:
    """Print the medians, and the median of each round's ratio to the base."""
    print(what)
    medians: list[Ratio] = []
    for who, seconds in found.items():
        ratios = [one / other for one, other in zip(found[base], seconds, strict=True)]
        print(
            f"  {who:20} {statistics.median(seconds):.4f}  "
            f"{statistics.median(ratios):.2f}x as fast as {base}",
            flush=True,
        )
        if who != base:
            name = f"{what}: {base} / {who}"
            medians.append(Ratio(name=name, value=statistics.median(ratios)))
    return medians


def load(name: str, checkpoint: str | None = None) -> dict[str, float]:
    """Open a model in this process and return what it took."""
    from xturing.models import BaseModel
    from xturing.quant.layers import packed_weights
    from xturing.quant.quantizing import quantized_modules

    import_everything()
    with watched() as peak:
        model = BaseModel.create(
            name, **({"model_name": checkpoint} if checkpoint else {})
        )
    network = model.engine.model
    held = [
        (backend, module) for backend, module in quantized_modules(network).values()
    ]
    weights = sum(
        tensor.nbytes for tensor in {*network.parameters(), *network.buffers()}
    )
    packed = sum(
        tensor.nbytes
        for backend, module in held
        for tensor in backend.tensors(module).values()
    )
    sizes = [
        4 * math.prod(packed.shape)
        for _, module in held
        for packed in packed_weights(module).values()
    ]
    return {
        "weights": weights,
        "quantized layers": packed,
        "the same in fp32": sum(sizes),
        "largest layer in fp32": max(sizes, default=0),
        "peak above start": peak["anonymous"],
        "peak of the process": peak["process"],
    }


def make(checkpoint: str) -> dict[str, float]:
    """Write a random model of over a billion parameters to a folder."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from xturing.models import families
    from xturing.models.hub import locate_family

    tokenizer = AutoTokenizer.from_pretrained(
        locate_family(families()["smollm2"]).folder
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=16,
        num_key_value_heads=16,
    )
    torch.set_default_dtype(torch.bfloat16)
    LlamaForCausalLM(config).save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)
    return {}


def train(name: str, checkpoint: str) -> dict[str, float]:
    """Take two training steps in this process and return the peak."""
    from xturing.models import BaseModel

    import_everything()
    with watched() as peak:
        model = BaseModel.create(name, model_name=checkpoint)
        step = trainer(model)
        seconds = [step(), step()]
    return {
        "seconds a step": seconds[-1],
        "peak above start": peak["anonymous"],
        "peak of the process": peak["process"],
    }


def import_everything() -> None:
    """Import what opening a model imports, so that it does not count."""
    for module in ("peft", "transformers.models.llama.modeling_llama"):
        import_module(module)
    import_module("xturing.models.packing")


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Yield what will hold the highest anonymous memory above that at the start.

    Anonymous memory is what a process asks for; pages of a file that it reads are the
    kernel's cache, and go when memory is needed.
    """
    found: dict[str, float] = {"anonymous": 0.0, "process": 0.0}
    stopped = threading.Event()
    start = anonymous()

    def look() -> None:
        while not stopped.wait(0.002):
            found["anonymous"] = max(found["anonymous"], anonymous() - start)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        stopped.set()
        watcher.join()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found["process"] = peak * 1024.0


def anonymous() -> float:
    """Return this process's anonymous resident memory in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024.0
    return 0.0


def in_a_process(kind: str, *arguments: str) -> dict[str, float]:
    """Run one of the measurements in a process of its own."""
    command = [sys.executable, __file__, kind, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def show(title: str, figures: dict[str, float]) -> list[Ratio]:
    """Print figures, bytes as megabytes, and what they come to."""
    print(title)
    for name, value in figures.items():
        seconds = name.startswith("seconds")
        shown = f"{value:.1f} s" if seconds else f"{value / MEGABYTE:,.0f} MB"
        print(f"  {name:24} {shown:>12}")
    if not figures.get("the same in fp32"):
        return []
    ratio = figures["quantized layers"] / figures["the same in fp32"]
    over = figures["peak above start"] - figures["weights"]
    over -= figures["largest layer in fp32"]
    print(f"  layers / fp32            {ratio:12.3f}")
    print(f"  peak - weights - largest {over / MEGABYTE:9,.0f} MB", flush=True)
    return [Ratio(name=f"layers / fp32: {title}", value=ratio, better="less")]


PARTS: dict[str, Callable[[argparse.Namespace], list[Ratio]]] = {
    "fidelity": fidelity,
    "qlora": qlora,
    "memory": memory,
    "speed": speed,
}
INNER: dict[str, Callable[..., dict[str, float]]] = {
    "load": load,
    "make": make,
    "train": train,
}


def main() -> None:
    """Read the options and run."""
    if len(sys.argv) > 1 and sys.argv[1] in INNER:
        print(json.dumps(INNER[sys.argv[1]](*sys.argv[2:])))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--text", type=Path, default=SHARED / "wiki.txt")
    parser.add_argument("--rows", type=Path, default=SHARED / "alpaca_en.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gptq", action="store_true", help="needs the group gptq")
    add_option(parser)
    arguments = parser.parse_args()
    record(arguments.json, PARTS[arguments.part](arguments))


if __name__ == "__main__":
    main()
