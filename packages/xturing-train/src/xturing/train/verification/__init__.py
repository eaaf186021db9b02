"""Proof, on a user's own model and rows, that ways to train that should agree do."""
