"""A delivered model fitted to one hospital on its own machine: calibration, statistics, head; nothing leaves."""
