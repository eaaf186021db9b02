"""Methods of training, one in each file."""
