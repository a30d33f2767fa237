"""A Ray cluster of two nodes on loopback, and this program's connection to it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

__all__ = ["two_nodes"]

ROOT = Path(__file__).parents[3]
_LOOPBACK = "127.0.0.1"

#: Of this process and those of the nodes.
_ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "RAY_USAGE_STATS_ENABLED": "0",
    # Else Ray puts an address that other machines reach in the place of 127.0.0.1.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
#: A node that dies is known to be dead within about two seconds.
_HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Run the cluster; yield it. The second node is the last of ``list_all_nodes``."""
    # Its sockets are there, whose paths must be short.
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        patch.dict(os.environ, _ENVIRONMENT),
    ):
        # Imported here: Ray reads the variables when it is imported, and takes seconds for that.
        import ray
        from ray.cluster_utils import Cluster

        node: dict[str, Any] = {
            "node_ip_address": _LOOPBACK,
            "num_cpus": 4,
            "object_store_memory": 80 << 20,
            "include_dashboard": False,
            "temp_dir": folder,
        }
        cluster = Cluster(initialize_head=True, head_node_args={**node, "_system_config": _HEALTH})
        try:
            cluster.add_node(**node)
            ray.init(
                address=cluster.address,
                _node_ip_address=_LOOPBACK,
                configure_logging=False,
                log_to_driver=False,
            )
            yield cluster
        finally:
            ray.shutdown()
            cluster.shutdown()
