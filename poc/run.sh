#!/bin/sh
# Run a job in FLARE's proof of concept, with real processes on this machine: poc/run.sh jobs/feddc
exec "${PYTHON:-python3}" "$(dirname "$0")/run.py" "$@"
