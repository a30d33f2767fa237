"""The commands of ``mailslot``."""
