"""A Slurm of one node from Debian's packages, started for a test and stopped after it, beside any other.

Needs ``slurmctld``, ``slurmd``, ``slurm-client`` and ``munge``; no accounting, no control groups.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "sinfo")
SYSTEM = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
KillWait=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PlugStackConfig=/dev/null
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Return the programs that a one-node Slurm lacks here."""
    return [name for name in PROGRAMS if shutil.which(name, path=SYSTEM) is None]


@contextlib.contextmanager
def running() -> Iterator[dict[str, str]]:
    """Start Slurm; yield the environment in which its commands find it; stop it."""
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # The socket of munged must be within everyone's reach.
        folder.chmod(0o755)
        configuration = _configure(folder)
        path = os.pathsep.join((str(_step(folder, configuration)), SYSTEM))
        environment = {**os.environ, "PATH": path, "SLURM_CONF": str(configuration)}
        munge = [f"--{what}-file={folder}/munge.{what}" for what in ("key", "log", "pid", "seed")]
        started = [["munged", "--foreground", f"--socket={folder}/munge.socket", *munge]]
        started += [["slurmctld", "-D"], ["slurmd", "-D"]]
        with contextlib.ExitStack() as daemons:
            for command in started:
                daemons.enter_context(_daemon(command, environment, folder))
            _wait(lambda: "idle" in _said(["sinfo", "--noheader", "-o", "%t"], environment), folder)
            yield environment
            subprocess.run(["scancel", "--state=RUNNING"], env=environment, check=False)


def _configure(folder: Path) -> Path:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    ports = []
    with contextlib.ExitStack() as open_ones:
        for _ in range(2):
            free = open_ones.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    settings = CONFIGURATION.format(
        host=socket.gethostname().split(".")[0],
        folder=folder,
        user=subprocess.check_output(["id", "--user", "--name"], text=True).strip(),
        controller=ports[0],
        daemon=ports[1],
        cores=os.cpu_count(),
        memory=int(memory * 0.9),
    )
    file = folder / "slurm.conf"
    file.write_text(settings)
    return file


def _step(folder: Path, configuration: Path) -> Path:
    """Return a folder with an ``srun`` that finds this Slurm: within a job SLURM_CONF is gone."""
    program = folder / "bin" / "srun"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nSLURM_CONF={configuration} exec {shutil.which("srun", path=SYSTEM)} "$@"\n'
    )
    program.chmod(0o755)
    return program.parent


@contextlib.contextmanager
def _daemon(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    with open(folder / f"{command[0]}.out", "wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        if command[0] == "munged":
            _wait(lambda: (folder / "munge.socket").exists(), folder)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def _said(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout


def _wait(ready, folder: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            logs = [*sorted(folder.glob("*.out")), *sorted(folder.glob("*.log"))]
            told = "\n".join(f"{path.name}: {path.read_text(errors='replace')[-800:]}" for path in logs)
            raise TimeoutError(f"Slurm did not start within {seconds:.0f} s\n{told}")
        time.sleep(0.5)
