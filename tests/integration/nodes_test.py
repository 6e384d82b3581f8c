# SPDX-License-Identifier: Apache-2.0
"""Searches over several nodes, imitated on one machine: what MPI tells of ranks elsewhere.

To Open MPI a node is what has a daemon of its own. mpirun starts the daemons with an agent that
runs here what it was to run there; each rank then talks to the others over TCP, knows nothing of
their processes and shares no memory with them.

Usage: python tests/run_python_test.py tests/integration/nodes_test.py
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from search_run import (
    Process,
    SearchRun,
    assert_same_search,
    changed,
    needs_mpirun,
    synthetic_search,
    wait_until,
)

HOSTS = ("localhost", "127.0.0.2", "127.0.0.3")  # rank by rank; the first is mpirun's own
LEASE_SECONDS = 6  # more than a rank that lives may wait for a core of a busy machine

# A node has folders of its own; daemons that make the same ones at once may fail.
AGENT = """#!/bin/sh
shift  # the host
TMPDIR=$(mktemp -d "{folder}/nodeXXXXXX") || exit 1
export TMPDIR
exec /bin/sh -c "$*"
"""

# Open MPI's own TCP, and what InfiniBand is usually driven by, over TCP.
OB1 = ("--mca", "pml", "ob1", "--mca", "btl", "tcp,self")
UCX = (
    *("--mca", "pml", "ucx", "--mca", "pml_ucx_tls", "any", "--mca", "pml_ucx_devices", "any"),
    *("-x", "UCX_TLS=tcp,self", "-x", "UCX_NET_DEVICES=lo"),
)


def has_ucx() -> bool:
    if shutil.which("ompi_info") is None:
        return False
    listing = subprocess.run(["ompi_info"], capture_output=True, text=True, check=False).stdout
    return "MCA pml: ucx" in listing


def daemon_of(rank: Process) -> Process:
    """The process that started a rank: its node's daemon."""
    fields = Path(f"/proc/{rank.pid}/stat").read_text().rpartition(")")[2].split()
    daemon = Process(int(fields[1]), ("orted", ""), None)
    name = Path(f"/proc/{daemon.pid}/comm").read_text().strip()
    if name != daemon.words[0]:
        raise AssertionError(f"rank {rank.rank} has no node of its own: {name} started it")
    return daemon


@needs_mpirun()
class NodesTest(unittest.TestCase):
    """Three nodes of one rank, of which the last meets with something."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.reference = SearchRun(cls.folder / "reference", synthetic_search())
        cls.reference.complete()

    def start(self, network: tuple[str, ...], **settings: float) -> SearchRun:
        """A search of some ten seconds, on its way."""
        configuration = changed(synthetic_search(duration_ms=100), run=settings)
        run = SearchRun(self.folder / self.id(), configuration, ranks=len(HOSTS))
        self.addCleanup(run.clean_up)
        agent = run.folder / "agent.sh"
        agent.write_text(AGENT.format(folder=self.folder))  # short: sockets are made there
        agent.chmod(0o755)
        run.launch_options = [
            *("--host", ",".join(f"{host}:1" for host in HOSTS)),
            *("--mca", "plm_rsh_agent", str(agent), "--leave-session-attached"),
            *("--mca", "oob_tcp_if_include", "lo", "--mca", "btl_tcp_if_include", "lo"),
            # Several daemons on a host write the topology to one place: Open MPI may crash on that.
            *("--mca", "rtc", "^hwloc"),
            *network,
        ]
        run.start()
        run.wait_for_scores(10)
        daemon_of(run.rank(2))
        return run

    def expect_the_end(self, run: SearchRun) -> None:
        wait_until(lambda: run.state() == "complete", f"the search is complete: {run.said()}")
        assert_same_search(
            self, self.reference.content(), run.content(), besides={"/@configuration"}
        )

    def test_all_nodes_compute_and_the_result_is_the_same(self) -> None:
        run = self.start(OB1)
        run.expect_silence()
        self.expect_the_end(run)
        self.assertNotIn("is lost", run.said())
        for rank in range(len(HOSTS)):
            self.assertIn(f"worker {rank} on ", run.said())
        self.assertGreater(run.tasks(), 100)

    def test_a_rank_killed_on_another_node_is_lost_and_the_others_end_the_search(self) -> None:
        run = self.start(OB1, lease_seconds=LEASE_SECONDS)
        run.rank(2).kill()
        run.expect_silence()
        self.assertIn("worker 2 is lost", run.said())
        self.expect_the_end(run)

    @unittest.skipUnless(has_ucx(), "this Open MPI has no UCX")
    def test_a_message_that_ucx_cannot_deliver_loses_its_rank_and_no_search(self) -> None:
        run = self.start(UCX)
        run.rank(2).kill()
        run.expect_silence()  # well before the lease of five minutes
        self.assertRegex(run.said(), r"worker 2 is lost: MPI_(Isend|Test)")
        self.expect_the_end(run)

    def test_a_node_that_is_gone_is_lost_with_its_lease_and_the_search_is_completed(self) -> None:
        run = self.start(OB1, lease_seconds=LEASE_SECONDS)
        rank = run.rank(2)
        daemon_of(rank).kill()
        rank.kill()
        self.expect_the_end(run)  # whether mpirun ends then or not
        self.assertIn("worker 2 is lost", run.said())


if __name__ == "__main__":
    unittest.main()
