"""The packages that `serve`, `dev` and `worker run --http` need: the extra `web`."""

from __future__ import annotations

from importlib import import_module

from sayiir_es.core.model.errors import UsageError

_PACKAGES = ("fastapi", "jinja2", "markdown_it", "prometheus_client", "uvicorn")


def load_web() -> None:
    """Import what the extra `web` brings.

    Raises:
        UsageError: if something of it is not installed.
    """
    try:
        for name in (*_PACKAGES, "python_multipart"):
            import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"expected what pages and API are served by, but {error.name} is not "
            "installed: pip install 'sayiir-es[web]'"
        ) from error
