"""Members of a fleet as actors of a Ray cluster (extra ``ray``).

::

    import ray
    from actors.worker.ray import deploy

    ray.init(address="auto")
    fleet = deploy("shop:app", members=3)
    fleet.scale(5)
    fleet.drain()

Ray places the members on its nodes, and restarts them where a process or a node dies. Who consumes
which channel is decided by leases in the server that the worker consumes from, as without Ray: Ray
may take a node for dead whose processes go on.
"""

try:
    import ray  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "ray":
        raise
    text = "actors.worker.ray needs its extra: pip install 'mailslot[ray]'"
    raise ModuleNotFoundError(text, name="ray") from None

from actors.worker.ray.fleet import Fleet, deploy
from actors.worker.ray.member import MemberStatus

__all__ = ["Fleet", "MemberStatus", "deploy"]
