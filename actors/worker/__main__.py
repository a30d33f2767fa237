"""``python -m actors.worker``: the same as ``mailslot``."""

from actors.worker.cli.main import main

if __name__ == "__main__":
    main()
