"""Datasets for fine-tuning: rows in, token ids and a ledger of every token out."""

from typing import TYPE_CHECKING

from xturing.core.lazy import exports

if TYPE_CHECKING:
    from xturing.data.batches import Batch, Step, collate, plan_epoch
    from xturing.data.checking import Problems, problems
    from xturing.data.conversion import convert
    from xturing.data.datasets import (
        BaseDataset,
        InstructionDataset,
        JudgementDataset,
        PreferenceDataset,
        TextDataset,
        open_dataset,
        open_stream,
    )
    from xturing.data.encoding import Encoded, encode, encode_records
    from xturing.data.examples import Example, Part
    from xturing.data.ledger import Book, Ledger
    from xturing.data.lengths import fit
    from xturing.data.packing import Packed, PackedBatch, Window, collate_windows, pack
    from xturing.data.pairs import Judged, Pair, encode_judgements, encode_pairs
    from xturing.data.pictures import Text2ImageDataset
    from xturing.data.records import (
        Conversation,
        Document,
        Judgement,
        Message,
        Preference,
    )
    from xturing.data.streams import Stream

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
    "Judgement",
    "JudgementDataset",
    "Ledger",
    "Message",
    "Packed",
    "PackedBatch",
    "Pair",
    "Part",
    "Preference",
    "PreferenceDataset",
    "Problems",
    "Step",
    "Stream",
    "Text2ImageDataset",
    "TextDataset",
    "Window",
    "collate",
    "collate_windows",
    "convert",
    "encode",
    "encode_judgements",
    "encode_pairs",
    "encode_records",
    "fit",
    "open_dataset",
    "open_stream",
    "pack",
    "plan_epoch",
    "problems",
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
    Judgement="records",
    JudgementDataset="datasets",
    Ledger="ledger",
    Message="records",
    Packed="packing",
    PackedBatch="packing",
    Pair="pairs",
    Part="examples",
    Preference="records",
    PreferenceDataset="datasets",
    Problems="checking",
    Step="batches",
    Stream="streams",
    Text2ImageDataset="pictures",
    TextDataset="datasets",
    Window="packing",
    collate="batches",
    collate_windows="packing",
    convert="conversion",
    encode="encoding",
    encode_judgements="pairs",
    encode_pairs="pairs",
    encode_records="encoding",
    fit="lengths",
    open_dataset="datasets",
    open_stream="datasets",
    pack="packing",
    plan_epoch="batches",
    problems="checking",
)
