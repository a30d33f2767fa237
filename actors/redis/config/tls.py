"""The TLS context of a client, made of its ``ssl_*`` options.

Certificates are replaced while a program runs: they expire. So files are read again by the first
connection that is made after they have changed. Connections that are open stay as they are.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from supervisor.log import get_logger

log = get_logger("mailslot.redis")

CertReqs: TypeAlias = Literal["none", "optional", "required"] | ssl.VerifyMode

_VERIFY_MODES: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}

# What a file was when it was read: it has changed when this differs.
_State: TypeAlias = tuple[str, int, int, int]


@dataclass(frozen=True)
class _Options:
    keyfile: str | None
    certfile: str | None
    ca_certs: str | None
    mode: ssl.VerifyMode
    check_hostname: bool

    def files(self) -> list[_State]:
        """Return the state of all files, those in a folder of authorities among them."""
        return list(self._states())

    def _states(self) -> Iterator[_State]:
        for path in (self.keyfile, self.certfile, self.ca_certs):
            if not path:
                continue
            inside = [entry.path for entry in os.scandir(path)] if os.path.isdir(path) else []
            for each in (path, *sorted(inside)):
                stat = os.stat(each)
                yield each, stat.st_mtime_ns, stat.st_size, stat.st_ino


class FileContext(ssl.SSLContext):
    """A TLS context made of files; see :func:`current_context`."""

    _options: _Options
    _files: list[_State]
    _latest: FileContext | None = None

    def latest(self) -> FileContext:
        """Return this context, or one of the files as they are where they have changed."""
        latest = self._latest or self
        try:
            if self._options.files() == latest._files:
                return latest
            self._latest = latest = _read(self._options)
        except (OSError, ValueError) as error:
            # They are being replaced, one after the other: the next connection looks again.
            log.warning("tls_files_not_read", error=str(error), cure="the files of before are used")
        else:
            log.info("tls_files_read_again", files=[path for path, *_ in latest._files])
        return latest


def current_context(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return the context for a new connection: files that have changed are read again."""
    return context.latest() if isinstance(context, FileContext) else context


def make_ssl_context(
    *,
    keyfile: str | None = None,
    certfile: str | None = None,
    cert_reqs: CertReqs | None = None,
    ca_certs: str | None = None,
    check_hostname: bool | None = None,
) -> ssl.SSLContext:
    """Return a TLS context.

    Args:
        keyfile: the private key of ``certfile``, unless that file holds it, too.
        certfile: the certificate to show to the server.
        cert_reqs: how to verify the server's certificate; None: ``"optional"``: a certificate must
            be valid, and every server shows one.
        ca_certs: file or folder of the authorities to trust besides those of the system.
        check_hostname: whether the certificate must name the host; None: no.

    Raises:
        ValueError: the options contradict each other, or a file is missing or no certificate.
    """
    if keyfile and not certfile:
        raise ValueError("ssl_keyfile is given without ssl_certfile: the certificate is missing")
    mode = _verify_mode(cert_reqs)
    if check_hostname and mode is ssl.CERT_NONE:
        raise ValueError(
            "ssl_check_hostname needs the certificate to be verified: "
            'use ssl_cert_reqs "required", or leave ssl_check_hostname out'
        )
    options = _Options(keyfile, certfile, ca_certs, mode, bool(check_hostname))
    try:
        return _read(options)
    except OSError as error:
        raise ValueError(
            f"the TLS files cannot be used ({error}): check ssl_certfile={certfile!r}, "
            f"ssl_keyfile={keyfile!r} and ssl_ca_certs={ca_certs!r}"
        ) from error


def _read(options: _Options) -> FileContext:
    """Read the files of ``options``; OSError or ValueError if that cannot be done."""
    files = options.files()  # before they are read: a change meanwhile is seen the next time
    context = FileContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):  # as create_default_context() does
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    # In this order: a context that checks host names does not accept CERT_NONE.
    context.check_hostname = options.check_hostname
    context.verify_mode = options.mode
    context.load_default_certs()
    if options.certfile:
        context.load_cert_chain(options.certfile, options.keyfile)
    if options.ca_certs and os.path.isdir(options.ca_certs):
        context.load_verify_locations(capath=options.ca_certs)
    elif options.ca_certs:
        context.load_verify_locations(cafile=options.ca_certs)
    context._options, context._files = options, files
    return context


def verifies_nothing(cert_reqs: CertReqs | None) -> bool:
    """Whether a server's certificate is not looked at with this ``ssl_cert_reqs``."""
    return _verify_mode(cert_reqs) is ssl.CERT_NONE


def _verify_mode(cert_reqs: str | ssl.VerifyMode | None) -> ssl.VerifyMode:
    if cert_reqs is None:
        return ssl.CERT_OPTIONAL
    if isinstance(cert_reqs, str):
        mode = _VERIFY_MODES.get(cert_reqs.lower())
        if mode is None:
            raise ValueError(
                f"ssl_cert_reqs is {cert_reqs!r}; it must be one of {', '.join(_VERIFY_MODES)}"
            )
        return mode
    return ssl.VerifyMode(cert_reqs)
