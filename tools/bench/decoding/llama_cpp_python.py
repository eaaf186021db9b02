# pyright: reportMissingImports=false
"""Greedy decoding by llama.cpp: python llama_cpp_python.py JOB.

The job's `model` is a GGUF file. Weights that are asked for as q8_0 are made first.
"""

import ctypes
import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Decode, and print the best seconds and the ids."""
    import llama_cpp

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    file = job["model"]
    if job["weights"] == "q8_0":
        made = str(Path(job["work"]) / "q8_0.gguf")
        options = llama_cpp.llama_model_quantize_default_params()
        options.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
        options.allow_requantize = True
        llama_cpp.llama_model_quantize(
            file.encode(), made.encode(), ctypes.byref(options)
        )
        file = made
    cores = job["threads"]
    model = llama_cpp.Llama(
        file, n_threads=cores, n_threads_batch=cores, n_ctx=1024, verbose=False
    )
    best, ids = None, []
    for _ in range(job["rounds"]):
        ids = []
        started = time.perf_counter()
        for token in model.generate(job["prompt"], temp=0.0, reset=True):
            ids.append(token)
            if len(ids) == 1:
                # The time of the prompt is not that of decoding.
                started = time.perf_counter()
            if len(ids) > job["tokens"]:
                break
        seconds = time.perf_counter() - started
        best = min(best or seconds, seconds)
    print(json.dumps({"tokens_per_second": job["tokens"] / best, "ids": ids}))


if __name__ == "__main__":
    main()
