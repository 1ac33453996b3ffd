"""A table in a Parquet file is the table in a CSV file."""

import pytest

from brainct.errors import Refused
from brainct.table.read import read_table

parquet = pytest.importorskip("pyarrow.parquet", exc_type=ImportError)


def test_a_parquet_file_gives_the_cells_of_the_same_csv_file(tmp_path):
    import pyarrow as pa

    columns = {"age": [61.5, None, 47.0], "patient": ["a", "b", "b"], "bleed": [1, 0, 1]}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("age,patient,bleed\n61.5,a,1\n,b,0\n47.0,b,1\n")
    assert read_table(tmp_path / "t.parquet").cells == read_table(tmp_path / "t.csv").cells


def test_a_damaged_parquet_file_is_refused_by_its_name(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(Refused, match="t.parquet: can't be read as Parquet"):
        read_table(tmp_path / "t.parquet")


def test_not_a_number_is_a_missing_value(tmp_path):
    import pyarrow as pa

    parquet.write_table(pa.table({"age": [1.0, float("nan"), None]}), tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").cells == {"age": ["1.0", "", ""]}
