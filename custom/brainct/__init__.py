"""One CT brain model, trained by hospitals together on NVIDIA FLARE while every scan stays where it was taken."""

__version__ = "0.1.0"
