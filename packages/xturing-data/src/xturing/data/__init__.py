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
    from xturing.data.encoding import Encoded, encode
    from xturing.data.examples import Example, Part
    from xturing.data.ledger import Ledger
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
    "Conversation",
    "Document",
    "Encoded",
    "Example",
    "InstructionDataset",
    "Judgement",
    "JudgementDataset",
    "Ledger",
    "Message",
    "Part",
    "Preference",
    "PreferenceDataset",
    "Problems",
    "Step",
    "Stream",
    "Text2ImageDataset",
    "TextDataset",
    "collate",
    "convert",
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
    Judgement="records",
    JudgementDataset="datasets",
    Ledger="ledger",
    Message="records",
    Part="examples",
    Preference="records",
    PreferenceDataset="datasets",
    Problems="checking",
    Step="batches",
    Stream="streams",
    Text2ImageDataset="pictures",
    TextDataset="datasets",
    collate="batches",
    convert="conversion",
    encode="encoding",
    open_dataset="datasets",
    open_stream="datasets",
    plan_epoch="batches",
    problems="checking",
)
