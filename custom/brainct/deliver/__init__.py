"""A finished model out: as MONAI bundle, ONNX or torch.export, and its answers on studies; trains nothing."""
