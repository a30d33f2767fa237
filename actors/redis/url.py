"""Reads URLs of servers, where programs import it from; see :mod:`actors.redis.config.url`."""

from actors.redis.config.url import parse_url

__all__ = ["parse_url"]
