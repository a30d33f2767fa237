from __future__ import annotations

import dataclasses
import ssl
from typing import cast

import pytest

from actors.redis.config.credentials import (
    AbstractCredentialProvider,
    ExpiringUserPass,
    UserPass,
    UserPassCredentialProvider,
)
from actors.redis.config.locations import TCPLocation, UnixDomainSocketLocation
from actors.redis.config.settings import ConnectionOptions, ConnectionSettings


def test_the_keywords_of_pools_are_those_of_the_settings():
    fields = {field.name for field in dataclasses.fields(ConnectionSettings)}
    assert set(ConnectionOptions.__annotations__) == fields - {"location"}


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ValueError) as caught:
        ConnectionSettings(
            location=TCPLocation("h", 70000),
            connect_timeout=0,
            stream_timeout=-1,
            db=-1,
            encoding="klingon",
            client_name="two words",
        )
    for word in ("port", "connect_timeout", "stream_timeout", "db", "klingon", "client_name"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"location": TCPLocation("h", cast(int, "6379"))}, "port must be a number .* not '6379'"),
        (
            {"location": TCPLocation(cast(str, b"h"), 1)},
            "host must be a name or an address, as str",
        ),
        (
            {"location": UnixDomainSocketLocation(cast(str, b"/s"))},
            "path of a unix socket must be a str",
        ),
        ({"location": "h:1"}, "location must be a TCPLocation"),
        ({"db": "1"}, "db must be a number"),
        ({"connect_timeout": "5"}, "connect_timeout must be more than 0 seconds, .* not '5'"),
        ({"stream_timeout": True}, "stream_timeout must be more than 0 seconds"),
        ({"encoding": None}, "encoding None"),
        ({"client_name": b"me"}, "client_name b'me'"),
        ({"ssl_context": True}, r"ssl_context must be an ssl\.SSLContext"),
        ({"credential_provider": "secret"}, "str has no get_credentials: it must be an Abstract"),
    ],
)
def test_values_of_another_type_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        ConnectionSettings(**options)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "encoding", ["utf-16", "UTF-32-LE", "utf-8-sig", "utf-7", "cp037", "base64", "rot13", "idna"]
)
def test_an_encoding_without_ascii_is_refused_by_name(encoding):
    with pytest.raises(ValueError, match=f"encoding '{encoding}' does not contain ASCII"):
        ConnectionSettings(encoding=encoding)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "gb18030", "euc-jp", "big5"])
def test_other_encodings_are_taken(encoding):
    assert ConnectionSettings(encoding=encoding).encoding == encoding


def test_no_tls_on_unix_sockets():
    with pytest.raises(ValueError, match="no TLS on unix sockets"):
        ConnectionSettings(
            location=UnixDomainSocketLocation("/s"), ssl_context=ssl.create_default_context()
        )


def test_passwords_are_in_no_repr():
    assert "secret" not in repr(ConnectionSettings(password="secret"))
    assert "secret" not in repr(UserPass("me", "secret"))
    assert "secret" not in repr(ExpiringUserPass("me", "secret", 1))


async def test_credentials_come_from_the_provider_first():
    class Provider(AbstractCredentialProvider):
        async def get_credentials(self) -> UserPass:
            return UserPass("me", "token")

    settings = ConnectionSettings(username="you", password="x", credential_provider=Provider())
    assert await settings.get_credentials() == ("me", "token")
    assert await ConnectionSettings(password="x").get_credentials() == ("default", "x")
    assert await ConnectionSettings(username="you").get_credentials() == ("you", "")
    assert await ConnectionSettings().get_credentials() is None
    assert await UserPassCredentialProvider("u", "p").get_credentials() == ("u", "p")


async def test_what_a_provider_returns_must_be_credentials():
    class Provider(AbstractCredentialProvider):
        async def get_credentials(self) -> UserPass:
            return "token"  # type: ignore[return-value]

    with pytest.raises(TypeError, match=r"Provider\.get_credentials returned str: .* UserPass\("):
        await ConnectionSettings(credential_provider=Provider()).get_credentials()


def test_expiring_credentials_are_a_pair_with_an_end():
    credentials = ExpiringUserPass("me", "token", 30)
    username, password = credentials
    assert (username, password, credentials.expires_in) == ("me", "token", 30)
    with pytest.raises(ValueError, match="expired already"):
        ExpiringUserPass("me", "token", 0)


def test_locations_are_values_that_read_well():
    assert str(TCPLocation("h", 1)) == "h:1"
    assert str(TCPLocation("::1", 1)) == "[::1]:1"
    assert str(UnixDomainSocketLocation("/s")) == "/s"
    assert len({TCPLocation("h", 1), TCPLocation("h", 1), UnixDomainSocketLocation("/s")}) == 2
