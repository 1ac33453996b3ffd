"""What a job chooses for a table: the question, its columns, the model, and local training."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from brainct.training.config import Choices, Fit

Task = Literal["binary", "classes", "regression"]
Width = Annotated[int, Field(ge=1, le=10**4)]


def _printable(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("wanted a printable name without spaces around it")
    return name


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]


class Model(Choices):
    """The model: `logistic` is one linear layer, which for a regression is linear regression; `mlp` has ReLU layers.

    hidden: widths of the hidden layers of `mlp`.
    """

    kind: Literal["logistic", "mlp"] = "logistic"
    hidden: list[Width] = Field([16], min_length=1, max_length=10)


class TableChoices(Choices):
    """The part of a job's choices that is a table's.

    task: `binary`, whether a sample has the property; `classes`, which one of several it is; `regression`, a number.
    features: how many columns every site has, in the same order, or their names, the same at all sites. outputs: the
    name of the property or number, or of each class as it is written in the sites' target columns. standardise: each
    column to mean 0 and deviation 1 over the training samples of all sites (see table.scaler). project: k, a seeded
    random projection of the columns to k numbers, fewer than the columns; null for none.
    """

    task: Task = "binary"
    features: Width | Annotated[list[Name], Field(min_length=1, max_length=10**4)] = 30
    outputs: Annotated[list[Name], Field(min_length=1, max_length=100)] = ["target"]
    standardise: bool = True
    project: int | None = Field(None, ge=1, le=10**4)
    model: Model = Model()
    fit: Fit = Fit()

    @property
    def columns(self) -> int:
        """d, the number of columns."""
        return self.features if isinstance(self.features, int) else len(self.features)

    @property
    def inputs(self) -> int:
        """How many numbers the model reads of a sample."""
        return self.columns if self.project is None else self.project

    @model_validator(mode="after")
    def _consistent(self) -> "TableChoices":
        if self.task == "classes" and len(self.outputs) < 2:
            raise ValueError("outputs names one class; wanted two or more, as the sites' target columns write them")
        if self.task != "classes" and len(self.outputs) != 1:
            raise ValueError(f"outputs has {len(self.outputs)} names; task {self.task} has one output")
        names = self.outputs if isinstance(self.features, int) else [*self.outputs, *self.features]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is named twice; give each feature and output a name of its own")
        if self.project is not None and self.project >= self.columns:
            raise ValueError(f"project is {self.project}; wanted fewer than the {self.columns} columns, or null")
        return self
