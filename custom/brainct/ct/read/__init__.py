"""CT formats: lists a site's files and labels, and reads DICOM, NIfTI, PNG and JPEG; one format a file."""
