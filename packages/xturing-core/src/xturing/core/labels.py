"""The one convention that whoever makes labels and whoever reads them must share."""

IGNORE = -100
"""The label of a position where nothing is learnt (PyTorch's `ignore_index`)."""
