"""A text generation engine: one attempt at one request. This one says it backwards."""

from xturing.selfinstruct import Reply, Request, Usage


class Example:
    """Answers with the words of the prompt, the last one first."""

    name = "example"

    def __init__(self, model: str) -> None:
        self.model = model

    async def complete(self, request: Request) -> Reply:
        """Return the answer; raise `CallError` where there is none."""
        words = request.prompt.split()
        said = words[::-1][: request.max_tokens]
        return Reply(
            text=" ".join(said),
            finish_reason="stop" if len(said) == len(words) else "length",
            usage=Usage(prompt_tokens=len(words), completion_tokens=len(said)),
        )

    async def close(self) -> None:
        """Do nothing: there is no connection."""
