"""Comparisons: many runs over simulated sites, their ledger and its statistics; draws no page."""
