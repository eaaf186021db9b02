"""From logits to text, for one answer each: choosing tokens and showing them.

Knows nothing of engines: who has logits, as a numpy array, can use it.
"""
