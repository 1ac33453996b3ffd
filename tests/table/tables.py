"""Small tables for tests: a CSV with a site file, plans, and learners on demonstration data."""

from brainct.job.config import plan_of
from brainct.security.credentials import offline
from brainct.table.workload import TABLE

SITES = ["site-1", "site-2", "site-3"]
FIT = {"optimizer": "sgd", "rate": 0.1, "epochs": 2}
WINE = {"task": "classes", "features": 13, "outputs": ["0", "1", "2"]}


def table_plan(scheme="fedavg", **choices):
    """A plan on the breast cancer table, unless the choices say otherwise."""
    known = {"workload": "table", "scheme": scheme, "rounds": 2, "outputs": ["malignant"], "fit": FIT, **choices}
    return plan_of(known, "the test's plan")


def opened(plan, sites=SITES, file=None):
    """Every site's data."""
    return {site: TABLE.open(file, site, sites, plan) for site in sites}


def shared_of(plan, data):
    """What the roll call gives all sites."""
    return TABLE.shared({site: TABLE.describe(one) for site, one in data.items()}, plan)


def learner_at(plan, data, site, round=0, **own):
    """A site's learner in a round."""
    context = offline(plan, site, round, shared=shared_of(plan, data), **own)
    return TABLE.learner(plan, data[site], context, TABLE.prepare(plan, plan.seed))


def csv_site(folder, rows, **choices):
    """A site file for these rows of text, the first of which is the header."""
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    lines = {"kind": "table", "path": "table.csv", **choices}
    file = folder / "site.yaml"
    file.write_text("\n".join(f"{key}: {value}" for key, value in lines.items()) + "\n")
    return file
