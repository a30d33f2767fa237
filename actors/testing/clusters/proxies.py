"""A proxy before every node of a cluster, and the map that leads clients to the proxies."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol, Self

from actors.redis.config.locations import TCPLocation
from actors.testing.proxies.proxy import FaultProxy

__all__ = ["ClusterProxies"]


class _Node(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class ClusterProxies:
    """Fronts each of ``nodes`` with a :class:`~actors.testing.proxies.proxy.FaultProxy`.

    ::

        async with EmbeddedCluster() as cluster, ClusterProxies(cluster.nodes) as proxies:
            client = RedisCluster(
                startup_nodes=proxies.startup_nodes, address_remap=proxies.address_remap
            )
            proxies[await cluster.primary_for("orders")].swallow()
    """

    def __init__(self, nodes: Iterable[_Node]) -> None:
        self._nodes = list(nodes)
        self._proxies: dict[tuple[str, int], FaultProxy] = {}
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for node in self._nodes:
                await self.add(node)
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()
        self._proxies.clear()

    async def add(self, node: _Node) -> FaultProxy:
        """Front one more node; do so before clients hear of it."""
        proxy = await self._exit.enter_async_context(FaultProxy(node.host, node.port))
        self._proxies[node.host, node.port] = proxy
        return proxy

    def __getitem__(self, node: _Node) -> FaultProxy:
        """Return the proxy before ``node``; KeyError if there is none."""
        return self._proxies[node.host, node.port]

    def address_remap(self, address: tuple[str, int]) -> tuple[str, int]:
        """Return where the proxy of a node listens; an address without one stays as it is."""
        proxy = self._proxies.get(address)
        return address if proxy is None else proxy.address

    @property
    def startup_nodes(self) -> list[TCPLocation]:
        """The proxies' addresses, as a cluster client takes them."""
        return [TCPLocation(*proxy.address) for proxy in self._proxies.values()]

    @property
    def connections(self) -> int:
        """How many connections are open now, over all nodes."""
        return sum(proxy.connections for proxy in self._proxies.values())
