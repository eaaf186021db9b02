"""Rows to curate, and what Hypothesis makes them from."""

from hypothesis import settings
from hypothesis import strategies as st

from xturing.data.records import Conversation, Document, Message, Placed

law = settings(deadline=None, max_examples=40)
FEW = "one two three four five six seven".split()

sentences = st.lists(st.sampled_from(FEW), min_size=1, max_size=8).map(" ".join)


def chat(question: str, answer: str, system: str = "") -> Conversation:
    said = Message("user", question), Message("assistant", answer)
    return Conversation((Message("system", system), *said) if system else said)


def rows_of(records) -> list[Placed]:
    return [Placed(record, f"row {n}") for n, record in enumerate(records, start=1)]


records = st.one_of(
    st.builds(chat, sentences, sentences),
    st.builds(chat, sentences, sentences, sentences),
    st.builds(Document, sentences),
    st.builds(Document, sentences, sentences),
)
row_lists = st.lists(records, max_size=25).map(rows_of)
"""Few words, so that many rows are duplicates or nearly so."""
