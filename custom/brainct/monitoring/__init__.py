"""What a monitoring system reads: numbers of runs, sites and certificates; changes nothing."""
