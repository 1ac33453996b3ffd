"""A real federation on one machine: server and hospitals started from their kits, with mutual TLS."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from nvflare.fuel.flare_api.flare_api import Session

from brainct.core.names import check_path, listing
from brainct.errors import Refused
from brainct.flare.admin import JOB_POLL_SECONDS, session_of
from brainct.flare.processes import VARIABLE, end_processes, marked_processes
from brainct.kit.policy_files import POLICY, install_policy, kind_of, kits_in

STARTUP_SECONDS = 180.0
"""Seconds until a server and its hospitals must be connected."""


def free_port() -> int:
    """A free loopback port, below those that the system uses for outgoing connections."""
    while True:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def flare(*words: str, home: Path) -> str:
    """Run the `nvflare` command with its own HOME, so that it does not read or write the user's ~/.nvflare."""
    home.mkdir(parents=True, exist_ok=True)
    command = [str(Path(sys.executable).parent / "nvflare"), *words]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Refused(f"`nvflare {' '.join(words)}` ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def environment(home: Path) -> dict[str, str]:
    """The environment of FLARE's processes: this HOME, and this Python first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    ours = {key: value for key, value in os.environ.items() if not key.startswith("NVFLARE_")}
    return {**ours, "HOME": str(home), "PATH": path}


def provision(
    project: Path, folder: Path, policy: Path = POLICY, port: int | None = None, privacy: str = "open"
) -> Path:
    """Provision a project into `folder` and install the policy; return the folder of the kits.

    port: replaces the server's port and admin port, for several federations on one machine. privacy: the hospitals'
    privacy policy, see kit.policy_files.install_policy.
    """
    content = _project(project, port)
    flare("provision", "-p", str(_write(content, folder)), "-w", str(folder / "kits"), home=folder / "home")
    kits = folder / "kits" / str(content["name"]) / "prod_00"
    install_policy(kits, policy, privacy=privacy)
    return kits


def prepare_poc(
    project: Path, folder: Path, sites: Sequence[str], policy: Path = POLICY, privacy: str = "open"
) -> Path:
    """Prepare FLARE's proof of concept: a project's server and people with these sites, on a free port."""
    content = _project(project, free_port())
    others = [each for each in content["participants"] if each["type"] != "client"]
    content["participants"] = [*others, *({"name": site, "type": "client", "org": "poc"} for site in sites)]
    home = folder / "home"
    flare("poc", "config", "-pw", str(folder / "poc"), home=home)
    flare("poc", "prepare", "-i", str(_write(content, folder)), home=home)
    kits = folder / "poc" / str(content["name"]) / "prod_00"
    install_policy(kits, policy, replace=True, privacy=privacy)
    return kits


def _project(path: Path, port: int | None) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    for participant in content["participants"]:
        if participant["type"] == "server" and port is not None:
            participant |= {"fed_learn_port": port, "admin_port": port}
    return content


def _write(content: Mapping[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.yml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder / "project.yml"


class Federation:
    """Starts the kits of a folder; as a context manager it leaves nothing running, however it ends.

    kits: a folder such as prod_00, or the kits by name. home: HOME of every process. extra: more environment variables
    for all processes. A watchdog process ends them all if this process is killed.
    """

    def __init__(self, kits: Path | Mapping[str, Path], home: Path, extra: Mapping[str, str] | None = None):
        every = kits_in(kits) if isinstance(kits, Path) else dict(kits)
        self.kits = {name: path.resolve() for name, path in every.items()}
        self.server = self._named("server")[0]
        self.hospitals, self.people = self._named("hospital"), self._named("person")
        self.mark = secrets.token_hex(8)
        self._home, self._extra = home, dict(extra or {})
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._watchdog: subprocess.Popen[bytes] | None = None

    def _named(self, kind: str) -> list[str]:
        names = [name for name, kit in self.kits.items() if kind_of(kit) == kind]
        if not names:
            raise Refused(f"none of the kits {', '.join(self.kits)} belongs to a {kind}")
        return names

    def start(self, *names: str) -> None:
        """Start the processes of the named kits, by default server and hospitals; each gets its own process group."""
        self._home.mkdir(parents=True, exist_ok=True)
        if self._watchdog is None:
            command = [sys.executable, "-m", "brainct.flare.processes", self.mark]
            self._watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        for name in names or (self.server, *self.hospitals):
            self._started[name] = self._start(name)

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        kit = self.kits[name]
        check_path(kit, f"the kit of {name}")
        marks = {**self._extra, VARIABLE: f"{self.mark}:{name}"}
        with (kit / "console.txt").open("ab") as console:
            return subprocess.Popen(
                ["bash", str(kit / "startup" / "sub_start.sh"), "--once"],
                env={**environment(self._home), **marks},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ready(self, timeout: float = STARTUP_SECONDS) -> None:
        """Wait until the server answers and is connected to every started hospital."""
        wanted = set(self._started) - {self.server}
        until = time.monotonic() + timeout
        with self.session(timeout=timeout) as session:
            while missing := wanted - {client.name for client in session.get_system_info().client_info}:
                self._refuse_dead()
                if time.monotonic() > until:
                    raise Refused(f"{listing(missing)} did not reach the server within {timeout:.0f} s")
                time.sleep(JOB_POLL_SECONDS)

    def _refuse_dead(self) -> None:
        for name, process in self._started.items():
            if process.poll() is not None:
                raise Refused(f"{name} ended with {process.returncode}; see {self.kits[name] / 'console.txt'}")

    @contextmanager
    def session(self, person: str | None = None, timeout: float = STARTUP_SECONDS) -> Iterator[Session]:
        """A session with the server as one person of the kits, by default the first."""
        opened = session_of(self.kits[person or self.people[0]], timeout, self._refuse_dead)
        try:
            yield opened
        finally:
            opened.close()

    def processes(self, name: str) -> list[psutil.Process]:
        """The running processes of a kit: FLARE's own process first, then those of jobs."""
        return sorted(marked_processes(self.mark, name), key=lambda process: (process.create_time(), process.pid))

    def kill(self, name: str) -> None:
        """Kill all processes of one kit at once, like a power cut."""
        for process in self.processes(name):
            process.kill()
        self._reap(name)

    def _reap(self, name: str) -> None:
        if process := self._started.pop(name, None):
            process.wait()

    def shut_down(self, person: str, timeout: float = 30) -> None:
        """Shut the federation down through FLARE, as a project administrator does, and wait for the end."""
        with self.session(person, timeout=timeout) as session:
            session.shutdown_system()
        until = time.monotonic() + timeout
        while marked_processes(self.mark) and time.monotonic() < until:
            time.sleep(0.1)

    def stop(self) -> int:
        """Leave nothing running; return how many processes were still running."""
        ended = end_processes(self.mark)
        for name in list(self._started):
            self._reap(name)
        if self._watchdog is not None and self._watchdog.stdin is not None:
            self._watchdog.stdin.close()
            self._watchdog.wait()
            self._watchdog = None
        return ended

    def __enter__(self) -> "Federation":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()
