"""CT formats: the files, their labels, and DICOM, NIfTI and pictures as arrays; one format a file."""
