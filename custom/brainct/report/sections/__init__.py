"""The sections of one run's report."""
