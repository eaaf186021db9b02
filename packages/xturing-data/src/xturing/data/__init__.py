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
    from xturing.data.encoding import Encoded, encode, encode_records
    from xturing.data.examples import Example, Part
    from xturing.data.ledger import Book, Ledger
    from xturing.data.lengths import fit
    from xturing.data.packing import Packed, PackedBatch, Window, collate_windows, pack
    from xturing.data.pairs import Judged, Pair, encode_judgements, encode_pairs
    from xturing.data.records import Conversation, Document, Message
    from xturing.data.templates import chat_template

__all__ = [
    "BaseDataset",
    "Batch",
    "Book",
    "Conversation",
    "Document",
    "Encoded",
    "Example",
    "InstructionDataset",
    "Judged",
    "Ledger",
    "Message",
    "Packed",
    "PackedBatch",
    "Pair",
    "Part",
    "Step",
    "TextDataset",
    "Window",
    "chat_template",
    "collate",
    "collate_windows",
    "encode",
    "encode_judgements",
    "encode_pairs",
    "encode_records",
    "fit",
    "open_dataset",
    "pack",
    "plan_epoch",
]

__getattr__ = exports(
    __name__,
    BaseDataset="datasets",
    Batch="batches",
    Book="ledger",
    Conversation="records",
    Document="records",
    Encoded="encoding",
    Example="examples",
    InstructionDataset="datasets",
    Judged="pairs",
    Ledger="ledger",
    Message="records",
    Packed="packing",
    PackedBatch="packing",
    Pair="pairs",
    Part="examples",
    Step="batches",
    TextDataset="datasets",
    Window="packing",
    chat_template="templates",
    collate="batches",
    collate_windows="packing",
    encode="encoding",
    encode_judgements="pairs",
    encode_pairs="pairs",
    encode_records="encoding",
    fit="lengths",
    open_dataset="datasets",
    pack="packing",
    plan_epoch="batches",
)
