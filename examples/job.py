"""One job in FLARE's simulator, in real processes on this machine, or at hospitals: all end with the same model.

python examples/job.py sim | poc | prod KIT [USER]        add `--export --export-dir DIR` to write the job folder alone
"""

import sys
from pathlib import Path

from nvflare.recipe import PocEnv, ProdEnv, SimEnv

from brainct.flare.recipe import Recipe, results

ENVIRONMENTS = {
    "sim": lambda: SimEnv(num_clients=4, workspace_root="runs/example"),
    "poc": lambda: PocEnv(num_clients=4),
    "prod": lambda kit, user: ProdEnv(kit, username=user, login_timeout=60),
}

if __name__ == "__main__":
    way, *given = sys.argv[1:] or ["sim"]
    run = Recipe(scheme="feddc").execute(ENVIRONMENTS[way](*given))
    results(run, Path("runs") / f"example-{way}")
