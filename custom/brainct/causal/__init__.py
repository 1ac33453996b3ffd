"""The third workload: a table whose columns are the variables of a causal graph, searched over all sites together."""
