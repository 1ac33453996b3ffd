"""Our jobs as a recipe of FLARE: `Recipe(scheme="feddc", rounds=10).execute(SimEnv(num_clients=4))`."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nvflare.job_config.api import FedJob
from nvflare.recipe.poc_env import PocEnv
from nvflare.recipe.run import Run
from nvflare.recipe.sim_env import SimEnv
from nvflare.recipe.spec import ExecEnv
from nvflare.recipe.spec import Recipe as FlareRecipe

from brainct.core.names import check_path, site_names
from brainct.errors import Refused
from brainct.flare.policy_builder import poc_project
from brainct.flare.simulator import RESULTS, make_workspace, simulate
from brainct.job import folders
from brainct.job.config import plan_of
from brainct.run.run_record import read_record
from brainct.run.summary import last_lines

COMPLETED = "FINISHED:COMPLETED"
LOGIN_SECONDS = 180
"""How long to try to reach a proof of concept that only just starts; FLARE's 10 s are too few on a busy machine."""


class Recipe(FlareRecipe):  # type: ignore[misc]
    """A job of three files, choices and no code, for each of FLARE's environments.

    scheme: a key of brainct.schemes.SCHEMES. choices: keys of brainct.job.config.Plan, such as rounds, arguments,
    workload, network, fit and seed; whatever is not chosen is as in the shipped job. name: the job's, by default the
    scheme's. Whatever would put code or components into the job is refused.
    """

    def __init__(self, scheme: str, *, name: str = "", **choices: Any):
        shipped = [row for job in (name, scheme) if (row := folders.JOBS.get(job, {})).get("scheme") == scheme]
        chosen = {**(shipped[0] if shipped else {}), "scheme": scheme, **choices}
        plan_of(chosen, "the recipe")
        super().__init__(_Job(name or scheme, chosen))

    def export(self, job_dir: str, *given: Any, env: ExecEnv | None = None, **more: Any) -> None:
        """Write the job to JOB_DIR/NAME; the environment changes nothing in it."""
        super().export(job_dir, *given, **more)

    def run(self, env: ExecEnv, *given: Any, **more: Any) -> Run:
        """Run the job with our policy in the simulator's workspace, or in each kit of a proof of concept."""
        if isinstance(env, SimEnv):
            make_workspace(Path(env.workspace_root).absolute() / self.name)
        if not isinstance(env, PocEnv) or env.project_conf_path:  # a project of one's own has its own policy
            return super().run(env, *given, **more)
        env.extra.setdefault("login_timeout", LOGIN_SECONDS)
        check_path(env.poc_workspace, "the proof of concept's workspace")
        sites = env.clients or site_names(env.num_clients)
        with tempfile.TemporaryDirectory(prefix="brainct-") as place:
            env.project_conf_path = str(poc_project(env.username, sites, Path(place)))
            try:
                return super().run(env, *given, **more)
            except Exception:
                env.stop()  # else its processes outlive a failure; its logs stay
                raise
            finally:
                env.project_conf_path = ""

    def _apply_per_site_config(self, config: Mapping[str, Any]) -> None:
        """Refused: what is a site's own stands in its site file."""
        raise Refused(f"per-site choices for {', '.join(config)}; each site states its own in local/brainct.yaml")


class _Job(FedJob):  # type: ignore[misc]
    """A job whose folder the renderer writes, in place of FLARE's own generator."""

    def __init__(self, name: str, choices: Mapping[str, Any]):
        super().__init__(name=name, min_clients=2)
        self._choices = choices

    def export_job(self, job_root: str) -> None:
        """Called by FLARE: write the three files to JOB_ROOT/NAME."""
        if self._deploy_map:
            raise Refused("this recipe was given code or components; a job of brainct holds choices alone")
        if (folder := Path(job_root) / self.name).exists():
            shutil.rmtree(folder)
        folders.write(folder, self.name, self._choices)

    def simulator_run(
        self,
        workspace: str,
        n_clients: int | None = None,
        clients: list[str] | None = None,
        threads: int | None = None,
        gpu: str | None = None,
        log_config: str | None = None,
    ) -> int:
        """Called by FLARE's SimEnv; returns the simulator's exit code."""
        words = [*(["-gpu", gpu] if gpu else []), *(["-l", log_config] if log_config else [])]
        with tempfile.TemporaryDirectory(prefix="brainct-") as place:
            self.export_job(place)
            sites = clients or site_names(n_clients or 0)
            job = Path(place) / self.name
            return simulate(job, Path(workspace), sites, threads=threads or 0, options=words, shown="EXPORTED-JOB")


def results(run: Run, out: Path, timeout: float = 0.0) -> Path:
    """Wait for a recipe's run, at most `timeout` seconds if that is not 0, and copy its results to the new folder.

    Prints the table and the model's hash, as every other way to run a job does; ends a proof of concept afterwards.
    """
    if out.exists():
        raise Refused(f"{out} is there already; name another folder or remove it first")
    found = run.get_result(timeout=timeout, clean_up=False)
    if found is None or run.get_status() not in (None, COMPLETED):
        raise Refused(f"job {run.get_job_id()} ended as {run.get_status()}; its results, if any, are in {found}")
    place = Path(found)
    shutil.copytree(place / RESULTS if (place / RESULTS).is_dir() else place / "workspace" / "brainct", out)
    run.exec_env.stop(clean_up=True)
    print(last_lines(read_record(out / "record.json"), out))
    return out
