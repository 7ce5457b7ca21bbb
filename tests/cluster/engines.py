"""A Slurm and a Grid Engine of the test's own on this machine: private state, free ports, gone when the test is."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

SLURM_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
GRID_ENGINE_PROGRAMS = ("sge_qmaster", "sge_execd", "qsub", "qstat", "qconf")
GRID_ENGINE = Path("/usr/lib/gridengine")
GRID_ENGINE_SHARE = Path("/usr/share/gridengine")
INSTALL = "bash tests/cluster/install.sh installs it as root on Debian"

SLURM_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool.%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MaxArraySize=8
MinJobAge=20
KillWait=2
MessageTimeout=2
SlurmdTimeout=300
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
NodeName=alpha NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[0]} CPUs=2 State=UNKNOWN
NodeName=beta NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 State=UNKNOWN
PartitionName=main Nodes=alpha Default=YES MaxTime=INFINITE State=UP
PartitionName=second Nodes=beta MaxTime=INFINITE State=UP
PartitionName=both Nodes=alpha,beta MaxTime=INFINITE State=UP
"""

QUEUE = {
    "qname": "all.q",
    "hostlist": "@allhosts",
    "slots": "2",
    "pe_list": "smp",
    "load_thresholds": "NONE",
    "shell": "/bin/bash",
}

PARALLEL_ENVIRONMENT = """\
pe_name smp
slots 999
user_lists NONE
xuser_lists NONE
start_proc_args NONE
stop_proc_args NONE
allocation_rule $pe_slots
control_slaves TRUE
job_is_first_task TRUE
urgency_slots min
accounting_summary FALSE
qsort_args NONE
"""

BOOTSTRAP = """\
admin_user none
default_domain none
ignore_fqdn false
spooling_method berkeleydb
spooling_lib libspoolb
spooling_params {root}/spooldb
binary_path /usr/sbin
qmaster_spool_dir {root}/qmaster
security_mode none
listener_threads 2
worker_threads 2
scheduler_threads 1
"""


class Daemons:
    """Programs in the foreground of their own process groups, ended with the test."""

    def __init__(self, root: Path, environment: dict[str, str]):
        self.root = root
        self.environment = environment
        self._running: dict[str, subprocess.Popen] = {}

    def start(self, name: str, *words: str) -> None:
        with open(self.root / f"{name}.out", "ab") as out:
            self._running[name] = subprocess.Popen(
                words, env=self.environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
            )

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self._running.pop(name)
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def ask(self, *words: str, **options) -> subprocess.CompletedProcess:
        return subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, **options)

    def said(self) -> str:
        files = [*self.root.glob("*.out"), *self.root.glob("*.log"), *self.root.glob("qmaster/messages")]
        return "\n".join(f"{file.name}: {file.read_text(errors='replace')[-2000:]}" for file in files)


class SlurmCluster(Daemons):
    """Two nodes (alpha, beta) of two CPUs, both this machine; arrays of at most 7 tasks; no accounting."""

    def __init__(self, root: Path):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        super().__init__(root, {**environment, "SLURM_CONF": str(root / "slurm.conf")})

    def begin(self) -> None:
        root = self.root
        root.chmod(0o755)
        (root / "munge.key").write_bytes(os.urandom(1024))
        (root / "munge.key").chmod(0o400)
        (root / "state").mkdir()
        controller, *nodes = free_ports(3)
        conf = SLURM_CONF.format(host=socket.gethostname().partition(".")[0], root=root, port=controller, ports=nodes)
        (root / "slurm.conf").write_text(conf)
        files = {
            "key-file": "munge.key",
            "socket": "munge.socket",
            "pid-file": "munged.pid",
            "seed-file": "munged.seed",
        }
        options = [f"--{option}={root / file}" for option, file in files.items()]
        self.start("munged", "munged", "--foreground", "--force", f"--log-file={root}/munged.log", *options)
        wait_for((root / "munge.socket").exists, self)
        self.start_controller("-c")
        for node in ("alpha", "beta"):
            self.start(node, "slurmd", "-D", "-N", node, "-c")
        wait_for(lambda: self.ask("sinfo", "-h", "-N", "-t", "idle").stdout.count("\n") >= 4, self)

    def start_controller(self, *options: str) -> None:
        self.start("slurmctld", "slurmctld", "-D", *options)


