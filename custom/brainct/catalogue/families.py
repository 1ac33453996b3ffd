"""For each family of schemes a sentence and one round as a Mermaid sequence diagram, which GitHub and GitLab draw."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A section of docs/schemes.md. says: one plain sentence. round: the lines of a sequence diagram."""

    says: str
    round: str

    def diagram(self) -> str:
        """The round as a fenced block of Mermaid."""
        lines = "".join(f"    {line}\n" for line in self.round.strip().splitlines())
        return f"```mermaid\nsequenceDiagram\n{lines}```\n"


SITES = "participant S as server\nparticipant A as site A\nparticipant B as site B\n"
THREE = SITES + "participant C as site C\n"
FAMILIES = {
    "averaging": Family(
        "The server averages the models that the sites trained.",
        SITES
        + """\
Note over S: holds one model
S->>A: the model
S->>B: the model
Note over A,B: each trains on its own scans, which stay
A->>S: its model and number of scans
B->>S: its model and number of scans
Note over S: the mean of the models, weighted by their numbers of scans
""",
    ),
    "drift": Family(
        "Sites that train long drift apart; a term in the loss, a correction of the gradients or a division by the "
        "number of steps compensates.",
        SITES
        + """\
Note over S: holds one model and, for some schemes, a correction
S->>A: the model, the server's correction
S->>B: the model, the server's correction
Note over A,B: each trains with a term that holds its model back or turns its gradient
A->>S: its model, the change of its own correction
B->>S: its model, the change of its own correction
Note over S: the mean of the models and of the corrections
""",
    ),
    "server optimiser": Family(
        "The server takes the sites' mean change as a gradient and makes a step of its own along it.",
        SITES
        + """\
Note over S: holds one model and its optimiser's state
S->>A: the model
S->>B: the model
Note over A,B: each trains on its own scans, which stay
A->>S: its model and number of scans
B->>S: its model and number of scans
Note over S: the mean change is a gradient, along which the server makes a step
""",
    ),
    "personalisation": Family(
        "Each site uses a model of its own: a part of the network, or a second model, stays at the site.",
        SITES
        + """\
Note over S: holds the shared part of the model, or the whole
S->>A: the shared part
S->>B: the shared part
Note over A: joins it with its own part and trains both
Note over B: joins it with its own part and trains both
A->>S: the shared part, trained
B->>S: the shared part, trained
Note over A,B: the own part stays: head, normalisation, layers or a second model
Note over S: the mean of the shared parts
""",
    ),
    "daisy-chaining": Family(
        "Models travel from site to site, so that each one is trained on the scans of many sites.",
        THREE
        + """\
Note over S: holds a model for each site, only the server knows which came from where
S->>A: the model that C sent
S->>B: the model that A sent
S->>C: the model that B sent
Note over A,C: each trains the model that it received
A->>S: that model, trained further
B->>S: that model, trained further
C->>S: that model, trained further
Note over S: passes each model on to another site, and every b rounds averages them
""",
    ),
    "robust": Family(
        "A few Byzantine sites, which send anything at all by fault or by malice, can't spoil the model.",
        "participant S as server\nparticipant A as site A\nparticipant B as Byzantine site B\nparticipant C as site C\n"
        + """\
Note over S: holds one model and the assumed number of Byzantine sites
S->>A: the model
S->>B: the model
S->>C: the model
Note over A,C: each trains on its own scans, which stay
A->>S: its model
B->>S: anything, by fault or malice
C->>S: its model
Note over S: a middle of the models that a few can't move far, such as the median
""",
    ),
    "matching": Family(
        "Units of different sites' networks that do the same are found and averaged, whatever their order.",
        SITES
        + """\
Note over S: holds one model, with fedma also the layers that are frozen
S->>A: the model
S->>B: the model
Note over A,B: each trains on its own scans, which stay
A->>S: its model, units in its own order
B->>S: its model, units in its own order
Note over S: puts all units into one order, matching similar ones, and averages
""",
    ),
    "communication": Family(
        "Models travel only when they have changed enough to be worth it.",
        SITES
        + """\
Note over S: holds the reference, the last average of all sites
Note over A,B: each trains its own model and measures its distance from the reference
A->>S: its distance only
B->>S: its distance and its model, which moved too far
Note over S: averages the models that moved with a few others, or with all
S->>B: the balanced model
""",
    ),
    "one round": Family(
        "One exchange of sums gives the best last layer in closed form.",
        SITES
        + """\
Note over S: holds one model with a fixed body
S->>A: the model
S->>B: the model
Note over A,B: each computes the inputs of the head and sums their products
A->>S: two matrices of sums for each finding
B->>S: two matrices of sums for each finding
Note over S: adds the sums up and solves for the head
""",
    ),
    "co-training": Family(
        "No model travels: sites label a shared public set, and the majority's labels teach all of them.",
        SITES
        + """\
Note over S: holds the labels of a shared public set
S->>A: the majority's labels
S->>B: the majority's labels
Note over A: trains on its own scans and the labelled public set
Note over B: trains on its own scans and the labelled public set
A->>S: its labels of the public set
B->>S: its labels of the public set
Note over A,B: scans and models stay, and the models may be of different kinds
Note over S: takes for each public scan the label of the majority
""",
    ),
    "wrappers": Family(
        "A wrapper adds one thing to any scheme inside it: secure aggregation, normalised scans, or an average over "
        "rounds.",
        SITES
        + """\
Note over S: holds the inner scheme's memory and a few sums of its own
S->>A: the inner scheme's task, with sums over all sites
S->>B: the inner scheme's task, with sums over all sites
Note over A,B: as the inner scheme, with masks or normalised scans
A->>S: the inner scheme's report, masked or with sums
B->>S: the inner scheme's report, masked or with sums
Note over S: as the inner scheme, on the sum or the mean of rounds
""",
    ),
    "causal graphs": Family(
        "No model is trained: sites score which columns of their tables may be the causes of which, and the server "
        "searches the graph.",
        SITES
        + """\
Note over S: holds a graph, empty at first
S->>A: columns with their possible causes
S->>B: columns with their possible causes
Note over A,B: each scores them on its own rows, which stay
A->>S: a number for each
B->>S: a number for each
Note over S: adds or removes an edge, and needs new scores for what is next to it
""",
    ),
    "baselines": Family(
        "The two ends of the scale: every site alone, and one computer with all scans.",
        SITES
        + """\
Note over S: holds one model
S->>A: the model, with local nothing
S->>B: the model, with local nothing
Note over A,B: gradient over its own scans, with local its own training
A->>S: a gradient, with local counts and losses
B->>S: a gradient, with local counts and losses
Note over S: one step along the mean gradient, with local nothing
""",
    ),
}
"""The families in the page's order. `brainct jobs check` finds a family of the registry that is not here."""
