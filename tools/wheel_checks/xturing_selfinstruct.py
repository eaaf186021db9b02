"""Makes a dataset with the OpenAI client, where neither torch nor other SDKs are.

The first argument is a folder to work in. `EXTRAS` are installed with the wheel.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path

EXTRAS = "openai"
ABSENT = ("torch", "transformers", "cohere", "ai21", "lightning", "gradio")
LIST = "4. Name the rivers that flow through Vienna.\n5. Describe how bread is baked."


class Server(BaseHTTPRequestHandler):
    """Answers every chat with the same list."""

    def do_POST(self) -> None:
        """Answer in the form of a chat completion."""
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": LIST}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
        told = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        body = json.dumps(told | {"choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def main(folder: Path) -> None:
    """Make a dataset of two instructions."""
    from xturing.selfinstruct import Seed, SelfInstructConfig, generate, open_client

    found = [name for name in ABSENT if find_spec(name)]
    if found:
        sys.exit(f"not to be here: {found}")
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    client = open_client("openai:m", base_url=address, api_key="none")
    seeds = [Seed(instruction="Tell a story about a dog.", instances=())]
    config = SelfInstructConfig(num_instructions=2)
    run = generate(seeds, client, folder / "made", config)
    if run.stages[0].accepted != 2 or run.usage.total != 18 * run.requests:
        sys.exit(f"not as it should be: {run}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
