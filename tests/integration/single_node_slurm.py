# SPDX-License-Identifier: Apache-2.0
"""A Slurm of one node, real but for authentication, in a temporary folder and on free ports.

Usage, in a test:
    slurm = SingleNodeSlurm()
    test.addClassCleanup(slurm.stop)
    job = slurm.submit("job.sh", folder=folder)
    slurm.wait_for_state(job, "COMPLETED")

It needs root and Debian's packages slurmctld, slurmd and slurm-client; `missing()` says what is not
there. Another Slurm of the machine is neither asked nor touched. Whatever becomes of the test, a
process of its own kills every process that belongs to this Slurm and removes the folder:
    python single_node_slurm.py --remove-when-stdin-ends FOLDER
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

DAEMONS = ("slurmctld", "slurmd")
COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue")
CPUS = 8  # as Slurm believes; what tests run sleeps most of the time
MEMORY_MEGABYTES = 8000
LONGEST_MINUTES = 60
# On a busy machine, before a test gives up; as search_run.py has it.
PATIENCE_SECONDS = float(os.environ.get("TEST_PATIENCE_SECONDS", "300"))
POLL_SECONDS = 0.1

# No munge, no accounting, no cgroups: what a job is told and how it ends are Slurm's own all the
# same. A credential of 5 seconds lets a requeued job start after as many, not after two minutes.
CONFIGURATION = """\
ClusterName=longrope-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
SlurmUser=root
SlurmdUser=root
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
KillWait=8
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} \
ThreadsPerCore=1 RealMemory={memory} Gres=gpu:2
PartitionName=test Nodes=ALL Default=YES MaxTime={minutes} State=UP
"""
# Two devices that pass for GPUs: enough for Slurm to hand out CUDA_VISIBLE_DEVICES.
DEVICES = "Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


def command_path(name: str) -> str | None:
    """Where a command is; Debian has the daemons in a folder that users' PATH may lack."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def missing() -> str | None:
    """What this machine lacks for a Slurm of our own, or None."""
    if os.geteuid() != 0:
        return "slurmd runs jobs only as root, and this is another user"
    absent = [name for name in (*DAEMONS, *COMMANDS) if command_path(name) is None]
    if absent:
        return (
            f"not installed: {', '.join(absent)}; "
            "scripts/install_dependencies.sh --slurm installs Debian's packages"
        )
    return None


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now: asked for all at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def processes_of(configuration: Path) -> Iterator[int]:
    """Every process that was started with this SLURM_CONF: the daemons, and all of the jobs."""
    wanted = b"SLURM_CONF=" + os.fsencode(configuration)
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                yield int(folder.name)


def remove(folder: Path) -> None:
    """Kills every process of the Slurm in `folder`, and removes that."""
    configuration = folder / "slurm.conf"
    while pids := list(processes_of(configuration)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


class SingleNodeSlurm:
    """Runs from its construction until `stop`, or until this process ends in whatever way."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="longrope-slurm-"))
        # In a session of its own and the child of nobody here: it outlives a kill of the test.
        self._guard = subprocess.Popen(
            ["setsid", "--fork", sys.executable, __file__, "--remove-when-stdin-ends", self.folder],
            stdin=subprocess.PIPE,
        )
        self._guard.wait()
        host = socket.gethostname().partition(".")[0]
        controller_port, node_port = free_ports(2)
        self.configuration = self.folder / "slurm.conf"
        self.configuration.write_text(
            CONFIGURATION.format(
                host=host,
                controller_port=controller_port,
                node_port=node_port,
                folder=self.folder,
                cpus=CPUS,
                memory=MEMORY_MEGABYTES,
                minutes=LONGEST_MINUTES,
            )
        )
        (self.folder / "gres.conf").write_text(DEVICES)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        # A SLURM_ or SBATCH_ variable of another Slurm would be heard here.
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SLURM", "SBATCH", "SQUEUE", "SINFO", "LONGROPE"))
        } | {
            "SLURM_CONF": str(self.configuration),
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }
        try:
            for daemon in DAEMONS:
                self._start(daemon)
            self.wait_until(
                lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), "its node is idle"
            )
        except BaseException:
            self.stop()
            raise

    def _start(self, daemon: str) -> None:
        path = command_path(daemon)
        assert path is not None
        with (self.folder / f"{daemon}.out").open("wb") as out:
            subprocess.run(
                [path],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                timeout=PATIENCE_SECONDS,
                check=True,
            )

    def stop(self) -> None:
        """Ends every process of it, and leaves no trace."""
        assert self._guard.stdin is not None
        remove(self.folder)
        self._guard.stdin.close()

    def logs(self) -> str:
        """The last words of the daemons, for a failed test."""
        return "".join(
            f"--- {name}\n" + "\n".join((self.folder / name).read_text().splitlines()[-30:]) + "\n"
            for name in ("slurmctld.log", "slurmd.log", "slurmctld.out", "slurmd.out")
            if (self.folder / name).exists()
        )

    # --- commands ---

    def run(
        self, *words: str | Path, folder: Path | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command that talks to this Slurm, with `more` in its environment."""
        return subprocess.run(
            [str(word) for word in words],
            cwd=folder or self.folder,
            env=self.environment | dict(more or {}),
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def ask(self, *words: str | Path, folder: Path | None = None) -> str:
        """What a command answers; empty where it fails, as while the controller starts."""
        return self.run(*words, folder=folder).stdout

    def tell(self, *words: str | Path, folder: Path | None = None) -> str:
        """As `ask`, for a command that must not fail."""
        done = self.run(*words, folder=folder)
        if done.returncode != 0:
            raise AssertionError(
                f"{words}: {done.returncode}\n{done.stdout}{done.stderr}{self.logs()}"
            )
        return done.stdout

    def submit(self, *words: str | Path, folder: Path) -> str:
        """Submits with sbatch; returns the job's number."""
        return self.tell("sbatch", "--parsable", *words, folder=folder).strip()

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says of a job, by name."""
        words = self.ask("scontrol", "show", "job", "--oneliner", number).split()
        return dict(word.partition("=")[::2] for word in words)

    def state(self, number: str) -> str:
        return self.job(number).get("JobState", "unknown")

    def wait_until(self, condition: Callable[[], Any], what: str) -> Any:
        """Polls until `condition` holds, and returns its value."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if value := condition():
                return value
            time.sleep(POLL_SECONDS)
        raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s in vain until {what}\n{self.logs()}")

    def wait_for_state(self, number: str, *states: str) -> dict[str, str]:
        """Waits until a job is in one of these states; what Slurm says of it then."""

        def reached() -> dict[str, str] | None:
            job = self.job(number)
            return job if job.get("JobState") in states else None

        return self.wait_until(
            reached, f"job {number} is {' or '.join(states)}: {self.job(number)}"
        )


def main() -> int:
    if len(sys.argv) != 3 or sys.argv[1] != "--remove-when-stdin-ends":
        print(__doc__, file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    remove(Path(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
