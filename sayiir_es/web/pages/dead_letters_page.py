"""`/dead-letters`: commands that nobody could read, to be tried again or dropped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request, Response

from sayiir_es.core.model.errors import DecodeError, WorkflowError
from sayiir_es.operations.dead_letter_control import (
    answer_detail,
    drop_dead_letter,
    is_refusal,
    retry_dead_letter,
)
from sayiir_es.operations.dead_letters import all_dead_letters, get_dead_letter
from sayiir_es.operations.text import readable
from sayiir_es.web.pages.flash_messages import redirect
from sayiir_es.web.pages.templates import page
from sayiir_es.web.site import Site, SiteOfRequest
from sayiir_es.wire.payload import decode_payload

if TYPE_CHECKING:
    from sayiir_es.operations.dead_letters import DeadLetter

router = APIRouter(include_in_schema=False)

LETTERS_MAX = 200
"""How many the page shows; the rest it counts."""

BYTES_MAX = 16_384
"""How much of a command is shown."""

HEX_ROW = 16


@router.get("/dead-letters")
async def show_dead_letters(
    request: Request, site: SiteOfRequest, every: str = ""
) -> Response:
    """Those on the list, the last written first; with `every` those put away, too."""
    session = site.session
    await session.open()
    letters = await all_dead_letters(session.log)
    shown = [one for one in letters if every or one.mark is None]
    return page(
        request,
        "dead_letters/list.html",
        letters=[_view(one, site) for one in shown[:LETTERS_MAX]],
        total=len(shown),
        put_away=sum(one.mark is not None for one in letters),
        every=bool(every),
    )


@router.get("/dead-letters/{place}")
async def show_dead_letter(
    request: Request, site: SiteOfRequest, place: str
) -> Response:
    """One with its bytes: as JSON or text where it is such, else in hex."""
    await site.session.open()
    letter, value = await get_dead_letter(site.session.log, place)
    form, text = _text_of(value or b"", site)
    return page(
        request,
        "dead_letters/letter.html",
        letter=_view(letter, site),
        headers=[
            (name, str(site.masking.value(readable(data), (name,))))
            for name, data in letter.headers
        ],
        text=text,
        form=form,
        has_value=value is not None,
        is_cut=value is not None and len(value) > BYTES_MAX,
    )


@router.post("/dead-letters/{place}/retry")
async def retry(site: SiteOfRequest, place: str) -> Response:
    """Write its command again, and tell what the owner answered."""
    try:
        command, answer = await retry_dead_letter(site.session, place)
    except WorkflowError as error:
        return redirect("/dead-letters", site.masking.text(str(error)), "error")
    detail = site.masking.text(answer_detail(answer))
    said = f"{answer.kind}{': ' if detail else ''}{detail}"
    text = f"{place} was written again to {command}; the owner answered {said}"
    return redirect("/dead-letters", text, "warning" if is_refusal(answer) else "done")


@router.post("/dead-letters/{place}/drop")
async def drop(
    site: SiteOfRequest,
    place: str,
    reason: Annotated[str, Form(max_length=2_000)] = "",
) -> Response:
    """Take it off the list."""
    try:
        await drop_dead_letter(site.session, place, reason)
    except WorkflowError as error:
        return redirect("/dead-letters", site.masking.text(str(error)), "error")
    return redirect("/dead-letters", f"{place} is off the list; it stays on the log")


def _view(letter: DeadLetter, site: Site) -> dict[str, object]:
    code, separator, reason = letter.reason.partition(": ")
    is_code = bool(separator) and code.replace("_", "").isalnum()
    mark = letter.mark
    return {
        "place": letter.place,
        "code": code if is_code else "",
        "reason": site.masking.text(reason if is_code else letter.reason),
        "command": letter.command,
        "key": None if letter.key is None else readable(letter.key),
        "size": letter.size,
        "is_whole": letter.kept is None,
        "kept": letter.kept,
        "written_at": letter.written_at_ms,
        "state": "" if mark is None else mark.word,
        "marked_at": 0 if mark is None else mark.at_ms,
        "detail": "" if mark is None else site.masking.text(mark.detail),
    }


def _text_of(data: bytes, site: Site) -> tuple[str, str]:
    """What the bytes are (`JSON`, `text` or `hex`), and their beginning as it is shown.

    All of them are masked, and cut then: half a value is not recognized.
    """
    try:
        decode_payload(data)
    except DecodeError:
        pass
    else:
        value = site.masking.payload(data)
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        return "JSON", text[:BYTES_MAX]
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if text and all(char.isprintable() or char in "\r\n\t" for char in text):
        return "text", str(site.masking.value(text))[:BYTES_MAX]
    # Each byte is a character: a command in Avro holds its payloads as text.
    masked = str(site.masking.value(data.decode("latin-1")))
    return "hex", _hex(masked.encode("latin-1", "replace")[:BYTES_MAX])


def _hex(data: bytes) -> str:
    rows: list[str] = []
    for start in range(0, len(data), HEX_ROW):
        row = data[start : start + HEX_ROW]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)  # noqa: PLR2004
        rows.append(f"{start:06x}  {row.hex(' '):<{3 * HEX_ROW}} {letters}")
    return "\n".join(rows)
