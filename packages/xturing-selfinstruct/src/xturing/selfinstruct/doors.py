"""The predecessor's calls, which make a dataset in the current folder."""

import re
from pathlib import Path

from xturing.data import InstructionDataset
from xturing.selfinstruct.clients import Client, open_client
from xturing.selfinstruct.documents import from_documents
from xturing.selfinstruct.pipeline import generate
from xturing.selfinstruct.settings import DocumentsConfig, SelfInstructConfig


def generate_dataset(
    path: str | Path,
    engine: str | Client,
    num_instructions: int = 10,
    num_instructions_for_finetuning: int = 5,
    num_prompt_instructions: int = 1,
) -> InstructionDataset:
    """Make a dataset from a file of seed tasks by Self-Instruct.

    `num_instructions` are generated and `num_instructions_for_finetuning` of them kept.
    The run is in a folder that is named after the engine and these numbers; the same
    call goes on there, or returns what was made.

    Raises:
        XTuringError: as `generate` does.
    """
    client = open_client(engine) if isinstance(engine, str) else engine
    numbers = f"{num_instructions}_{num_instructions_for_finetuning}"
    config = SelfInstructConfig(
        num_instructions=num_instructions,
        num_instructions_for_finetuning=num_instructions_for_finetuning,
        num_prompt_instructions=num_prompt_instructions,
    )
    output = f"self_instruct_{_short(client)}_cache_{numbers}"
    return generate(path, client, output, config).dataset()


def generate_dataset_from_dir(
    path: str | Path,
    engine: str | Client,
    num_instructions: int = 10,
    num_instructions_for_finetuning: int = 5,
    num_prompt_instructions: int = 1,
    chunk_size: int = 8000,
    num_samples_per_chunk: int = 5,
    use_self_instruct: bool = False,
) -> InstructionDataset:
    """Make a dataset of questions that the files of a folder answer.

    With `use_self_instruct` they are seeds, from which `generate_dataset` makes
    another dataset. The run is in a folder that is named after the engine and `path`;
    the same call goes on there, and another never adds to it.

    Raises:
        XTuringError: as `from_documents` and `generate` do.
    """
    client = open_client(engine) if isinstance(engine, str) else engine
    config = DocumentsConfig(
        chunk_size=chunk_size,
        chunk_overlap=min(200, chunk_size // 4),
        num_samples_per_chunk=num_samples_per_chunk,
    )
    name = re.sub(r"\W+", "_", Path(path).expanduser().resolve().name)
    output = Path(f"self_instruct_{_short(client)}_{name}_{chunk_size}")
    run = from_documents(path, client, output, config)
    if not use_self_instruct:
        return run.dataset()
    return generate_dataset(
        output / "generated_tasks.jsonl",
        client,
        num_instructions,
        num_instructions_for_finetuning,
        num_prompt_instructions,
    )


def _short(client: Client) -> str:
    """Return the engine as a part of a folder's name."""
    return re.sub(r"\W+", "_", f"{client.name}_{Path(client.model).name}")
