"""Exported models in other programs' hands: nothing of ours reads or computes here."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Step = Callable[[Sequence[int]], Any]
"""Takes new ids, and returns their logits of shape (new, vocabulary)."""
Start = Callable[[], Step]
"""Begins a text of which nothing is known yet."""

LLAMA_CPP = """
import json, sys
from llama_cpp import Llama

file, prompts, length, texts = json.loads(sys.argv[1])
model = Llama(model_path=file, n_ctx=512, n_threads=2, verbose=False)
answers = []
for ids in prompts:
    answer = []
    for id_ in model.generate(ids, temp=0.0, repeat_penalty=1.0):
        answer.append(id_)
        if len(answer) == length:
            break
    answers.append(answer)
    model.reset()
read = [model.tokenize(t.encode(), add_bos=False, special=True) for t in texts]
print(json.dumps([answers, read]))
"""


def greedy(start: Start, ids: Sequence[int], length: int) -> list[int]:
    """Return the most likely ids after others, whether or not they end an answer."""
    step, answer, new = start(), [], list(ids)
    for _ in range(length):
        new = [int(step(new)[-1].argmax())]
        answer += new
    return answer


def until_end(ids: list[int], stops: Sequence[int]) -> list[int]:
    ends = [at for at, id_ in enumerate(ids) if id_ in stops]
    return ids[: ends[0] + 1] if ends else ids


@dataclass(frozen=True)
class Reader:
    """What another program makes of an exported folder."""

    tokenizer: Any
    start: Start

    def prompt(self, question: str) -> list[int]:
        """Return a question's ids, by the chat template that was read."""
        messages = [{"role": "user", "content": question}]
        made = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True
        )
        return made["input_ids"]

    def text(self, ids: Sequence[int]) -> str:
        """Return what ids say, as far as the end of an answer."""
        ended = until_end([*ids], [self.tokenizer.eos_token_id])
        return self.tokenizer.decode(ended, skip_special_tokens=True)

    def answer(self, question: str, length: int) -> str:
        """Return the greedy text after a question."""
        return self.text(greedy(self.start, self.prompt(question), length))

    def choices(self, ids: Sequence[int]) -> list[int]:
        """Return the most likely id after each one."""
        return self.start()(ids).argmax(-1).tolist()


def by_transformers(folder: Path, **options: Any) -> Reader:
    """Return what transformers makes of a folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options["local_files_only"] = True
    network: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, **options
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    return Reader(tokenizer, by_network(network))


def by_transformers_from_gguf(folder: Path) -> Reader:
    """Return what transformers makes of the GGUF file in a folder."""
    (file,) = folder.glob("*.gguf")
    return by_transformers(folder, gguf_file=file.name)


def by_onnx_runtime(folder: Path) -> Reader:
    return _companioned(folder, of_onnx(folder / "model.onnx"))


def by_openvino(folder: Path) -> Reader:
    return _companioned(folder, of_openvino(folder / "openvino_model.xml"))


def _companioned(folder: Path, start: Start) -> Reader:
    from transformers import AutoTokenizer

    return Reader(AutoTokenizer.from_pretrained(folder, local_files_only=True), start)


def by_network(network: Any) -> Start:
    """Return how a model of transformers is asked, one token at a time."""
    import torch

    def start() -> Step:
        past = None

        @torch.inference_mode()
        def step(ids: Sequence[int]) -> Any:
            nonlocal past
            found = network(torch.tensor([ids]), past_key_values=past, use_cache=True)
            past = found.past_key_values
            return found.logits[0]

        return step

    return start


def of_onnx(file: Path) -> Start:
    """Return how ONNX Runtime is asked; the past goes in and out."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    shapes = {each.name: each.shape for each in session.get_inputs()}
    outputs = [each.name for each in session.get_outputs()]

    def start() -> Step:
        past = {
            name: np.zeros((1, shape[1], 0, shape[3]), np.float32)
            for name, shape in shapes.items()
            if name.startswith("past_key_values.")
        }
        earlier = 0

        def step(ids: Sequence[int]) -> Any:
            nonlocal earlier
            arrays = _arrays(ids, earlier) | past
            found = dict(zip(outputs, session.run(outputs, arrays), strict=True))
            for name in past:
                past[name] = found[name.replace("past_key_values", "present")]
            earlier += len(ids)
            return found["logits"][0]

        return step

    return start


def of_openvino(file: Path) -> Start:
    """Return how OpenVINO is asked; it keeps the past itself."""
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    compiled = _core().compile_model(file, "CPU", exact)
    names = {each.any_name for each in compiled.inputs}
    assert names == {"input_ids", "attention_mask", "position_ids", "beam_idx"}

    def start() -> Step:
        request = compiled.create_infer_request()
        earlier = 0

        def step(ids: Sequence[int]) -> Any:
            nonlocal earlier
            beams = {"beam_idx": np.zeros(1, np.int32)}
            found = request.infer(_arrays(ids, earlier) | beams)
            earlier += len(ids)
            return found["logits"][0]

        return step

    return start


@cache
def _core() -> Any:
    """Return OpenVINO's core, which takes signals with it when it goes."""
    import openvino

    return openvino.Core()


def _arrays(ids: Sequence[int], earlier: int) -> dict[str, Any]:
    """Return what a program is given for ids after so many others."""
    after = earlier + len(ids)
    return {
        "input_ids": np.array([ids], np.int64),
        "attention_mask": np.ones((1, after), np.int64),
        "position_ids": np.arange(earlier, after, dtype=np.int64)[None],
    }


def by_llama_cpp(
    file: Path, prompts: list[list[int]], length: int, texts: Sequence[str] = ()
) -> tuple[list[list[int]], list[list[int]]]:
    """Return what llama.cpp writes after each prompt, and how it reads texts."""
    python = os.environ.get("XTURING_LLAMA_PYTHON")
    command = [python, "-c", "import llama_cpp"]
    if python is None or subprocess.run(command, check=False).returncode:
        pytest.skip("XTURING_LLAMA_PYTHON names no Python that has llama_cpp")
    said = json.dumps([str(file), prompts, length, list(texts)])
    done = subprocess.run(
        [python, "-c", LLAMA_CPP, said], capture_output=True, text=True, check=True
    )
    answers, read = json.loads(done.stdout.splitlines()[-1])
    return answers, read
