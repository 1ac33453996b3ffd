"""Causal graphs over numeric columns: scores of families, searches, and groups of sites; knows no run and no file."""
