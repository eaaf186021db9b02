"""Runners: what computes the logits, one file for each way."""
