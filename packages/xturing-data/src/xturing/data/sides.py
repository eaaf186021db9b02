"""Rows of any kind one by one, as they are shown to people: what is learnt of each."""

from collections.abc import Iterator

from xturing.data.chat import Tokenizer
from xturing.data.datasets import BaseDataset
from xturing.data.encoding import encode_records
from xturing.data.examples import Example
from xturing.data.pairs import encode_judgements, encode_pairs


def sides(dataset: BaseDataset, tokenizer: Tokenizer) -> Iterator[tuple[str, Example]]:
    """Yield what is learnt of each row, after words for where it is from.

    A preference yields its chosen and then its rejected answer.
    """
    records = dataset.records()
    if dataset.kind == "preference":
        for pair in encode_pairs(records, tokenizer):
            yield f"{pair.place}, chosen", pair.chosen
            yield f"{pair.place}, rejected", pair.rejected
    elif dataset.kind == "judgement":
        for judged in encode_judgements(records, tokenizer):
            verdict = "wanted" if judged.is_wanted else "not wanted"
            yield f"{judged.example.place}, {verdict}", judged.example
    else:
        for example in encode_records(records, tokenizer):
            yield example.place, example
