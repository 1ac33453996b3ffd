"""The scans and the model; knows nothing of federation."""
