"""Credential providers, where programs import them from (``actors.redis.config`` has them)."""

from actors.redis.config.credentials import (
    AbstractCredentialProvider,
    ExpiringUserPass,
    UserPass,
    UserPassCredentialProvider,
)

__all__ = [
    "AbstractCredentialProvider",
    "ExpiringUserPass",
    "UserPass",
    "UserPassCredentialProvider",
]
