"""Section 7 of the contract: what a message is, and when it is str or bytes."""

from __future__ import annotations

import pickle

import pytest

from actors import Redis
from tests.pubsub.helpers import Heard, client_of, data_of, drain, message, take
from tests.servers import AnyServer


def ack(type: str, name, count: int, pattern=None) -> dict:
    return {"type": type, "pattern": pattern, "channel": name, "data": count}


@pytest.mark.every_backend
@pytest.mark.parametrize("decode", [False, True])
async def test_contract_every_event_is_a_dict_of_four_keys(shared_server: AnyServer, decode: bool):
    """Confirmations, messages and pattern messages; ``type`` is str in both modes."""

    def name(text: str) -> str | bytes:
        return text if decode else text.encode()

    async with client_of(shared_server, decode_responses=decode) as client, client.pubsub() as p:
        await p.subscribe("foo", "bar")
        await p.psubscribe("f*")
        await client.publish("foo", "1")
        await client.publish("bar", "2")
        # From another connection: it may come after the acks of what follows.
        found = await take(p, 6)
        await p.unsubscribe("foo")
        await p.punsubscribe("f*")
        found += await take(p, 2)
    assert found == [
        ack("subscribe", name("foo"), 1),
        ack("subscribe", name("bar"), 2),
        ack("psubscribe", name("f*"), 3, pattern=name("f*")),
        message(name("foo"), name("1")),
        message(name("foo"), name("1"), pattern=name("f*")),
        message(name("bar"), name("2")),
        ack("unsubscribe", name("foo"), 2),
        ack("punsubscribe", name("f*"), 1, pattern=name("f*")),
    ]
    assert {type(one) for one in found} == {dict}
    assert {type(one["type"]) for one in found} == {str}


async def test_contract_acks_count_channels_and_patterns_together(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub() as p:
        await p.subscribe("a")
        await p.subscribe("a")
        await p.subscribe("b", "b", b=None)
        await p.psubscribe("a")
        await p.unsubscribe("unknown")
        assert await drain(p) == [
            ack("subscribe", "a", 1),
            ack("subscribe", "a", 1),  # known already: an ack, and the count is what it was
            ack("subscribe", "b", 2),  # named three times in one call: once
            ack("psubscribe", "a", 3, pattern="a"),
            ack("unsubscribe", "unknown", 3),
        ]


async def test_contract_unsubscribe_of_nothing(shared_server: AnyServer):
    async with client_of(shared_server) as client, client.pubsub() as p:
        await p.unsubscribe()
        await p.punsubscribe()
        assert await drain(p) == [ack("unsubscribe", None, 0), ack("punsubscribe", None, 0)]


async def test_contract_undecodable_payloads_stay_bytes(shared_server: AnyServer):
    heard = Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["a"], patterns=["p*"], channel_handlers={"h": heard}) as p,
    ):
        await client.publish("a", b"\xff\xfe")
        await client.publish("a", "caf\u00e9")
        await client.publish("h", b"\xff")
        await client.publish("p1", b"\xff\xfe")
        await heard.wait(1)
        data = await data_of(p, 3)
    assert data == [b"\xff\xfe", "caf\u00e9", b"\xff\xfe"]
    assert heard == [b"\xff"]


async def test_contract_names_and_payloads_use_the_clients_encoding(shared_server: AnyServer):
    async with (
        client_of(shared_server, encoding="latin-1") as client,
        client.pubsub(channels=["caf\u00e9"]) as p,
        client_of(shared_server, decode_responses=False) as raw,
    ):
        assert list(p.channels) == ["caf\u00e9"]
        assert await raw.pubsub_channels() == {b"caf\xe9"}
        await client.publish("caf\u00e9", "cr\u00e8me")
        assert (await take(p, 2))[1] == message("caf\u00e9", "cr\u00e8me")


