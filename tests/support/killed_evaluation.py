"""An evaluation that a test kills: `python killed_evaluation.py MODEL ROWS FOLDER`.

It says how far it is, a line a batch.
"""

import sys

from xturing.core.events import Event, listening
from xturing.eval import Advanced, EvalConfig, evaluate


def run(model: str, rows: str, folder: str) -> None:
    evaluate(
        [model],
        rows,
        metrics=["loss", "exact_match", "self_stopping"],
        config=EvalConfig(batch_size=2, max_new_tokens=8),
        folder=folder,
    )


def told(event: Event) -> None:
    if isinstance(event, Advanced):
        sys.stdout.write(f"{event.work} {event.done}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with listening(told):
        run(*sys.argv[1:])
