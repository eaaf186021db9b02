"""Greedy decoding by an engine of ours: python xturing_engine.py JOB."""

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Decode, and print the best rate."""
    from xturing.models import BaseModel
    from xturing.models.inference import (
        Decoding,
        EngineOptions,
        Request,
        open_engine,
        stream,
    )

    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    options = EngineOptions(
        threads=job["threads"], weights=job["weights"], max_running=1
    )
    engine = open_engine(BaseModel.create("smollm2"), job["engine"], options)
    decoding = Decoding(max_new_tokens=job["tokens"] + 1)
    rates = []
    for _ in range(job["rounds"]):
        request = Request(prompt=tuple(job["prompt"]), decoding=decoding)
        moments = [
            time.perf_counter()
            for piece in stream(engine, request)
            for _ in piece.tokens
        ]
        rates.append((len(moments) - 1) / (moments[-1] - moments[0]))
    engine.close()
    print(json.dumps({"tokens_per_second": max(rates)}))


if __name__ == "__main__":
    main()
