"""HTML reports of runs and comparisons; computes no result of its own."""
