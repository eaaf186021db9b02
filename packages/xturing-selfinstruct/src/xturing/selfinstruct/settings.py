"""What a user may choose about the data that is made."""

from typing import Annotated, Literal

from pydantic import Field

from xturing.core.settings import Settings
from xturing.selfinstruct.filters import KEYWORDS

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(ge=0, le=2)]


class AskingConfig(Settings):
    """What all ways to make data have in common."""

    seed: int = 0
    """What every choice by chance follows from."""
    temperature: Temperature | None = 0.7
    """Of texts that are made up; None for what the service chooses."""
    top_p: Share | None = None
    """Probability of the words that are chosen from; None for the service's choice."""
    request_batch_size: Count = 10
    """Requests that are made from one and the same state of the work."""


class SelfInstructConfig(AskingConfig):
    """How seed tasks become a dataset."""

    num_instructions: Count = 100
    """Instructions to generate."""
    num_instructions_for_finetuning: Count | None = None
    """Instructions to keep for the dataset; None for all."""
    num_prompt_instructions: Count = 8
    """Examples in a prompt, at most 2 of them generated and the others seeds."""
    instructions_per_request: Count = 8
    """New instructions that a prompt asks for."""
    instances_per_instruction: Count = 3
    """Examples of each task that are asked for."""
    answers: Literal["examples", "plain"] = "examples"
    """What is asked about an instruction: for examples with inputs and outputs, or the
    instruction itself, whose whole answer is the output. Small models can do that."""
    classification_only: bool = False
    """Whether only tasks with a few known answers are made."""
    similarity_threshold: Share = 0.7
    """ROUGE-L F1 with a seed or an earlier instruction, above which it is left out."""
    semantic_threshold: Share | None = None
    """Cosine of sentence embeddings, above which an instruction is left out, too; None
    to compare words alone. The extra `semantic` is needed; 0.9 is strict enough."""
    semantic_model: str | None = None
    """Folder with a model of sentence-transformers; None for all-MiniLM-L6-v2."""
    excluded_words: tuple[str, ...] = KEYWORDS
    """Words and phrases with which an instruction is left out."""
    max_instruction_tokens: Count = 1024
    """Longest list of new instructions."""
    max_instance_tokens: Count = 1024
    """Longest answer with examples of a task."""
    patience: Count = 5
    """Batches of requests in a row without a new instruction that end the search."""


class DocumentsConfig(AskingConfig):
    """How documents become a dataset."""

    temperature: Temperature | None = 0.0
    """Of questions and answers; None for what the service chooses."""
    chunk_size: Count = 8000
    """Characters of a passage."""
    chunk_overlap: Annotated[int, Field(ge=0)] = 200
    """Characters that a passage repeats of the one before."""
    num_samples_per_chunk: Count = 5
    """Questions to ask for about a passage."""
    most_answer_words: Count = 80
    max_tokens: Count = 1024
    """Longest answer with all questions of a passage."""
    check: Literal["overlap", "judge", "none"] = "overlap"
    """How it is seen that a passage supports an answer: by its words, by asking the
    model, or not at all."""
    least_overlap: Share = 0.6
    """Share of an answer's own words that the passage has to have."""
    similarity_threshold: Share = 0.7
    """ROUGE-L F1 with an earlier question, above which a question is left out."""
