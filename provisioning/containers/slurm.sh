#!/bin/bash
# One kit as a Slurm job: sbatch --export=ALL,KIT=$HOME/hospital-a provisioning/containers/slurm.sh
# The node connects out to the server's port 8002. Slurm sends SIGTERM 60 s before the time limit, and FLARE ends; a
# requeued job returns to the running run.
#SBATCH --job-name=brainct
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --gpus=1
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@60
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
: "${KIT:?the folder of the kit, absolute}"
PATH="${BRAINCT_ENV:-/opt/brainct}/bin:$PATH"
exec bash "$KIT/startup/sub_start.sh" --once # which becomes FLARE itself, so that the signal reaches it
