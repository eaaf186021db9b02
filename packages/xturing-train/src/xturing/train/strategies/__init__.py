"""Training on several processes: which there are, and what lies where."""
