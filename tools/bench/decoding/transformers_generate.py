"""Greedy decoding by transformers' generate: python transformers_generate.py JOB."""

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Decode, and print the best rate."""
    import torch
    from transformers import AutoModelForCausalLM

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    torch.set_num_threads(job["threads"])
    model: Any = AutoModelForCausalLM.from_pretrained(
        job["folder"], dtype=torch.float32
    )
    ids = torch.tensor([job["prompt"]])

    def decode(tokens: int) -> float:
        started = time.perf_counter()
        with torch.inference_mode():
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                min_new_tokens=tokens,
                max_new_tokens=tokens,
            )
        return time.perf_counter() - started

    best = min(decode(job["tokens"] + 1) - decode(1) for _ in range(job["rounds"]))
    print(json.dumps({"tokens_per_second": job["tokens"] / best}))


if __name__ == "__main__":
    main()
