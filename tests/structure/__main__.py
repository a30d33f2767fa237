"""List the files that one message and one subscribe enter: ``python -m tests.structure``."""

from __future__ import annotations

import asyncio

from tests.structure.files_entered import entered_files

for work, files in asyncio.run(entered_files()).items():
    print(f"{work}: {len(files)} files")
    for file in sorted(files):
        print(f"    {file}")
