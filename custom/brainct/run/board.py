"""TensorBoard scalars of a run."""

from pathlib import Path


class Board:
    """TensorBoard's event file, written without importing torch's or TensorFlow's wrappers."""

    def __init__(self, folder: Path):
        from tensorboard.summary import Writer

        self._writer = Writer(str(folder))

    def add(self, tag: str, value: float, step: int) -> None:
        """One scalar."""
        self._writer.add_scalar(tag, value, step)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()
