"""The model card of a head CT run."""

import statistics

from brainct.pages.page import Section
from brainct.pages.wording import listing
from brainct.report import definitions
from brainct.report.readable_record import aurocs, network
from brainct.report.run_folder import RunFolder


def model_card(run: RunFolder) -> Section:
    """Intended use, data, performance, limits and risks of the delivered model."""
    record = run.record
    kinds = sorted({record.sites[site].kind for site in run.sites})
    found = aurocs(record)
    performance = "Not tested."
    if found:
        performance = (
            f"AUROC of any bleeding on the hospitals' own test scans: mean {statistics.fmean(found.values()):.2f}, "
            f"lowest {min(found.values()):.2f}."
        )
    sha256 = record.model_sha256 or "none: the run has no final model"
    return Section(
        "Model card",
        terms={
            "Intended use": "Research on training across hospitals: comparing schemes, and rehearsing a federation.",
            "Not intended": f"{definitions.NOT_A_DEVICE} No claim is made for any scanner, age or disease that the "
            "table of hospitals does not show.",
            "Model": f"{network(record) or 'Unknown'}; a probability for each finding; SHA-256 {sha256}.",
            **_began(run),
            "Data": f"Kinds of data set: {listing(kinds) or 'unknown'}. Labels are the hospitals' own; nobody read the "
            "scans a second time. Age, sex and scanner are unknown to this report.",
            "Performance": performance,
            "Limits": "Pictures are scaled to the network's input, so small bleedings may vanish. Findings that a "
            "hospital does not label are neither learned nor tested there. At a hospital that took no part in training "
            "the scores may be lower.",
            "Risks": "A missed bleeding; trust in a probability that is not calibrated for the reader's own patients; "
            "traces of training data that anybody who holds the model may find in it.",
        },
    )


def _began(run: RunFolder) -> dict[str, str]:
    """The models behind this one, if the job started from one."""
    start = run.record.start
    if start is None:
        return {}
    models = "; then ".join(f"{one.source or 'a model'} (SHA-256 {one.sha256})" for one in start.lineage)
    last = " Its last layer was new, as the findings are others." if start.head == "replaced" else ""
    return {"Started from": f"{models}.{last}"}
