"""The contract of a scheme and pure arithmetic on weights; no files of a run, no nvflare, no network, no scan."""
