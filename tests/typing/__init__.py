"""Programs as users write them, under mypy and pyright in their strict modes."""
