"""P11: a refusal that passes by itself is waited out; a "no" is an error at once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from actors import Redis, exceptions
from tests.pubsub.helpers import QUICK, Gaps, client_of, data_of, numsub
from tests.redis.helpers import HELLO, answers, confirmation, peer
from tests.servers import AnyServer, ask
from tests.support import eventually

PASSING = [
    b"-LOADING Redis is loading the dataset in memory",
    b"-BUSY Redis is busy running a script",
    b"-MASTERDOWN Link with MASTER is down",
    b"-CLUSTERDOWN Hash slot not served",
    b"-TRYAGAIN later",
    b"-ERR upstream failure",
]


class Moody:
    """A server that answers SUBSCRIBE with ``refusal``, while there is one."""

    def __init__(self, refusal: bytes | None = None) -> None:
        self.refusal = refusal
        self.asked: Counter[bytes] = Counter()

    def __call__(self, command: list[bytes]) -> bytes:
        if command[0] == b"HELLO":
            return HELLO
        self.asked.update(command[1:])
        return confirmation(command) if self.refusal is None else self.refusal + b"\r\n"


@pytest.mark.embedded_only
@pytest.mark.parametrize("refusal", PASSING)
async def test_p11_entering_waits_until_a_refusal_has_passed(refusal: bytes, caplog):
    server = Moody(refusal)
    async with peer(answers(server)) as port, Redis("127.0.0.1", port) as client:
        entering = asyncio.create_task(
            client.pubsub(channels=["a"], subscription_timeout=0.1).__aenter__()
        )
        await eventually(lambda: server.asked[b"a"] >= 4)
        assert not entering.done()
        server.refusal = None
        p = await asyncio.wait_for(entering, 5)
        assert p.unconfirmed() == []
        assert p.stats().reconnects == 0
        await p.close()
    assert caplog.text.count("subscribe_refused_for_now") == 1
    assert refusal.split(b" ", 1)[1].decode() in caplog.text


@pytest.mark.embedded_only
async def test_p11_a_refusal_that_does_not_pass_is_raised_as_what_it_is():
    server = Moody(b"-LOADING not yet")
    async with peer(answers(server)) as port, Redis("127.0.0.1", port) as client:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(channels=["a"], subscription_timeout=0.1, start_timeout=0.5):
                pytest.fail("it must not come this far")
        assert asyncio.get_running_loop().time() - begun >= 0.5
        assert [type(one) for one in caught.value.exceptions] == [exceptions.BusyLoadingError]
        server.refusal = None
        async with client.pubsub(channels=["a"], subscription_timeout=0.2) as p:
            server.refusal = b"-BUSY a script"
            with pytest.raises(exceptions.ResponseError, match="BUSY a script"):
                await p.subscribe("b")
            assert set(p.channels) == {b"a"}
            with pytest.raises(exceptions.ResponseError, match="BUSY"):
                await p.subscribe("b", "c")
            server.refusal = None
            await p.subscribe("b")


@pytest.mark.embedded_only
# Which refusals pass is decided before they are counted: for one of them there are many channels.
@pytest.mark.parametrize(
    ("refusal", "count"), [(PASSING[0], 2000), *((refusal, 200) for refusal in PASSING[1:])]
)
async def test_p11_what_is_refused_after_a_reconnect_is_asked_for_again_soon(
    refusal: bytes, count: int
):
    server, gaps = Moody(), Gaps()
    names = [f"channel-{i}" for i in range(count)]
    async with (
        peer(answers(server)) as port,
        Redis("127.0.0.1", port) as client,
        client.pubsub(channels=names, retry_policy=QUICK, on_gap=gaps) as p,
    ):
        server.refusal = refusal
        server.asked.clear()
        assert p.connection is not None
        p.connection.abort()
        # All at once with the new connection, then a few at a time.
        await eventually(lambda: server.asked.total() >= count + 30, timeout=20)
        assert server.asked.total() < 2 * count
        assert len(p.unconfirmed()) == count
        server.refusal = None
        passed = asyncio.get_running_loop().time()
        await eventually(lambda: not p.unconfirmed(), timeout=20)
        assert asyncio.get_running_loop().time() - passed < 5, "0.5 s, and the time that it takes"
        assert p.stats().gaps == count
        assert p.stats().reconnects == 1


@pytest.mark.embedded_only
async def test_p11_a_no_is_an_error_at_once_and_is_not_asked_for_again_and_again():
    server = Moody(b"-NOPERM User u has no permissions to access the 'a' channel")
    async with peer(answers(server)) as port, Redis("127.0.0.1", port) as client:
        with pytest.raises(ExceptionGroup) as caught:
            async with client.pubsub(channels=["a"]):
                pytest.fail("it must not come this far")
        assert isinstance(caught.value.exceptions[0], exceptions.AuthorizationError)
        assert server.asked[b"a"] == 1
        server.refusal = None
        async with client.pubsub(channels=["a"], retry_policy=QUICK) as p:
            server.refusal = b"-NOPERM no"
            server.asked.clear()
            assert p.connection is not None
            p.connection.abort()
            await eventually(lambda: server.asked[b"a"] >= 2)
            assert server.asked[b"a"] == 2, "at once, and a second later"


async def test_p11_a_busy_server_is_waited_out(server: AnyServer):
    """A real one: a script runs, and every SUBSCRIBE is refused meanwhile."""
    ask(server, "CONFIG", "SET", "busy-reply-threshold", "100")
    endless = "while true do end"
    async with (
        client_of(server) as other,
        client_of(server) as client,
        client.pubsub(channels=["a"], retry_policy=QUICK) as p,
    ):
        script = asyncio.create_task(other.execute_command("EVAL", endless, 0))
        await eventually(lambda: "BUSY" in ask(server, "GET", "x"))
        assert p.connection is not None
        p.connection.abort()
        await eventually(lambda: p.connection is not None)
        await asyncio.sleep(0.3)
        assert p.stats().gaps == 0
        ask(server, "SCRIPT", "KILL")
        with pytest.raises(exceptions.RedisError):
            await script
        await eventually(lambda: p.stats().gaps == 1)
        assert numsub(server, "a") == 1
        await client.publish("a", "1")
        assert await data_of(p, 1) == ["1"]


async def test_p11_a_busy_server_refuses_the_handshake_too(server: AnyServer):
    """Redis refuses SELECT while a script runs: that ends nothing, and entering waits."""
    ask(server, "CONFIG", "SET", "busy-reply-threshold", "100")
    async with (
        client_of(server) as other,
        client_of(server, db=1) as client,
        client.pubsub(channels=["a"]) as p,
    ):
        script = asyncio.create_task(other.execute_command("EVAL", "while true do end", 0))
        await eventually(lambda: "BUSY" in ask(server, "GET", "x"))
        assert p.connection is not None
        p.connection.abort()
        entering = asyncio.create_task(client.pubsub(channels=["b"]).__aenter__())
        await asyncio.sleep(0.5)
        assert p.unconfirmed()
        assert not entering.done()
        ask(server, "SCRIPT", "KILL")
        with pytest.raises(exceptions.RedisError):
            await script
        entered = await asyncio.wait_for(entering, 5)
        await eventually(lambda: p.stats().gaps == 1)
        await entered.close()
