"""The head CT workload: from a site's files to tensors, the networks, training and scores; knows no run."""
