"""The hash slot of a key or shard channel, where programs import it from."""

from actors.redis.topology.slots import key_slot

__all__ = ["key_slot"]