class GridEngineCluster(Daemons):
    """One queue all.q with two slots on this machine."""

    def __init__(self, root: Path):
        master, execution = free_ports(2)
        own = {
            "SGE_ROOT": str(root / "root"),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": str(master),
            "SGE_EXECD_PORT": str(execution),
        }
        super().__init__(root, {**os.environ, **own})

    def begin(self) -> None:
        root = self.root
        root.chmod(0o755)
        common = root / "root" / "default" / "common"
        for folder in (common, root / "qmaster" / "job_scripts", root / "spooldb", root / "execd"):
            folder.mkdir(parents=True)
        for name in ("bin", "lib", "util", "utilbin"):
            (root / "root" / name).symlink_to(Path("/var/lib/gridengine") / name)
        (common / "bootstrap").write_text(BOOTSTRAP.format(root=root))
        (common / "act_qmaster").write_text("localhost\n")
        (common / "host_aliases").write_text(f"localhost {socket.gethostname()}\n")
        changes = {
            "execd_spool_dir": str(root / "execd"),
            "min_uid": "0",
            "min_gid": "0",
            "mailer": "/bin/true",
            "load_report_time": "00:00:05",
            "max_aj_tasks": "7",
            "reporting_params": "accounting=true reporting=false flush_time=00:00:01 joblog=false sharelog=00:00:00",
        }
        self._configure("configuration", (GRID_ENGINE_SHARE / "default-configuration").read_text(), changes)
        self._do(f"{GRID_ENGINE}/spoolinit", "berkeleydb", "libspoolb", f"{root}/spooldb", "init")
        defaults = f"{GRID_ENGINE}/spooldefaults"
        self._do(defaults, "configuration", f"{root}/configuration")
        self._do(defaults, "complexes", f"{GRID_ENGINE_SHARE}/util/resources/centry")
        self._do(defaults, "usersets", f"{GRID_ENGINE_SHARE}/util/resources/usersets")
        self._do(defaults, "managers", "root")
        self.environment["SGE_ND"] = "1"  # stay in the foreground
        self.start("qmaster", "sge_qmaster")
        wait_for(lambda: self.ask("qconf", "-sh").returncode == 0, self)
        self.ask("qconf", "-ah", "localhost")  # it may be known already
        self._do("qconf", "-as", "localhost")
        (root / "smp").write_text(PARALLEL_ENVIRONMENT)
        (root / "hosts").write_text("group_name @allhosts\nhostlist localhost\n")
        self._do("qconf", "-Ap", f"{root}/smp")
        self._do("qconf", "-Ahgrp", f"{root}/hosts")
        self.environment["EDITOR"] = "cat"
        template = [line for line in self.ask("qconf", "-aq").stdout.splitlines() if not line.startswith("root@")]
        self._configure("queue", "\n".join(template), QUEUE)
        self._do("qconf", "-Aq", f"{root}/queue")
        quick = {"schedule_interval": "0:0:1", "flush_submit_sec": "1", "flush_finish_sec": "1"}
        scheduler = self.ask("qconf", "-ssconf").stdout
        self._configure("scheduler", scheduler, {**quick, "job_load_adjustments": "NONE"})
        self._do("qconf", "-Msconf", f"{root}/scheduler")
        self.start("execd", "sge_execd")
        wait_for(lambda: "lx-" in self.ask("qhost", "-h", "localhost").stdout, self)

    def _configure(self, name: str, text: str, changes: dict[str, str]) -> None:
        lines = [line for line in text.splitlines() if line.split(None, 1)[:1] not in [[change] for change in changes]]
        lines += [f"{option} {value}" for option, value in changes.items()]
        (self.root / name).write_text("\n".join(lines) + "\n")

    def _do(self, *words: str) -> None:
        result = self.ask(*words)
        assert result.returncode == 0, f"{words}: {result.stdout} {result.stderr}\n{self.said()}"


def need(programs: tuple[str, ...]) -> None:
    """Skips the test, with the reason, where the engine cannot run."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    missing = [program for program in programs if not shutil.which(program, path=path)]
    if missing:
        pytest.skip(f"{missing[0]} is not installed; {INSTALL}")
    if os.geteuid() != 0:
        pytest.skip("the engine's daemons run jobs of their own here only as root")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(condition, daemons: Daemons | None = None, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened\n{daemons.said() if daemons else ''}"
        time.sleep(0.1)
