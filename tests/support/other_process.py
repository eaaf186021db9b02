"""A Python process of its own that opens saved models and says what they answer.

It reads a folder and questions as a line of JSON, and answers with a line of JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

from line_process import LineProcess

SUPPORT = Path(__file__).parent


class OtherProcess:
    """Such a process."""

    def __init__(self) -> None:
        self._process = LineProcess(__file__)

    def answers(self, folder: Path, questions: list[str]) -> dict[str, Any]:
        """Return the name, logits and greedy answers of the model in a folder."""
        reply = self._process.ask({"folder": str(folder), "questions": questions})
        assert "error" not in reply, reply["error"]
        return reply

    def close(self) -> None:
        self._process.close()


def serve() -> None:
    sys.path.insert(0, str(SUPPORT))
    import tiny

    from xturing.models import BaseModel

    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            model = BaseModel.load(request["folder"])
            reply = {
                "name": model.config_name,
                "logits": tiny.logits(model).tolist(),
                "answers": tiny.greedy(model, request["questions"]),
            }
        except Exception as error:  # noqa: BLE001  # told to the one who asks
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
