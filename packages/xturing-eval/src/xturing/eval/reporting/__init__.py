"""What an evaluation's report says, and how it is written: for people, and as JSON."""
