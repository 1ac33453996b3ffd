"""The parts of a run's page that every workload has."""
