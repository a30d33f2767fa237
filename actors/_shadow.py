"""Tell at import whether ``supervisor`` is this project's package.

PyPI's ``supervisor`` (supervisord) installs a top-level package of the same name. Whichever was
installed last wins, and a half-imported mix fails later and far from the cause.
"""

from __future__ import annotations


def check() -> None:
    """Raise ImportError, with what to do, when a foreign ``supervisor`` shadows ours."""
    try:
        import supervisor  # noqa: PLC0415 - the point is to look at what import finds
    except ImportError as error:
        raise ImportError(
            f"mailslot's package 'supervisor' cannot be imported ({error}): reinstall it with"
            " `pip install --force-reinstall mailslot`"
        ) from error
    if not getattr(supervisor, "__mailslot__", False):
        where = getattr(supervisor, "__file__", None) or "an unknown place"
        raise ImportError(
            f"the package 'supervisor' at {where} is not mailslot's: supervisord (PyPI's"
            " supervisor) uses the same import name. Install mailslot into a virtual environment"
            " of its own, without supervisor, and run supervisord from another one"
        )


check()
