"""Engines, one file each, named as users name them."""
