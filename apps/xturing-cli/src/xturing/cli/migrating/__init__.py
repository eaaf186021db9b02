"""Other programs' settings as ours: a table and a reader for each program."""
