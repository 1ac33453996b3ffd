"""Causal discovery's part of a run's page: graph, who differs, how clear directions are, when not to believe them."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainct.core.sentences import sentences
from brainct.errors import Refused
from brainct.graphs.cpdag import one_dag
from brainct.pages.drawing import picture
from brainct.pages.graph_chart import GraphEdge, changes, graph, graph_high, layout_of
from brainct.pages.page import Section, Table
from brainct.pages.picture import Picture
from brainct.pages.wording import counted, decimals, listing
from brainct.report import causal_words as words
from brainct.report.plain_part import PlainPart
from brainct.report.run_folder import RunFolder
from brainct.report.tolerant import OrNone, cleaned
from brainct.run import model_file
from brainct.schemes import SCHEMES, about

DRAWN = 40
"""Columns up to which the graph is drawn."""
CLEAR = 2.0
"""Nats by which the best directions should beat the second best; within them an edge stays a line."""

Edge = Annotated[list[Any], Field(min_length=3, max_length=6)]


class Mechanism(BaseModel):
    """Coefficients of the parents: shared, and by hospital its own."""

    parents: list[int]
    coefficients: Mapping[str, list[float]]


class Delivered(BaseModel):
    """What goes with a delivered graph; see schemes._families.said_of. second: J of the second-best directions."""

    model_config = ConfigDict(extra="ignore")

    edges: list[Edge] = []
    warnings: list[str] = []
    mechanisms: list[Mechanism] = []
    value: Annotated[float | None, OrNone] = None
    second: Annotated[float | None, OrNone] = None
    sites: list[str] = []


class CausalPart(PlainPart):
    """See `workload_part.WorkloadPart`."""

    def __init__(self, run: RunFolder):
        super().__init__(run)
        self.columns: Sequence[str] = []
        self.delivered, self.changed = Delivered(), [[False]]
        path = run.folder / model_file.FILE
        if path.is_file():
            self._read(model_file.read_model(path))

    def _read(self, model: model_file.ModelFile) -> None:
        self.columns = list(cleaned(list(getattr(model.plan(), "columns", ()))))
        p = len(self.columns)
        if "graph" not in model.weights or tuple(model.weights["graph"].shape) != (p, p):
            raise Refused(f"{model.name}: its graph is not one of the job's {p} columns; wanted {model_file.WANTED}")
        self.graph = model.weights["graph"].numpy()
        try:
            self.delivered = Delivered.model_validate(cleaned(dict(model.extra)))
        except ValidationError as error:
            raise Refused(f"{model.name}: {sentences(error)}; wanted {model_file.WANTED}") from None
        changed = model.weights.get("changed")
        if changed is not None and tuple(changed.shape) == (p, len(self.delivered.sites)):
            self.changed = changed.bool().tolist()
        else:
            self.changed = [[] for _ in self.columns]

    @cached_property
    def _edges(self) -> list[tuple[int, int, bool, Sequence[float | None]]]:
        """(cause, effect, whether the direction is known, gain, the worst hospital's, hospitals in favour)."""
        told = {(one[0], one[1]): one[3:] for one in self.delivered.edges}
        found: list[tuple[int, int, bool, Sequence[float | None]]] = []
        if not self.columns:
            return found
        dag = one_dag(self.graph)
        for i in range(len(self.columns)):
            for j in range(len(self.columns)):
                if dag[i, j]:
                    numbers = told.get((i, j), told.get((j, i), []))
                    found.append((i, j, not self.graph[j, i], [*numbers, None, None, None][:3]))
        return found

    def warnings(self) -> list[str]:
        """What the search says, generated data, and columns of which too few hospitals share a mechanism."""
        made = [site for site in self.run.sites if self.run.record.sites[site].kind == "generated"]
        said = [f"Generated data, not patients, at {listing(made)}."] if made else []
        few = [name for name, row in zip(self.columns, self.changed, strict=False) if 2 * sum(row) > len(row) > 0]
        if few:
            said.append(
                f"{listing(few)}: fewer than half of the hospitals share a mechanism; read groups, not changes."
            )
        return [*said, *(one[:1].upper() + one[1:] + "." for one in self.delivered.warnings)]

    def model_in_words(self) -> str:
        """Arrows and lines."""
        sure = sum(one[2] for one in self._edges)
        what = f"{counted(sure, 'arrow')} and {counted(len(self._edges) - sure, 'line')} without direction"
        return f"A graph of causes over {counted(len(self.columns), 'column')}: {what}. No model was trained."

    def made(self) -> str:
        """A graph is searched for."""
        return "searched for"

    def left_in_words(self) -> list[str]:
        """What the scheme sends, without its formulas."""
        record = self.run.record
        sent = words.SENT.get(str(record.arguments.get("share", "moments")), "")
        moments = sent == words.SENT["moments"] and record.scheme not in words.SENT
        return [words.SENT.get(record.scheme, sent), words.ALSO, words.SHOWS_MOMENTS if moments else words.SHOWS]

    def data_in_words(self) -> str:
        """Rows."""
        rows = sum(self._samples(site, "train") for site in self.record.sites)
        return f"{counted(rows, 'complete row')}, all of them used for the search: none are set aside for a test."

    def how_good(self) -> list[str]:
        """What was found, in sentences; whether it is true no number says."""
        if not self._edges:
            return ["No column was found to depend on another one."]
        ranked = sorted(self._edges, key=lambda one: -abs(one[3][0] or 0.0))
        said = [f"Best supported by the data: {listing([self._named(one) for one in ranked[:3]])}."]
        if len(ranked) > 3:
            said.append(f"Least: {self._named(ranked[-1])}.")
        return [*said, words.SUPPORTED, *self._who_differs(), words.NO_SCORE]

    def _named(self, edge: tuple[int, int, bool, Any]) -> str:
        i, j, sure, _ = edge
        return f"{self.columns[i]} {'→' if sure else '–'} {self.columns[j]}"

    def _who_differs(self) -> list[str]:
        if not any(map(len, self.changed)):
            return []
        found = [
            f"{name} at {listing([site for site, own in zip(self.delivered.sites, row, strict=True) if own])}"
            for name, row in zip(self.columns, self.changed, strict=True)
            if any(row)
        ]
        return [f"Comes about differently: {listing(found)}."] if found else [words.DIFFERS_NOWHERE]

    def how_sure(self) -> list[str]:
        """The gap to the second-best directions, and edges that one hospital alone supports."""
        said, best, second = [], self.delivered.value, self.delivered.second
        if best is not None and second is not None:
            told = words.CLEARLY if best - second > CLEAR else words.UNCLEAR
            said.append(f"{told} (a gap of {best - second:.1f}; above {CLEAR:.0f} is clear).")
        alone = [self._named(one) for one in self._edges if one[3][2] == 1 and len(self.run.sites) > 1]
        said += [f"One hospital alone supports {listing(alone)}: do not act on it."] if alone else []
        return [*said, words.HOLDS]

    def pictures(self) -> Sequence[Picture]:
        """The graph, and where mechanisms differ."""
        if not self._edges or len(self.columns) > DRAWN:
            return []
        marked = [any(row) for row in self.changed]
        most = max(abs(one[3][0] or 0.0) for one in self._edges) or 1.0
        edges = [GraphEdge(i, j, (abs(told[0] or 0.0) / most) ** 0.5, sure) for i, j, sure, told in self._edges]
        layout = layout_of(self.columns, edges)
        named = listing([self._named(one) for one in self._edges], 40)
        drawn = graph(self.columns, edges, marked, layout)
        found = [picture("graph", f"Causes: {named}.", words.GRAPH, drawn, graph_high(layout))]
        if any(marked):
            high = 1.5 + 0.21 * len(self.columns)
            alt = " ".join(self._who_differs())
            found.append(
                picture("changes", alt, words.CHANGES, changes(self.columns, self.delivered.sites, self.changed), high)
            )
        return found

    def learning(self) -> Section | None:
        """None: nothing is trained."""
        return None

    def quality(self) -> Sequence[Section | None]:
        """Each edge, each mechanism, and when not to believe them."""
        rows = [
            (self._named(one), decimals(one[3][0], 1), decimals(one[3][1], 1), decimals(one[3][2], 0))
            for one in sorted(self._edges, key=lambda one: -abs(one[3][0] or 0.0))
        ]
        unit = "bits" if self.run.record.scheme == "orion" else "nats"
        head = ("edge", f"gain, {unit}", "least gain of a hospital", "hospitals in favour")
        table = [Table("Edges, the strongest first", head, rows)] if rows else []
        return [Section("Each edge", [words.GAIN], table), self._mechanisms(), *self._belief(), *super().quality()]

    def _mechanisms(self) -> Section | None:
        rows = []
        for name, one in zip(self.columns, self.delivered.mechanisms, strict=False):
            causes = [self.columns[k] for k in one.parents if k < len(self.columns)]
            for whose, numbers in sorted(one.coefficients.items(), key=lambda each: (each[0] != "shared", each[0])):
                if causes or whose != "shared":
                    told = ", ".join(f"{cause} {value:.2f}" for cause, value in zip(causes, numbers, strict=False))
                    rows.append((name, whose, told or "no cause; spread differs"))
        table = Table("Coefficients, shared and a hospital's own", ("column", "whose", "causes"), rows)
        return Section("How each column comes about", [words.MECHANISMS], [table]) if rows else None

    def _belief(self) -> list[Section]:
        scheme = self.run.record.scheme
        hidden = about(scheme).privacy if scheme in SCHEMES else ""
        private = [Section("What the hospitals' numbers hide", [f"{hidden[0].upper()}{hidden[1:]}."])] if hidden else []
        return [Section("What must be true, and when not to believe it", words.ASSUMPTIONS), *private]

    def terms(self) -> Mapping[str, str]:
        """Definitions."""
        return words.TERMS
