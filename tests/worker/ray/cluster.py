"""A Ray cluster of two nodes on loopback, and this program's connection to it."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

__all__ = ["TwoNodes", "two_nodes"]

ROOT = Path(__file__).parents[3]
_LOOPBACK = "127.0.0.1"

#: Of this process and those of the nodes.
_ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    # Else Ray puts an address that other machines reach in the place of 127.0.0.1.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
#: A node that does not answer is taken for dead within about six seconds; one that is only slow,
#: on a busy machine, is not.
_HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}


class TwoNodes:
    """The cluster: its head, to which this program is connected, and a second node."""

    def __init__(self, folder: str) -> None:
        # Imported here: Ray reads the variables when it is imported, and takes seconds for that.
        from ray.cluster_utils import Cluster

        self._options: dict[str, Any] = {
            "node_ip_address": _LOOPBACK,
            "num_cpus": 4,
            "object_store_memory": 80 << 20,
            "include_dashboard": False,
            "temp_dir": folder,
        }
        head = {**self._options, "_system_config": _HEALTH}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._second: Any = None

    @property
    def address(self) -> str:
        return self._cluster.address

    def second(self) -> str:
        """Return the id of the second node, which is started where there is none."""
        if self._second is None:
            self._second = self._cluster.add_node(**self._options)
        return self._second.node_id

    def signal_second(self, signum: signal.Signals) -> None:
        """Send a signal to the raylet of the second node; members are other processes."""
        (raylet,) = self._second.all_processes["raylet"]
        os.kill(raylet.process.pid, signum)

    def remove_second(self) -> None:
        """End all of the second node, whatever is left of it."""
        if self._second is not None:
            self._cluster.remove_node(self._second, allow_graceful=False)
            self._second = None

    def close(self) -> None:
        self._cluster.shutdown()


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Run the cluster, and connect to it."""
    # Its sockets are there, whose paths must be short.
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        patch.dict(os.environ, _ENVIRONMENT),
    ):
        import ray

        nodes = TwoNodes(folder)
        try:
            nodes.second()
            ray.init(
                address=nodes.address,
                _node_ip_address=_LOOPBACK,
                configure_logging=False,
                log_to_driver=False,
            )
            yield nodes
        finally:
            ray.shutdown()
            nodes.close()
