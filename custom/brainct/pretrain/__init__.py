"""Start models without any patient: a network trained on the phantom of all scanners, as a run of one site."""
