#!/bin/sh
# A proof of concept of a job in real FLARE processes on this machine: poc/run.sh jobs/feddc
exec "${PYTHON:-python3}" "$(dirname "$0")/run.py" "$@"
