"""One row of the list of everything that leaves a site: when, where in a reply, what it is, and its rule."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One kind of value that leaves a site.

    when: CALL, ROUND, SCORES or ALWAYS. where: keys joined by slashes; a part in braces stands for each of its kind
    (see `security.disclosures.PARTS` and `Workload.parts`). kind: of `security.disclosures.KINDS`. rule: how it leaves
    where the site's policy says nothing of it. policy: which keys of the policy change that, and to what.
    """

    when: str
    where: str
    what: str
    kind: str
    rule: str
    policy: str = ""


CALL, ROUND, SCORES, ALWAYS = "roll call", "round", "evaluation", "every reply"
WITHHELD = "`least_class`: withheld"
NOISED = "`scores`: rounded, noised and counted, or never"
