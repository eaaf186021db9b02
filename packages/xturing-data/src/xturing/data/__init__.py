"""Datasets for fine-tuning: rows in, token ids and a ledger of every token out."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.data.batches import Batch, Step, collate, plan_epoch
    from xturing.data.datasets import (
        BaseDataset,
        InstructionDataset,
        TextDataset,
        open_dataset,
    )
    from xturing.data.encoding import Encoded, encode
    from xturing.data.examples import Example, Part
    from xturing.data.ledger import Ledger
    from xturing.data.records import Conversation, Document, Message

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
    "Step",
    "TextDataset",
    "collate",
    "encode",
    "open_dataset",
    "plan_epoch",
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
    Step="batches",
    TextDataset="datasets",
    collate="batches",
    encode="encoding",
    open_dataset="datasets",
    plan_epoch="batches",
)
