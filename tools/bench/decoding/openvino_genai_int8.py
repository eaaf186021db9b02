# pyright: reportMissingImports=false
"""Greedy decoding by OpenVINO GenAI in int8: python openvino_genai_int8.py JOB.

The model is exported by optimum-intel, as OpenVINO's own guide has it.
"""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Export, decode, and print the best rate."""
    import numpy as np
    import openvino as ov
    import openvino_genai
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(job["work"]) / "openvino"
    OVModelForCausalLM.from_pretrained(
        job["folder"],
        export=True,
        compile=False,
        quantization_config=OVWeightQuantizationConfig(bits=8),
    ).save_pretrained(folder)
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(job["folder"])
    for name, made in zip(
        ("openvino_tokenizer", "openvino_detokenizer"),
        convert_tokenizer(tokenizer, with_detokenizer=True),
        strict=True,
    ):
        ov.save_model(made, folder / f"{name}.xml")
    pipeline = openvino_genai.LLMPipeline(
        str(folder), "CPU", INFERENCE_NUM_THREADS=job["threads"]
    )
    ids = ov.Tensor(np.array([job["prompt"]], np.int64))

    def decode(tokens: int) -> float:
        options = openvino_genai.GenerationConfig()
        options.max_new_tokens, options.ignore_eos = tokens, True
        started = time.perf_counter()
        pipeline.generate(ids, options)
        return time.perf_counter() - started

    best = min(decode(job["tokens"] + 1) - decode(1) for _ in range(job["rounds"]))
    print(json.dumps({"tokens_per_second": job["tokens"] / best}))


if __name__ == "__main__":
    main()
