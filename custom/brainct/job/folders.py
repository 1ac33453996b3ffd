"""jobs/: one folder of three small JSON files for each row of one table; rendered, checked and read here."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainct.core import json_file
from brainct.ct import shipped_jobs as ct
from brainct.errors import Refused
from brainct.job.components import ROUNDS, SITE
from brainct.job.config import Plan, plan_of
from brainct.schemes import SCHEMES
from brainct.segment import shipped_jobs as segment

START = "start.safetensors"
"""Next to the configuration: the model that the job starts from, if it is not in the package."""

FIT = {"optimizer": "adamw", "rate": 0.005, "decay": "cosine", "epochs": 3}
PLAIN = {"optimizer": "sgd", "rate": 0.05, "epochs": 3}
"""Plain SGD at a constant rate, where a scheme's mathematics is about gradient steps."""


def _row(scheme: str, rounds: int = 30, fit: Mapping[str, Any] = FIT, **more: Any) -> dict[str, Any]:
    return {"scheme": scheme, "arguments": more.pop("arguments", {}), "rounds": rounds, "seed": 1, "fit": fit, **more}


def _inner(scheme: str, **arguments: Any) -> dict[str, Any]:
    return {"scheme": scheme, "arguments": arguments}


def _table(scheme: str, rounds: int = 20, epochs: int = 5, **more: Any) -> dict[str, Any]:
    """On scikit-learn's breast cancer table, if a site has no site file."""
    fit = {"optimizer": "sgd", "rate": 0.1, "epochs": epochs}
    return _row(scheme, rounds, fit, workload="table", outputs=["malignant"], **more)


def _causal(scheme: str, rounds: int, **more: Any) -> dict[str, Any]:
    """On data generated from a known graph, if a site has no site file."""
    return {"scheme": scheme, "arguments": {}, "workload": "causal", "rounds": rounds, "seed": 1, **more}


OWN_CHOICES: dict[str, dict[str, Any]] = {
    **{name: _row(scheme, **choices) for name, (scheme, choices) in {**ct.SHIPPED, **segment.SHIPPED}.items()},
    "feddc": _row("feddc", arguments={"daisy_period": 1, "aggregation_period": 10}),
    "fedma": _row("fedma", rounds=20, fit={**FIT, "rate": 0.003, "epochs": 6}, network={"architecture": "vgg-small"}),
    "fednova": _row("fednova", fit=PLAIN),
    "fedsgd": _row("fedsgd", rounds=90, fit=PLAIN),
    "minibatch": _row("minibatch", rounds=90, fit=PLAIN),
    "orion": _causal("orion", 60, demonstration="nonlinear"),
    "peri": _causal("peri", 60),
    "peri_environments": _causal("peri_environments", 2),
    "radon_fourier": _row(
        "radon", rounds=1, fit=PLAIN, network={"architecture": "cnn-fourier"}, arguments={"part": "head"}
    ),
    "rebasin": _row("rebasin", network={"architecture": "cnn"}),
    "rebasin_repair": _row("rebasin", network={"architecture": "cnn"}, arguments={"repair": True}),
    "headstart": _row(
        "headstart",
        rounds=11,
        fit={**FIT, "rate": 0.003},
        network={"architecture": "cnn", "size": 64, "options": {"widths": [8, 16, 32, 64]}},
        start_from="phantom",
    ),
    "ridge": _row("ridge", rounds=2),
    "scaffold": _row("scaffold", fit=PLAIN),
    "secagg": _row("secagg", rounds=31),
    "sitenorm": _row("sitenorm", rounds=31),
    "sitenorm_feddc": _row("sitenorm", rounds=31, arguments={"inner": _inner("feddc")}),
    "table_fedavg": _table("fedavg"),
    "table_feddc": _table("feddc", arguments={"daisy_period": 1, "aggregation_period": 10}),
    "table_fedct": _table("fedct", arguments={"findings": ["malignant"], "trees": ["site-2"], "forests": ["site-3"]}),
    "table_radon": _table("radon", rounds=1, epochs=100, features=["worst perimeter"], arguments={"part": "head"}),
    "turns": _row("turns", rounds=600, fit={**FIT, "batch_size": 12}),
    "swa_fedavg": _row("swa", arguments={"inner": _inner("fedavg")}),
    "swa_sitenorm_feddc": _row("swa", rounds=31, arguments={"inner": _inner("sitenorm", inner=_inner("feddc"))}),
}
"""What a job states in addition to its scheme, where the defaults are not its best; three combined schemes, and the
workloads' own."""

JOBS = {name: _row(name) for name in SCHEMES} | OWN_CHOICES
"""Folder -> the choices of its plan. Whatever is not said here has its default in the code."""


VOLUME = 48
"""Edge in voxels of jobs that are rendered for volumes, if no size is given."""


def shaped(dims: int | None = None, size: int | None = None) -> dict[str, dict[str, Any]]:
    """The table for samples of so many dimensions and this edge; without the jobs that can't have them."""
    if dims is None and size is None:
        return JOBS
    edge = {"size": size or VOLUME} if size or dims == 3 else {}
    shape = edge | ({"dims": dims} if dims else {})
    rows = {name: row for name, row in JOBS.items() if row.get("workload", "ct") in ("ct", "segment")}
    rows = {name: row for name, row in rows.items() if dims != 3 or not row.get("scan")}
    return {name: {**row, "network": {**row.get("network", {}), **shape}} for name, row in rows.items()}


