from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.redis.config.locations import TCPLocation, UnixDomainSocketLocation
from actors.redis.config.url import REDIS_OPTIONS, SSL_OPTIONS, parse_bool, parse_url

ALL_OPTIONS = (
    "redis://h?max_connections=3&timeout=0.5&client_name=me&stream_timeout=2"
    "&connect_timeout=1.5&max_idle_time=9&noreply=no&noevict=1&notouch=True"
)


@pytest.mark.parametrize(
    ("url", "location", "options"),
    [
        ("redis://", TCPLocation("localhost", 6379), {}),
        ("redis://h", TCPLocation("h", 6379), {}),
        ("redis://h:1/", TCPLocation("h", 1), {}),
        ("redis://[::1]:7000/3", TCPLocation("::1", 7000), {"db": 3}),
        ("redis://h/3?db=4", TCPLocation("h", 6379), {"db": 4}),
        ("redis://:pw@h", TCPLocation("h", 6379), {"password": "pw"}),
        ("redis://u:p@h", TCPLocation("h", 6379), {"username": "u", "password": "p"}),
        ("redis://u@h", TCPLocation("h", 6379), {"username": "u"}),
        ("unix:///run/r.sock", UnixDomainSocketLocation("/run/r.sock"), {}),
        (
            "unix://u:p@/run/r.sock?db=2",
            UnixDomainSocketLocation("/run/r.sock"),
            {"username": "u", "password": "p", "db": 2},
        ),
        (
            ALL_OPTIONS,
            TCPLocation("h", 6379),
            {
                "max_connections": 3,
                "timeout": 0.5,
                "client_name": "me",
                "stream_timeout": 2.0,
                "connect_timeout": 1.5,
                "max_idle_time": 9.0,
                "noreply": False,
                "noevict": True,
                "notouch": True,
            },
        ),
    ],
)
def test_what_a_url_says(url, location, options):
    parsed = parse_url(url)
    assert parsed.location == location
    assert parsed.options == options
    assert not parsed.tls


def test_rediss_means_tls_and_takes_its_options():
    parsed = parse_url("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_ca_certs=/ca")
    assert parsed.tls
    assert parsed.options == {
        "ssl_cert_reqs": "none",
        "ssl_check_hostname": False,
        "ssl_ca_certs": "/ca",
    }


@pytest.mark.parametrize(
    ("valkey", "redis"),
    [
        ("valkey://u:p@h:1/2?timeout=3", "redis://u:p@h:1/2?timeout=3"),
        ("VALKEY://h", "redis://h"),
        ("valkeys://h?ssl_cert_reqs=none", "rediss://h?ssl_cert_reqs=none"),
    ],
)
def test_valkey_is_another_spelling_of_redis(valkey, redis):
    spelled, usual = parse_url(valkey), parse_url(redis)
    assert (spelled.location, spelled.tls, spelled.options) == (
        (usual.location, usual.tls, usual.options)
    )


def test_components_are_decoded_when_asked():
    url = "redis://u%40x:p%2F%23@ho%73t/%31"
    assert parse_url(url, decode_components=True).options == {
        "username": "u@x",
        "password": "p/#",
        "db": 1,
    }
    assert parse_url("redis://u%40x:p%2F@h").options == {"username": "u%40x", "password": "p%2F"}
    assert parse_url("unix:///a%20b", decode_components=True).location == (
        UnixDomainSocketLocation("/a b")
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://h", "scheme 'http'.*redis://, rediss://, valkey://, valkeys://, unix://"),
        ("localhost:6379", "scheme"),
        ("", "scheme"),
        ("redis://h?tiemout=1", "option 'tiemout'.*client_name.*timeout"),
        ("redis://h?ssl_cert_reqs=none", "'ssl_cert_reqs' .of rediss:// and valkeys:// only."),
        ("redis://h?db=one", "option 'db' has a wrong value: it must be a whole number"),
        ("redis://h?timeout=soon", "option 'timeout' has a wrong value: it must be a number"),
        ("redis://h?noreply=perhaps", "must be true or false"),
        ("redis://h?noreply=", "must be true or false"),
        ("redis://h?db=1&db=2", "given twice"),
        ("redis://h/one", "number of a database"),
        ("redis://h:99999", "port must be a number"),
        ("unix://run/r.sock", "absolute path"),
        ("unix://", "absolute path"),
        ("redis://[::1", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(url, message):
    with pytest.raises(ValueError, match=message):
        parse_url(url)


@pytest.mark.parametrize(
    "password", ["pa/secret", "pa#secret", "pa?secret", "12/secret", "[secret"]
)
def test_errors_do_not_quote_the_password(password):
    with pytest.raises(ValueError) as caught:
        parse_url(f"redis://:{password}@host:6379")
    shown = f"{caught.value!r}{caught.value.__cause__!r}"
    assert "secret" not in shown
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("query", ["secret", "secret=1", "db=secret", "noreply=secret", "x=secret"])
def test_errors_quote_no_option_that_may_be_a_part_of_a_password(query):
    with pytest.raises(ValueError, match="URL option") as caught:
        parse_url(f"redis://host:6379?{query}")
    shown = f"{caught.value!r}{caught.value.__cause__!r}"
    assert "secret" not in shown
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_repr_has_no_password():
    assert "secret" not in repr(parse_url("redis://:secret@h"))


def test_other_clients_bring_their_own_options():
    parsed = parse_url("redis://h?skip=yes", options={**REDIS_OPTIONS, "skip": parse_bool})
    assert parsed.options == {"skip": True}


NAMES = st.text(min_size=1).filter(lambda text: text.isprintable())


@given(
    st.none() | NAMES,
    st.none() | NAMES,
    st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z]{2,3})?", fullmatch=True),
    st.integers(1, 65535),
    st.integers(0, 10**6),
)
def test_the_parts_of_a_quoted_url_come_back(username, password, host, port, db):
    user = quote(username or "", safe="")
    secret = "" if password is None else ":" + quote(password, safe="")
    at = "@" if user or secret else ""
    parsed = parse_url(f"redis://{user}{secret}{at}{host}:{port}/{db}", decode_components=True)
    assert parsed.location == TCPLocation(host, port)
    expected = {"username": username, "password": password, "db": db}
    assert parsed.options == {k: v for k, v in expected.items() if v is not None}


@given(st.text(string.printable, max_size=60))
def test_any_other_text_is_a_value_error_at_worst(text):
    urls = [text]
    for scheme in ("redis", "rediss", "valkey", "valkeys", "unix"):
        urls += [f"{scheme}://{text}", f"{scheme}://h?{text}"]
    for url in urls:
        try:
            parse_url(url)
        except ValueError:
            pass


@given(st.text(string.ascii_lowercase + "_", min_size=1))
def test_unknown_options_are_never_ignored(name):
    if name in REDIS_OPTIONS or name in SSL_OPTIONS:
        return
    with pytest.raises(ValueError, match="unknown URL option"):
        parse_url(f"rediss://h?{name}=1")
