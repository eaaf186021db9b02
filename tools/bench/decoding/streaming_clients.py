"""Clients that have answers streamed, again and again: python streaming_clients.py JOB.

They speak HTTP/1.1 by hand and count events without reading them, so that they take
little of the processor that the server computes on.
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

EVENT = b'"delta":{"content":'
"""What an event with a part of the text holds, and nothing else does."""
USAGE = b'"usage":{'
END = b"\r\n0\r\n\r\n"
"""What a body in chunks ends with; texts have no bare line ends, as they are JSON."""
KEPT = 4096
"""Bytes that are looked at again with the next ones; the last two events fit in."""


@dataclass
class Stream:
    """A streamed answer; times are by the monotonic clock, in seconds."""

    client: int
    asked: float
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    """When events with text came, and how many at once."""
    tokens: int = 0
    """Of the answer, by the server's own count."""


class Client:
    """One connection, kept from request to request."""

    def __init__(self, job: dict[str, Any], number: int) -> None:
        self._job = job
        self._number = number
        self._turn = 0

    async def follow(self, started: float) -> list[Stream]:
        """Ask until the time is over, or often enough."""
        job = self._job
        await asyncio.sleep(self._number * job["ramp"])
        host, port = job["address"].partition("//")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        streams = []
        while self._turn < job["requests"] and _now() < started + job["seconds"]:
            stream = Stream(self._number, _now())
            writer.write(self._request())
            await self._read(reader, stream)
            streams.append(stream)
            self._turn += 1
        writer.close()
        return streams

    def _request(self) -> bytes:
        topics = self._job["topics"]
        topic = topics[(self._number + self._turn) % len(topics)]
        question = f"Write about {topic}, part {self._turn} of {self._number}."
        body = json.dumps(
            {
                "model": self._job["model"],
                "messages": [{"role": "user", "content": question}],
                "max_tokens": self._job["tokens"],
                "stream": True,
                "stream_options": {"include_usage": True},
                "temperature": 0,
            }
        ).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def _read(self, reader: asyncio.StreamReader, stream: Stream) -> None:
        last = b""
        while not last.endswith(END):
            read = await reader.read(65536)
            # What was counted already must not be counted again, whole or in part.
            rest = last[-len(EVENT) + 1 :]
            last = last[-KEPT:] + read
            count = (rest + read).count(EVENT)
            if count:
                stream.arrivals.append((_now(), count))
            if not read or not (stream.arrivals or b" 200 OK\r\n" in last):
                raise SystemExit(f"the server replied {last.decode(errors='replace')}")
        usage = json.loads(b"{" + last[last.rindex(USAGE) :].split(b"}\n\n")[0] + b"}")
        stream.tokens = usage["usage"]["completion_tokens"]


def _now() -> float:
    return time.monotonic()


async def _together(job: dict[str, Any]) -> list[Stream]:
    clients = [Client(job, number) for number in range(job["clients"])]
    started = _now()
    found = await asyncio.gather(*[each.follow(started) for each in clients])
    return [stream for streams in found for stream in streams]


def main() -> None:
    """Ask as the job has it, and print what each answer took."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps([asdict(stream) for stream in asyncio.run(_together(job))]))


if __name__ == "__main__":
    main()
