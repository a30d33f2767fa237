"""``python -m actors.worker``: the same as ``mailslot``."""

from actors.worker.cli import main

if __name__ == "__main__":
    main()
