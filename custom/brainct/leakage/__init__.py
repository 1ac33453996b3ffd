"""Measures what attackers learn about single training scans: shadow federations, attacks, crafted networks."""
