"""Several real Ray nodes on one machine, each with an address of its own."""

import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
from repository import ROOT

from efn_compose.evolve.workers.executors.ray_worker import WorkerProcess

#: How the command line of an actor's process begins.
_ACTOR = f"ray::{WorkerProcess.__name__}"

#: A killed node is given up after about four seconds instead of thirty; one that is only slow is not.
_QUICK_DEATH = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "5000",
    "RAY_health_check_failure_threshold": "4",
}


class LocalCluster:
    """Ray nodes on aliases of the loopback address; knows and ends only its own processes.

    Args:
        folder: For Ray's files; a short path, since sockets have long names.
        first: Last number of the head's address, 127.0.0.<first>; nodes count on from there.
    """

    def __init__(self, folder: Path, first: int = 10) -> None:
        self._folder, self._first = folder, first
        self.port = _free_port()
        self.address = f"127.0.0.{first}:{self.port}"
        #: For every process of the cluster, drivers included: it has a token of its own.
        self.environment = {
            **os.environ,
            "RAY_worker_niceness": "0",
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(16),
            **_QUICK_DEATH,
        }
        self.environment.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)
        self._nodes: dict[int, subprocess.Popen] = {}

    def start(self, number: int, cpus: int, **environment: str) -> None:
        """Start a node with further environment variables; number 0 is the head."""
        command = [
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats",
            f"--num-cpus={cpus}", f"--node-ip-address=127.0.0.{self._first + number}",
            "--object-store-memory=100000000", "--include-log-monitor=false",
        ]  # fmt: skip
        if number == 0:
            command += [
                "--head",
                "--include-dashboard=false",
                "--no-monitor",
                f"--port={self.port}",
                f"--temp-dir={self._folder}",
            ]
        else:
            command += [f"--address={self.address}"]
        with self._log(number).open("wb") as log:
            self._nodes[number] = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=self.environment | environment,
                start_new_session=True,
            )

    def wait(self, *numbers: int, seconds: float = 90.0) -> None:
        """Wait until these nodes say that they run."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(b"Ray runtime started" in self._log(number).read_bytes() for number in numbers):
                return
            time.sleep(0.2)
        raise TimeoutError(f"Ray nodes {numbers} did not come up within {seconds} s.")

    def processes(self, number: int) -> list[psutil.Process]:
        """Return all living processes of a node."""
        popen = self._nodes.get(number)
        if popen is None or popen.poll() is not None:
            return []
        try:
            parent = psutil.Process(popen.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Return the processes of all actors on all nodes."""
        found = []
        for number in self._nodes:
            for process in self.processes(number):
                try:
                    if any(part.startswith(_ACTOR) for part in process.cmdline()[:1]):
                        found.append(process)
                except psutil.Error:
                    continue
        return found

    def kill(self, number: int) -> None:
        """Kill a node at once, as a power cut would."""
        processes = self.processes(number)
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self._nodes.pop(number).wait()

    def _log(self, number: int) -> Path:
        return self._folder.parent / f"{self._folder.name}_node{number}.log"

    def close(self) -> None:
        """Kill all nodes."""
        for number in sorted(self._nodes, reverse=True):
            self.kill(number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
