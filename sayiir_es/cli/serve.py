"""`sayiir-es serve`: pages and REST API in front of a backend."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sayiir_es.cli.connection import DEFAULT_BACKEND, BackendOption, open_backend
from sayiir_es.cli.output import print_message
from sayiir_es.cli.serving import stop_signal
from sayiir_es.cli.web_extra import load_web

if TYPE_CHECKING:
    import socket

    from sayiir_es.client.backends import Backend
    from sayiir_es.web.settings import WebSettings

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080

HostOption = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="HOST",
        help="The name or address to listen on; beyond this machine only with a token, "
        "or with a proxy in front.",
    ),
]
PortOption = Annotated[
    int,
    typer.Option(
        "--port", metavar="PORT", min=0, max=65535, help="0 takes one that is free."
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Tokens that may look and act, one a line; by default those of "
        "SAYIIR_API_TOKEN_FILE.",
    ),
]
ReadTokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--read-token-file",
        metavar="FILE",
        help="Tokens that may look and not act; by default those of "
        "SAYIIR_API_READ_TOKEN_FILE.",
    ),
]


def serve(
    *,
    host: HostOption = DEFAULT_HOST,
    port: PortOption = DEFAULT_PORT,
    token_file: TokenFileOption = None,
    read_token_file: ReadTokenFileOption = None,
    url: BackendOption = DEFAULT_BACKEND,
) -> None:
    """Serve pages and REST API of a backend, until SIGTERM or SIGINT."""
    backend = open_backend(url, serves=True)
    load_web()
    from sayiir_es.web.security.access import check_binding  # noqa: PLC0415 (an extra)
    from sayiir_es.web.server import listen  # noqa: PLC0415 (an extra)
    from sayiir_es.web.settings import read_web_settings  # noqa: PLC0415 (an extra)

    try:
        settings = read_web_settings(
            token_file=token_file, read_token_file=read_token_file
        )
        with listen(host, port) as listener:
            check_binding(settings, listener.getsockname()[0])
            asyncio.run(_serve(backend, settings, listener))
    finally:
        backend.close()


async def _serve(
    backend: Backend, settings: WebSettings, listener: socket.socket
) -> None:
    from sayiir_es.web import server  # noqa: PLC0415 (an extra)
    from sayiir_es.web.app import create_app  # noqa: PLC0415 (an extra)

    stop = stop_signal()
    app = create_app(backend, settings, ending=stop)
    address = server.address_of(listener)
    print_message(f"pages and API of {backend.url} on {address}", "bold green")
    await server.serve(app, listener, stop)
