"""What the words of every run's page mean, whatever the workload."""

NOT_A_DEVICE = "Research software and no medical device: nothing here may be used for the diagnosis of a patient."

RUN = {
    "Mean over hospitals": "Each hospital counts once, whatever the size of its data; a hospital where a score is not "
    "defined is left out.",
    "Spread": "The highest minus the lowest of the hospitals' scores; SD is the sample standard deviation over "
    "hospitals.",
    "The model that is evaluated": "At each hospital the one that it would use itself: the common model, or its own if "
    "the scheme gives it one.",
    "Traffic": "Bytes of the tasks sent to a hospital and of its replies, without the overhead of the transport.",
    "Seconds": "Wall time of a round on the server's clock, from the first task sent to the updated model; other work "
    "may share the machine.",
}
"""The terms of every run's page."""
