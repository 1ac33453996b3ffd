"""What every reader of scans delivers: windowed images with one label per finding.

The inputs of a fold are images (N, C, H, W) or (N, C, H, W, D), float32 in [0, 1], one channel a window; its labels are
(N, 6) in the order of FINDINGS. See training.data.
"""

FINDINGS = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
"""The six outputs in the order of the RSNA 2019 challenge; `any` is the union of the five before it."""

WINDOWS = ((40.0, 80.0), (80.0, 200.0), (40.0, 380.0))
"""Level and width in HU of the three channels: brain, subdural, soft tissue."""
