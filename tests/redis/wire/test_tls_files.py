"""Certificates that are replaced while a program runs, and names that they do not hold."""

from __future__ import annotations

import os
import shutil
import ssl
from pathlib import Path
from typing import Any

import pytest

from actors import Redis, RedisCluster
from actors.redis.config.locations import TCPLocation
from actors.redis.config.settings import ConnectionSettings
from actors.redis.config.tls import current_context, make_ssl_context
from actors.redis.config.url import read_url
from actors.redis.exceptions import ConnectionError  # noqa: A004
from actors.redis.wire.connection import Connection
from actors.worker.run.broker import Broker
from tests.pubsub.helpers import QUICK
from tests.redis.helpers import Certificates, peer, tunnel
from tests.servers import AnyServer
from tests.support import eventually

pytestmark = pytest.mark.embedded_only


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of another authority: those of after the rotation."""
    return Certificates(tmp_path_factory.mktemp("rotated"))


class Files:
    """The paths that a client is given, and what is put there."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.cert, self.key = (str(folder / name) for name in ("ca", "cert", "key"))

    def put(self, certificates: Certificates, *names: str) -> None:
        for name in names or ("ca", "cert", "key"):
            # As tools do: a new file takes the place of the old one.
            shutil.copy(getattr(certificates, name), getattr(self, name) + ".new")
            os.replace(getattr(self, name) + ".new", getattr(self, name))

    @property
    def options(self) -> dict[str, Any]:
        return {"ssl_ca_certs": self.ca, "ssl_certfile": self.cert, "ssl_keyfile": self.key}


@pytest.fixture
def files(tmp_path: Path, certificates: Certificates) -> Files:
    files = Files(tmp_path)
    files.put(certificates)
    return files


@pytest.mark.parametrize("url", [True, False], ids=["URL", "arguments"])
async def test_a_pubsub_object_goes_on_with_new_certificates(
    server: AnyServer, certificates: Certificates, others: Certificates, files: Files, url: bool
):
    handler = tunnel(server.host, server.port)
    old, new = (each.server_context(client_certificate=True) for each in (certificates, others))
    async with peer(handler, context=old) as port:
        options: dict[str, Any] = {**files.options, "decode_responses": True}
        client = (
            Redis.from_url(f"rediss://localhost:{port}", **options)
            if url
            else Redis("localhost", port, ssl=True, **options)
        )
        await client.__aenter__()
        pubsub = client.pubsub(channels=["a"], retry_policy=QUICK, ignore_subscribe_messages=True)
        await pubsub.__aenter__()
    try:
        # Until its end the old server may have taken a connection once more.
        before = pubsub.stats().reconnects
        files.put(others)
        async with peer(handler, context=new, port=port):
            await eventually(lambda: pubsub.stats().reconnects > before, 20)
            assert await client.ping() == "PONG"
            await client.publish("a", "after the rotation")
            message = await pubsub.get_message(timeout=10)
            assert message is not None
            assert message["data"] == "after the rotation"
    finally:
        await pubsub.__aexit__(None, None, None)
        await client.__aexit__(None, None, None)


def context_of(files: Files) -> Any:
    return make_ssl_context(ca_certs=files.ca, certfile=files.cert, keyfile=files.key)


def test_files_are_read_again_only_when_they_have_changed(files: Files, others: Certificates):
    first = context_of(files)
    assert current_context(first) is first
    files.put(others, "ca")
    second = current_context(first)
    assert second is not first
    assert current_context(first) is second
    subjects = [ca["subject"] for ca in second.get_ca_certs()]
    assert subjects.count(((("commonName", "test authority"),),)) == 1  # the old one is gone


@pytest.mark.parametrize("name", ["ca", "cert"])
def test_the_options_stay(files: Files, others: Certificates, name):
    first = make_ssl_context(
        ca_certs=files.ca, certfile=files.cert, keyfile=files.key, check_hostname=True
    )
    files.put(others, *(("cert", "key") if name == "cert" else (name,)))
    second = current_context(first)
    assert second is not first
    assert (second.check_hostname, second.verify_mode) == (True, first.verify_mode)


