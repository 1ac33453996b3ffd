"""What a model, a report or a vote tells of the scans behind it: attacks that are run, and what they gain."""
