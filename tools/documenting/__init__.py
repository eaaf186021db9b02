"""A site of plain pages from READMEs, docstrings and the command's help."""
