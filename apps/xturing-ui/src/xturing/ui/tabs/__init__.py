"""The tabs of the page, a file each.

A tab is a class that is made inside `gradio.Blocks`; its components are its fields, and
its methods what happens when they are used.
"""
