"""CT formats: which files there are, what their labels say, and DICOM, NIfTI and pictures as arrays; one format a file."""
