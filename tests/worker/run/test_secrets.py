"""No password is shown: in no repr, and not to whoever lists the processes of the machine."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import actors
from actors.redis.credentials import UserPassCredentialProvider
from actors.worker.run.broker import Broker
from tests.worker.program import mailslot, write_app

SECRET = "s3cr3t"

ADDRESSES = [
    f"redis://:{SECRET}@h",
    f"redis://u:{SECRET}@h:1/0",
    f"redis://u:a@{SECRET}@h",
    f"redis://u:{SECRET}/x@h",
    f"redis://u:{SECRET}?x@h",
    f"redis://u:{SECRET}#x@h",
    f"redis://u:[{SECRET}]@h",
    f"redis://u:{SECRET}",  # the host was forgotten
    f"redis://u:p@h/{SECRET}",
    f"redis://h?password={SECRET}",
    f"redis://u@h?x={SECRET}#y",
    f"rediss://u:{SECRET}@[::1]:1",
    f"valkey://u:p@h/{SECRET}",
    f"valkeys://u:{SECRET}@h",
    f"unix://u:{SECRET}@/run/redis.sock",
    f"redis//u:{SECRET}@h",
    f"u:{SECRET}@h:1",
    f"u:{SECRET}@h",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("cluster", [False, True])
def test_a_broker_does_not_show_it(address, cluster):
    for where in (address, [address], [("h", 1), address]):
        broker = Broker(where, cluster, {"password": SECRET, "username": "u"})
        assert SECRET not in f"{broker} {broker!r} {broker.problems()}"
    worker = actors.Worker(address, cluster=cluster, password=SECRET)
    assert SECRET not in f"{worker!r} {worker} {worker.broker!r} {worker.tree()}"


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("redis://u:p@h:1/0?timeout=1", "redis://h:1/0"),
        ("h:1", "redis://h:1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("rediss://[::1]:1", "rediss://[::1]:1"),
        ("valkey://u:p@h/1", "valkey://h/1"),
        ([("a", 1), "b:2", "redis://:p@c:3"], "redis://a:1, redis://b:2, redis://c:3"),
    ],
)
def test_what_a_broker_shows(where, shown):
    assert str(Broker(where)) == shown


OPTIONS: dict[str, Any] = {"username": "u", "password": SECRET}


def _public_values() -> dict[str, Any]:
    """Return one value of everything public that is given a password."""
    client = actors.Redis("h", **OPTIONS)
    cluster = actors.RedisCluster("h", **OPTIONS)
    provider = UserPassCredentialProvider("u", SECRET)
    provided = actors.Redis("h", credential_provider=provider)
    return {
        "client": client,
        "pool": client.connection_pool,
        "settings": client.connection_pool.settings,
        "cluster": cluster,
        "cluster pool": cluster.connection_pool,
        "provider": provider,
        "client with a provider": provided,
        "settings with a provider": provided.connection_pool.settings,
        "pubsub": client.pubsub(channels=["a"]),
        "cluster pubsub": cluster.pubsub(channels=["a"]),
        "sharded pubsub": cluster.sharded_pubsub(channels=["a"]),
        "worker": actors.Worker("redis://h", **OPTIONS),
    }


@pytest.mark.parametrize("what", sorted(_public_values()))
async def test_no_public_value_shows_it(what):
    value = _public_values()[what]
    assert SECRET not in f"{value} {value!r}"
    inside = vars(value) if hasattr(value, "__dict__") else {}
    shown = {name: repr(one) for name, one in inside.items() if not name.startswith("_")}
    plain = {"password"} if what == "provider" else set()  # asked for by its name
    assert not [name for name, text in shown.items() if SECRET in text and name not in plain]


@pytest.mark.embedded_only
async def test_processes_are_not_given_the_url_as_an_argument(make_server, tmp_path):
    write_app(
        tmp_path, 'app = Worker(probe_interval=None)\n@app.channel("a")\ndef a(message): ...\n'
    )
    server = make_server({"requirepass": SECRET})
    url = f"redis://:{SECRET}@{server.host}:{server.port}"
    args = ("run", "shop:app", "--url", url, "--processes", 2)
    async with mailslot(*args, cwd=tmp_path) as program:
        await program.says("running", times=2, timeout=60)
        parent = program.process.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        assert len(children) == 2
        for pid in children:
            assert SECRET not in Path(f"/proc/{pid}/cmdline").read_text()
        program.signal(signal.SIGTERM)
        assert await program.ends(60) == 0
    assert SECRET not in "\n".join([*program.out, *program.err])
