"""Reports as pages and as Markdown: what they are made of, how they are written."""
