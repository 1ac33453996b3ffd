"""Known graphs of the field, as lists of edges: their mechanisms here are this project's own.

asia: Lauritzen, Spiegelhalter, JRSS B 1988. sachs: Sachs, Perez, Pe'er, Lauffenburger, Nolan, Science 2005, with the 17
edges of its usual consensus. alarm: Beinlich, Suermondt, Chavez, Cooper, AIME 1989.
"""

from collections.abc import Mapping, Sequence

_TEXT = {
    "asia": "asia>tub smoke>lung smoke>bronc tub>either lung>either either>xray either>dysp bronc>dysp",
    "sachs": "Erk>Akt Mek>Erk PIP3>PIP2 PKA>Akt PKA>Erk PKA>Jnk PKA>Mek PKA>P38 PKA>Raf PKC>Jnk PKC>Mek PKC>P38 "
    "PKC>PKA PKC>Raf Plcg>PIP2 Plcg>PIP3 Raf>Mek",
    "alarm": "LVFAILURE>HISTORY LVEDVOLUME>CVP LVEDVOLUME>PCWP HYPOVOLEMIA>LVEDVOLUME LVFAILURE>LVEDVOLUME "
    "HYPOVOLEMIA>STROKEVOLUME LVFAILURE>STROKEVOLUME ERRLOWOUTPUT>HRBP HR>HRBP ERRCAUTER>HREKG HR>HREKG "
    "ERRCAUTER>HRSAT HR>HRSAT ANAPHYLAXIS>TPR ARTCO2>EXPCO2 VENTLUNG>EXPCO2 INTUBATION>MINVOL VENTLUNG>MINVOL "
    "FIO2>PVSAT VENTALV>PVSAT PVSAT>SAO2 SHUNT>SAO2 PULMEMBOLUS>PAP INTUBATION>SHUNT PULMEMBOLUS>SHUNT "
    "INTUBATION>PRESS KINKEDTUBE>PRESS VENTTUBE>PRESS MINVOLSET>VENTMACH DISCONNECT>VENTTUBE VENTMACH>VENTTUBE "
    "INTUBATION>VENTLUNG KINKEDTUBE>VENTLUNG VENTTUBE>VENTLUNG INTUBATION>VENTALV VENTLUNG>VENTALV "
    "VENTALV>ARTCO2 ARTCO2>CATECHOL INSUFFANESTH>CATECHOL SAO2>CATECHOL TPR>CATECHOL CATECHOL>HR CO>BP TPR>BP "
    "HR>CO STROKEVOLUME>CO",
}


def _edges(text: str) -> list[tuple[str, str]]:
    return [(cause, effect) for cause, _, effect in (one.partition(">") for one in text.split())]


STRUCTURES: Mapping[str, Sequence[tuple[str, str]]] = {name: _edges(text) for name, text in _TEXT.items()}
"""Name -> (cause, effect) pairs."""


def variables_of(structure: str) -> list[str]:
    """The variables, in the order in which the edges name them."""
    return list(dict.fromkeys(name for edge in STRUCTURES[structure] for name in edge))
