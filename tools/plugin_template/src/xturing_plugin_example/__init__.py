"""What this package adds to xTuring: one file a kind, led to by an entry point."""
