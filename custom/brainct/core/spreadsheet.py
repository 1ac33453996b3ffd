"""Text as a cell of a CSV file that people open in a spreadsheet."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "＝", "＋", "－", "＠")
"""Characters with which a spreadsheet begins a formula, or which it drops before one; and `spreadsheet_cell`'s own."""


def spreadsheet_cell(text: str) -> str:
    """The text as a cell that no spreadsheet computes: a formula gets an apostrophe in front."""
    bare = text.lstrip().lstrip("\ufeff").lstrip()
    return f"'{text}" if text.startswith(FORMULA) or bare.startswith(FORMULA) else text
