"""The sentences of causal discovery's pages, for readers who know no causality."""

NO_SCORE = "Whether the arrows are true no number on this page says: a graph of causes is a hypothesis, not a finding."
HOLDS = (
    "All of this holds only if the assumptions below hold, first of all that nothing unmeasured, such as age, acts on "
    "two of the columns. The hospitals' data alone can't show that they do."
)
GRAPH = (
    "Suspected causes above suspected effects. Thick: without this arrow or line the hospitals' rows fit much worse; "
    "thin: a little worse. A dashed line: the two go together, and the data can't tell which one acts on the other."
)
CHANGES = (
    "Rows are columns of the tables. A filled place: at this hospital the column comes about differently from the "
    "largest group of hospitals: another treatment, another patient group, and just as well another scanner or another "
    "way of writing the value down."
)
GAIN = (
    "The gain is how much better the rows are explained with the edge than without it, over all hospitals. An edge "
    "that gains at one hospital only, or loses at another one, deserves doubt."
)
MECHANISMS = (
    "Each number says by how much the column rises, or with a minus falls, if the cause rises by one unit. Where the "
    "graph has a line, this table had to choose one of its two directions; that choice says nothing."
)
SUPPORTED = "Neither is the size of an effect, nor a probability."
DIFFERS_NOWHERE = "The same relations fitted at all hospitals; that does not prove that the hospitals are alike."
UNCLEAR = "Another choice of directions fits about as well, so that some of them may be the other way round"
CLEARLY = "The best choice of directions fits clearly better than the second best"
FITS = "how well its rows fit each set of possible causes that the server asked about"
SENT = {
    "peri": f"In each round: numbers that say {FITS}.",
    "orion": "In each round: numbers that say how much shorter each possible cause makes the description of its rows.",
    "moments": "Once: the average of each column, and how each two columns vary together.",
    "regrets": f"In each round: numbers that say {FITS}; later how much each column follows its causes.",
}
"""By scheme, or by what peri_environments shares."""
ALSO = "Also: counts of rows, which columns are there, a fingerprint of the data, and a score of the graph."
SHOWS = "No single row is sent, and no average. How strongly each two columns are correlated can be computed from them."
SHOWS_MOMENTS = "No single row is sent, but averages, spreads and correlations of a hospital's columns can be read."
ASSUMPTIONS = [
    "Nothing unmeasured drives two of the columns, and none of the columns decided which patients are in the tables. "
    "If age is missing and drives both volume and outcome, an edge between the two may be nothing but age.",
    "There are no circles: no column is, through others, a cause of itself.",
    "Dependencies are nearly straight lines (peri, peri_environments), or smooth curves (orion).",
    "At least one hospital is as usual near each edge. If every hospital intervenes, the graph may be another one.",
    "For each column the hospitals that share a mechanism are the largest group. Where fewer than half do, read "
    "groups, not changes.",
    "“Differs” includes how a hospital measures: a scanner, a threshold or a coding rule shows as well as a treatment.",
    "Do not believe an edge that one hospital alone supports, a line's direction, a run that is said to be incomplete, "
    "or a graph in which an effect comes before its cause in time: name the order of the columns in the job (tiers).",
]
TERMS = {
    "Arrow": "If the first were set to another value, the second would change too, and not the other way round.",
    "Line": "The two columns depend on each other; the direction is open.",
    "Gain": "Difference of the score with and without an edge, in nats (1 nat is 1.44 bits); 0 is no gain.",
    "Comes about differently": "A hospital's own coefficients or spread explain its column so much better than the "
    "shared ones that the difference pays for the additional numbers.",
}
