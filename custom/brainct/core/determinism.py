"""One thread, one order of additions: the same bits in every process and on any number of cores."""

import hashlib
import json
import os

import numpy as np
import torch
from threadpoolctl import threadpool_limits


def one_thread() -> None:
    """Limit this process to one thread from now on: torch, and the linear algebra under NumPy and SciPy.

    Small sums are also faster this way: on shared cores, threads that wait for each other cost more than they gain.
    """
    torch.set_num_threads(1)
    threadpool_limits(1)


def same_bits_on_a_gpu() -> None:
    """Have CUDA's libraries compute the same bits each time on the same GPU, also where another way would be faster.

    An operation without such a way warns by name. CPU and GPU differ in the last bits, as two kinds of GPU do.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA is first used
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def generator(seed: int, *words: str | int) -> np.random.Generator:
    """A random generator that depends on the run's seed and these words (a site, a round, a purpose) alone."""
    digest = hashlib.sha256(json.dumps([seed, *words]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))