@pytest.mark.parametrize("broken", ["half", "gone", "empty"])
def test_the_files_of_before_are_used_while_they_are_being_replaced(
    files: Files, others: Certificates, caplog, broken
):
    first = context_of(files)
    match broken:
        case "half":
            files.put(others, "cert")  # its key is to come
        case "gone":
            Path(files.key).unlink()
        case "empty":
            Path(files.ca).write_text("")
    assert current_context(first) is first
    assert "tls_files_not_read" in caplog.text
    files.put(others)
    assert current_context(first) is not first


def test_a_folder_of_authorities(files: Files, others: Certificates, tmp_path: Path):
    folder = tmp_path / "authorities"
    folder.mkdir()
    first = make_ssl_context(ca_certs=str(folder))
    assert current_context(first) is first
    shutil.copy(others.ca, folder / "new.crt")
    second = current_context(first)
    assert second is not first
    assert current_context(first) is second


def test_links_that_are_turned(files: Files, certificates: Certificates, others: Certificates):
    """A mounted secret is a link to a folder, which is exchanged."""
    Path(files.ca).unlink()
    os.symlink(certificates.ca, files.ca)
    first = context_of(files)
    os.symlink(others.ca, files.ca + ".new")
    os.replace(files.ca + ".new", files.ca)
    assert current_context(first) is not first


def test_contexts_of_users_are_theirs():
    mine = ssl.create_default_context()
    assert current_context(mine) is mine


# --- host names -----------------------------------------------------------------------------------


@pytest.fixture
async def tls_port(shared_server, certificates):
    handler = tunnel(shared_server.host, shared_server.port)
    async with peer(handler, context=certificates.server_context()) as port:
        yield port


@pytest.mark.parametrize("kind", [Redis, RedisCluster, "worker"])
async def test_a_url_checks_the_name(tls_port: int, certificates: Certificates, kind):
    """The certificate names localhost, and no address."""
    url = f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificates.ca}"
    client: Any = Broker(url).client() if kind == "worker" else kind.from_url(url)
    with pytest.raises(ConnectionError, match=r"IP address mismatch.*ssl_check_hostname"):
        async with client:
            await client.ping()


@pytest.mark.parametrize("off", ["ssl_check_hostname=false", "ssl_cert_reqs=none"])
@pytest.mark.parametrize("worker", [False, True])
async def test_it_can_be_turned_off(tls_port: int, certificates: Certificates, off, worker):
    url = f"rediss://127.0.0.1:{tls_port}?ssl_ca_certs={certificates.ca}&{off}"
    client: Any = Broker(url).client() if worker else Redis.from_url(url)
    async with client:
        assert await client.ping() in {"PONG", b"PONG"}


@pytest.mark.parametrize(
    ("options", "checks"),
    [
        ({}, True),
        ({"ssl_check_hostname": None}, True),
        ({"ssl_check_hostname": True}, True),
        ({"ssl_check_hostname": False}, False),
        ({"ssl_cert_reqs": "none"}, False),
        ({"ssl_cert_reqs": "optional"}, True),
        ({"ssl_cert_reqs": "required"}, True),
    ],
)
def test_what_a_url_checks(options, checks):
    _, merged = read_url("rediss://h", options, decode_components=False)
    assert merged["ssl_context"].check_hostname is checks


async def test_arguments_check_no_name_unless_asked(tls_port: int, certificates: Certificates):
    """As in coredis."""
    async with Redis("127.0.0.1", tls_port, ssl=True, ssl_ca_certs=certificates.ca) as client:
        assert await client.ping() == b"PONG"
    context = make_ssl_context(ca_certs=certificates.ca, check_hostname=True)
    location = TCPLocation("127.0.0.1", tls_port)
    with pytest.raises(ConnectionError, match="IP address mismatch"):
        await Connection.open(ConnectionSettings(location=location, ssl_context=context))
