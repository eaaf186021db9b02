# pyright: reportMissingImports=false
"""Greedy decoding by CTranslate2 in int8: python ctranslate2_int8.py JOB."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Convert, decode, and print the best rate."""
    import ctranslate2
    from ctranslate2.converters import TransformersConverter
    from transformers import AutoTokenizer

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = str(Path(job["work"]) / "ctranslate2")
    TransformersConverter(job["folder"]).convert(folder, quantization="int8")
    model = ctranslate2.Generator(
        folder, device="cpu", compute_type="int8", intra_threads=job["threads"]
    )
    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    prompt = tokenizer.convert_ids_to_tokens(job["prompt"])

    def decode(tokens: int) -> float:
        started = time.perf_counter()
        model.generate_batch(
            [prompt],
            max_length=tokens,
            min_length=tokens,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        return time.perf_counter() - started

    # The time of the prompt is that of an answer of one token.
    best = min(decode(job["tokens"] + 1) - decode(1) for _ in range(job["rounds"]))
    print(json.dumps({"tokens_per_second": job["tokens"] / best}))


if __name__ == "__main__":
    main()
