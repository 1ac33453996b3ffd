"""MONAI bundles read as data: nothing of a bundle is imported, evaluated or run."""
