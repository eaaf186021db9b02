"""How a run is fitted into a time and a memory that are given."""
