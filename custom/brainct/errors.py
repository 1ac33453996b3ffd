"""The one error that users see: what was got, what was wanted, whose it is, what to do."""


class Refused(ValueError):
    """Input that is refused rather than repaired; its text is shown to the user as it stands, without a traceback."""
