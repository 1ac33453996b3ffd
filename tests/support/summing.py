"""Secure aggregation by hand: four sites, what each keeps, and every exchange open to a test that cheats in it."""

from dataclasses import replace

from brainct.core.report_check import check_report
from brainct.core.scheme import followed
from tests.conftest import tiny_learner, tiny_model

SITES = ["site-1", "site-2", "site-3", "site-4"]
COUNTS = {"site-1": 4, "site-2": 7, "site-3": 10, "site-4": 5}


class Federation:
    """A server's memory and its sites' keeps; `ask` is one site's reply, `round` an honest server's round."""

    def __init__(self, scheme, plan, sites=SITES, shift=0):
        self.scheme, self.plan, self.sites, self.shift = scheme, plan, sites, shift
        self.memory = scheme.start(tiny_model(plan), sites, 3)
        self.keeps, self.seen = {site: {} for site in sites}, []

    def learner(self, site, number, plan=None):
        return tiny_learner(plan or self.plan, site, number + self.shift, scans=COUNTS.get(site, 6))

    def ask(self, site, number, task, plan=None):
        report, self.keeps[site] = self.scheme.reply(task, self.learner(site, number, plan), self.keeps[site])
        return report

    def round(self, lost=(), lost_later=(), change=lambda site, report: report):
        """One more round; lost: sites whose reply does not come; lost_later: sites whose follow-up does not."""
        number = len(self.seen)
        tasks = dict(sorted(self.scheme.assign(self.memory, number, self.sites).items()))
        reports = {site: change(site, self.ask(site, number, tasks[site])) for site in tasks if site not in lost}
        for site, report in reports.items():
            check_report(report, tasks[site], self.scheme, site)

        def again(site, task):
            if site in lost_later:
                return None
            report = change(site, self.ask(site, number, task))
            check_report(report, task, self.scheme, f"{site}, follow-up")
            return report

        reports = followed(self.scheme, self.memory, number, reports, again)
        self.memory = self.scheme.combine(self.memory, number, reports)
        self.seen.append((tasks, reports))
        return self

    def tasks(self):
        """What an honest server would ask in the next round."""
        return self.scheme.assign(self.memory, len(self.seen), self.sites)

    def model(self):
        return self.scheme.model(self.memory)


def played(scheme, plan, rounds, lost=(), **choices):
    """A federation after some rounds; lost: (site, round) pairs."""
    found = Federation(scheme, plan, **choices)
    for number in range(rounds):
        found.round([site for site, when in lost if when == number])
    return found


def moved(task, **extra):
    """The task with other values in its `extra`."""
    return replace(task, extra={**task.extra, **extra})
