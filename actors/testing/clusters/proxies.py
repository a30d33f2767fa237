"""A proxy in front of each node of a cluster, and the address map for clients."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Protocol, Self

from actors.redis.config.locations import TCPLocation
from actors.testing.proxies.proxy import FaultProxy


class _Node(Protocol):
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class ClusterProxies:
    """Puts a :class:`~actors.testing.proxies.proxy.FaultProxy` in front of each of ``nodes``.

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
        """Put a proxy in front of one more node, before any client knows the node."""
        proxy = await self._exit.enter_async_context(FaultProxy(node.host, node.port))
        self._proxies[node.host, node.port] = proxy
        return proxy

    def __getitem__(self, node: _Node) -> FaultProxy:
        """Return the proxy in front of ``node``; KeyError if there is none."""
        return self._proxies[node.host, node.port]

    def address_remap(self, address: tuple[str, int]) -> tuple[str, int]:
        """Return the address of a node's proxy; an address without a proxy stays as it is."""
        proxy = self._proxies.get(address)
        return address if proxy is None else proxy.address

    @property
    def startup_nodes(self) -> list[TCPLocation]:
        """The addresses of the proxies, as a cluster client takes them."""
        return [TCPLocation(*proxy.address) for proxy in self._proxies.values()]

    @property
    def connections(self) -> int:
        """How many connections are open now, over all nodes."""
        return sum(proxy.connections for proxy in self._proxies.values())
