"""JSON as typed on a command line: the text itself, `@FILE`, or `@-` for stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from sayiir_es.core.model.errors import DecodeError, UsageError
from sayiir_es.core.model.limits import DEFAULT_LIMITS
from sayiir_es.wire.payload import check_payload


def read_json(text: str, option: str) -> bytes:
    """The JSON that an option names, checked, and kept as it was typed.

    Raises:
        UsageError: if it is no JSON, too large, or the file cannot be read.
    """
    try:
        if text == "@-":
            data = sys.stdin.buffer.read()
        elif text.startswith("@"):
            data = Path(text[1:]).read_bytes()
        else:
            data = text.encode("utf-8", "surrogateescape")
        data = data.strip(b" \t\r\n")
        check_payload(data, once=True)
    except OSError as error:
        raise UsageError(f"expected a file for {option}, but {error}") from error
    except DecodeError as error:
        raise UsageError(f"for {option}: {error}") from error
    if len(data) > DEFAULT_LIMITS.payload_bytes:
        raise UsageError(
            f"expected at most {DEFAULT_LIMITS.payload_bytes} bytes for {option}, but "
            f"{len(data)}"
        )
    return data
