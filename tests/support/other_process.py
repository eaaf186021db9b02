"""A Python process of its own that opens saved models and says what they answer.

It reads a folder and questions as a line of JSON, and answers with a line of JSON.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).parent


class OtherProcess:
    """Such a process, started when it is first asked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def answers(self, folder: Path, questions: list[str]) -> dict[str, Any]:
        """Return the name, logits and greedy answers of the model in a folder."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self._process.stdin
        assert self._process.stdout
        request = {"folder": str(folder), "questions": questions}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        assert "error" not in reply, reply["error"]
        return reply

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.close()
            self._process.wait(timeout=60)
            self._process.stdout.close()


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
