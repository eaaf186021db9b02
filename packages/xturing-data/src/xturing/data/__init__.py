"""Datasets for fine-tuning: rows in, token ids and a ledger of every token out."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.data.batches import Batch, Step, collate, plan_epoch
    from xturing.data.checking import Problems, problems
    from xturing.data.datasets import (
        BaseDataset,
        InstructionDataset,
        TextDataset,
        open_dataset,
        open_stream,
    )
    from xturing.data.encoding import Encoded, encode
    from xturing.data.examples import Example, Part
    from xturing.data.ledger import Ledger
    from xturing.data.records import Conversation, Document, Message
    from xturing.data.streams import Stream

__all__ = [
    "BaseDataset",
    "Batch",
    "Conversation",
    "Document",
    "Encoded",
    "Example",
    "InstructionDataset",
    "Ledger",
    "Message",
    "Part",
    "Problems",
    "Step",
    "Stream",
    "TextDataset",
    "collate",
    "encode",
    "open_dataset",
    "open_stream",
    "plan_epoch",
    "problems",
]

__getattr__ = exports(
    __name__,
    BaseDataset="datasets",
    Batch="batches",
    Conversation="records",
    Document="records",
    Encoded="encoding",
    Example="examples",
    InstructionDataset="datasets",
    Ledger="ledger",
    Message="records",
    Part="examples",
    Problems="checking",
    Step="batches",
    Stream="streams",
    TextDataset="datasets",
    collate="batches",
    encode="encoding",
    open_dataset="datasets",
    open_stream="datasets",
    plan_epoch="batches",
    problems="checking",
)
