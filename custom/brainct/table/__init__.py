"""The second workload: a table of numeric columns, and logistic regression or a small multilayer perceptron on it."""
