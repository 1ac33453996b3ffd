"""One thread, one order of additions: the same bits in every process and on any number of cores."""

import torch
from threadpoolctl import threadpool_limits


def one_thread() -> None:
    """From here on this process computes on one thread: torch, and the linear algebra under NumPy and SciPy.

    Small sums are quicker so as well: threads that wait for each other on shared cores cost more than they bring.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)
