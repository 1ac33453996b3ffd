"""Reads what runs left behind, compares it, and says how sure the differences are."""