def render(folder: Path, rows: Mapping[str, Mapping[str, Any]] = JOBS) -> list[Path]:
    """Write every job of the table below this folder; returns the files that were not like that yet."""
    for name, choices in rows.items():
        plan_of(choices, f"jobs/{name}")
    return [file for name, choices in rows.items() for file in write(folder / name, name, choices)]


def write(folder: Path, name: str, choices: Mapping[str, Any]) -> list[Path]:
    """Write the job of this name and these choices, keys of Plan; returns the files that were not like that yet."""
    written = []
    for path, text in _files(name, choices).items():
        file = folder / path
        if file.is_file() and file.read_text() == text:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        written.append(file)
    return written


def check(folder: Path) -> list[str]:
    """What is wrong with the jobs below this folder, in sentences; empty when all is well."""
    findings = [f"scheme {name} has no job; add a row to JOBS in jobs.py" for name in sorted(_without_job())]
    for name in JOBS:
        findings += _findings(folder / name, name)
    if folder.is_dir():
        strange = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in JOBS)
        findings += [f"jobs/{name} is not in the table of jobs.py; add a row or remove it" for name in strange]
    return findings


def read(folder: Path) -> Plan:
    """The plan that a job folder states; refuses a folder that FLARE could not run without bringing code."""
    file = folder / "app" / "config" / "config_fed_server.json"
    if not file.is_file():
        raise Refused(f"{folder} is no job folder: it has no app/config/config_fed_server.json")
    (workflow,) = workflows(json_of(file), file)
    return plan_of(workflow.get("args", {}), str(file))


def start_file(job: Path) -> Path:
    """Where the file of a job's start model is, if it has one."""
    return job / "app" / "config" / START


def workflows(content: Mapping[str, Any], file: Path) -> list[dict[str, Any]]:
    """The one row with our workflow, its arguments a table."""
    listed = content.get("workflows")
    rows = listed if isinstance(listed, list) else []
    ours = [row for row in rows if isinstance(row, dict) and row.get("path") == ROUNDS]
    if len(ours) != 1 or not isinstance(ours[0].get("args", {}), dict):
        raise Refused(f"{file}: found {len(ours)} workflows with path {ROUNDS} and a table of `args`; wanted one")
    return ours


def _files(name: str, choices: Mapping[str, Any]) -> dict[str, str]:
    workflow = {"id": "rounds", "path": ROUNDS, "args": choices}
    executor = {"tasks": ["*"], "executor": {"path": SITE, "args": {}}}
    server = {"format_version": 2, "server": {"task_request_interval": 0.1}, "dead_client_grace_period": 10}
    config = Path("app/config")
    return {
        "meta.json": text_of({"name": name, "min_clients": 2, "resource_spec": {}, "deploy_map": {"app": ["@ALL"]}}),
        str(config / "config_fed_server.json"): text_of({**server, "workflows": [workflow]}),
        str(config / "config_fed_client.json"): text_of({"format_version": 2, "executors": [executor]}),
    }


def text_of(value: Any, indent: str = "", room: int = 100) -> str:
    """JSON in which whatever fits on one line stands on one line."""
    flat = json.dumps(value)
    if len(flat) <= room - len(indent) or not isinstance(value, Mapping | list) or not value:
        return flat if indent else flat + "\n"
    inner = indent + "  "
    if isinstance(value, Mapping):
        rows = [f"{json.dumps(key)}: {text_of(item, inner, room - len(key))}" for key, item in value.items()]
        text = "{\n" + ",\n".join(inner + row for row in rows) + f"\n{indent}}}"
    else:
        text = "[\n" + ",\n".join(inner + text_of(item, inner, room) for item in value) + f"\n{indent}]"
    return text if indent else text + "\n"


def _findings(folder: Path, name: str) -> list[str]:
    wanted = _files(name, JOBS[name])
    findings = []
    for path, text in wanted.items():
        file = folder / path
        if not file.is_file():
            findings.append(f"jobs/{name}/{path} is missing; run `brainct jobs render`")
        elif file.read_text() != text:
            findings.append(f"jobs/{name}/{path} differs from the table in jobs.py; run `brainct jobs render`")
    extra = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    findings += [f"jobs/{name}/{path} does not belong there; remove it" for path in extra if path not in wanted]
    if (folder / "app" / "custom").exists():
        findings.append(f"jobs/{name}/app/custom makes the job bring its own code; remove it")
    try:
        plan_of(JOBS[name], f"jobs/{name}")
    except Refused as error:
        findings.append(str(error))
    return findings


def _without_job() -> set[str]:
    return set(SCHEMES) - {row["scheme"] for row in JOBS.values()}


def json_of(file: Path) -> dict[str, Any]:
    """A file of a job folder."""
    return json_file.table(file.read_bytes(), str(file), "the configuration of a job")
