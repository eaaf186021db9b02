"""The xturing command."""
