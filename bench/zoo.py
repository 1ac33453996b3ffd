"""Which configurations in the layout of MONAI's model zoo import, as they are and with --batch-norm group: a table.

python bench/zoo.py
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.zoo import ZOO

from brainct.ct.bundle.importer import import_bundle
from brainct.errors import Refused


def attempt(config: dict, rule: str) -> str:
    """`yes` with what it is, or the refusal."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "configs").mkdir()
        (Path(folder) / "configs" / "train.json").write_text(json.dumps(config))
        try:
            found = import_bundle(Path(folder), rule, 64 if config["network_def"].__class__ is dict else None)
        except Refused as refusal:
            return str(refusal).partition("\n")[0]
    return "yes, masks" if found.masks else "yes, findings"


def main() -> None:
    """Print the table and the shares."""
    print("| configuration | as it is | `--batch-norm group` |\n|---|---|---|")
    counts = [0, 0]
    for name, (config, _) in ZOO.items():
        cells = [attempt(config, rule) for rule in ("refuse", "group")]
        counts = [count + cell.startswith("yes") for count, cell in zip(counts, cells, strict=True)]
        print(f"| {name} | {' | '.join(cell[:110] for cell in cells)} |")
    print(f"\n{counts[0]} of {len(ZOO)} import as they are, {counts[1]} with GroupNorm in place of BatchNorm")


if __name__ == "__main__":
    main()
