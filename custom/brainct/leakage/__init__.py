"""What attackers learn from the messages of a run, measured; imported by no run."""
