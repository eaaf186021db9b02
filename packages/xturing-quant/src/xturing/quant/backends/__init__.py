"""Quantization backends, one file each."""
