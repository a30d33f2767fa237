"""The TLS context of a client, made of its ``ssl_*`` options."""

from __future__ import annotations

import os
import ssl
from typing import Final, Literal, TypeAlias

CertReqs: TypeAlias = Literal["none", "optional", "required"] | ssl.VerifyMode

_VERIFY_MODES: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


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
    context = ssl.create_default_context()
    # In this order: a context that checks host names does not accept CERT_NONE.
    context.check_hostname = bool(check_hostname)
    context.verify_mode = mode
    try:
        if certfile:
            context.load_cert_chain(certfile, keyfile)
        if ca_certs and os.path.isdir(ca_certs):
            context.load_verify_locations(capath=ca_certs)
        elif ca_certs:
            context.load_verify_locations(cafile=ca_certs)
    except OSError as error:
        raise ValueError(
            f"the TLS files cannot be used ({error}): check ssl_certfile={certfile!r}, "
            f"ssl_keyfile={keyfile!r} and ssl_ca_certs={ca_certs!r}"
        ) from error
    return context


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