async def test_contract_binary_names_are_not_mangled(shared_server: AnyServer):
    """K, last line: a name that is no text stays as it is, decoded client or not."""
    heard = Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(
            channels=[b"\xff\xfe"],
            channel_handlers={b"\x00h": heard},
            patterns=[b"\xfd*"],
        ) as p,
    ):
        assert set(p.channels) == {b"\xff\xfe", "\x00h"}
        assert set(p.patterns) == {b"\xfd*"}
        await drain(p)
        await client.publish(b"\xff\xfe", "1")
        await client.publish(b"\x00h", "2")
        await client.publish(b"\xfd\xfe", "3")
        await heard.wait(1)
        assert await take(p, 2) == [
            message(b"\xff\xfe", "1"),
            message(b"\xfd\xfe", "3", pattern=b"\xfd*"),
        ]
        assert heard == ["2"]
        await p.unsubscribe(b"\xff\xfe")
        assert set(p.channels) == {"\x00h"}


async def test_contract_str_and_bytes_name_the_same_channel(shared_server: AnyServer):
    for decode, key in ((True, "a"), (False, b"a")):
        async with (
            client_of(shared_server, decode_responses=decode) as client,
            client.pubsub(channels=["a", b"a"]) as p,
        ):
            assert p.channels == {key: None}
            await p.unsubscribe(b"a", "a")
            assert not p.subscribed


@pytest.mark.parametrize("code", [56, 4456, 0x1F600])
async def test_contract_unicode_names(shared_server: AnyServer, code: int):
    name = f"uni{chr(code)}code"
    heard = Heard()
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=[name], pattern_handlers={f"{name[:4]}*": heard}) as p,
    ):
        await client.publish(name, chr(code))
        await heard.wait(1)
        assert (await take(p, 3))[-1] == message(name, chr(code))
        assert heard == [chr(code)]


@pytest.mark.parametrize(
    ("name", "problem"), [(5, "not int"), (None, "not NoneType"), (["a"], "not list.*one by one")]
)
async def test_contract_a_name_of_another_type_is_an_error_at_once(
    shared_server: AnyServer, name, problem: str
):
    async with client_of(shared_server) as client, client.pubsub() as p:
        with pytest.raises(TypeError, match=problem):
            await p.subscribe("fine", name)
        assert not p.subscribed
        assert await client.pubsub_channels() == set()


async def test_contract_pickled_payload(shared_server: AnyServer):
    value = {"a": [1, 2.5, None], "b": b"\x00\xff"}
    client: Redis[bytes] = Redis(shared_server.host, shared_server.port)
    async with client, client.pubsub(channels=["a"]) as p:
        await p.get_message(timeout=5)
        await client.publish("a", pickle.dumps(value))
        found = await p.get_message(timeout=5)
        assert found is not None
        assert pickle.loads(found["data"]) == value


@pytest.mark.parametrize("size", [512 * 1024, 10 * 1024 * 1024])
async def test_large_payloads(shared_server: AnyServer, size: int):
    payload = bytes(range(256)) * (size // 256)
    client: Redis[bytes] = Redis(shared_server.host, shared_server.port)
    heard = Heard()
    async with client, client.pubsub(channels=["a"], channel_handlers={"b": heard}) as p:
        await drain(p)
        for i in range(1, 4):
            await client.publish("a", payload)
            await client.publish("b", payload)
            # One after the other: the server ends a subscriber that is 32 MB behind.
            assert await data_of(p, 1) == [payload]
            await heard.wait(i)
        await client.publish("a", b"small")
        assert await data_of(p, 1) == [b"small"]
        assert heard == [payload] * 3


async def test_contract_commands_of_a_pubsub_user(shared_server: AnyServer):
    """PUBSUB CHANNELS, NUMSUB and NUMPAT, as the coredis suite looks at them."""
    async with (
        client_of(shared_server) as client,
        client.pubsub(channels=["foo", "bar"], patterns=["b*", "c*"]),
        client.pubsub(channels=["foo"]),
    ):
        assert await client.pubsub_channels() == {"foo", "bar"}
        assert await client.pubsub_numsub("foo", "bar", "none") == {"foo": 2, "bar": 1, "none": 0}
        assert await client.pubsub_numpat() == 2
