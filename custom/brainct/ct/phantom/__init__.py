"""Synthetic non-contrast head CT in HU: heads, five kinds of bleeding, and six scanners that each see them differently.

Everything is drawn in millimetres on a head frame: x to the image's right, y to the front, z up from the basal ganglia.
A shape is a signed depth in mm (positive inside); a tissue is painted with the share of each pixel that is inside.
HU of the tissues and the physics: Barras et al., AJNR 34:1139, 2013 (clot texture); Kijewski & Judy, Phys Med Biol
32:565, 1987 (band-pass noise). A scan's label reaches its image through the painted lesion and in no other way.
"""

from brainct.ct.phantom.details import DETAILS
from brainct.ct.phantom.draw import phantom, public_phantom, slice_hu, volume_hu
from brainct.ct.phantom.hemorrhage import BLEEDS
from brainct.ct.phantom.scanners import SCANNERS, Scanner, scanner_of
from brainct.ct.phantom.studies import SLICE_MM, slice_labels, spacing_of, studies

__all__ = [
    "BLEEDS",
    "DETAILS",
    "SCANNERS",
    "Scanner",
    "phantom",
    "public_phantom",
    "scanner_of",
    "SLICE_MM",
    "slice_labels",
    "spacing_of",
    "studies",
    "slice_hu",
    "volume_hu",
]
