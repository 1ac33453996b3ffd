"""Local training with PyTorch, for every workload whose samples are tensors: folds, the learner, DP-SGD."""
