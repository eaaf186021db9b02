"""What a release takes, one file a step; `release.py` has the verbs."""
