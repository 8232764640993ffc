"""Every limit of the engine, by name, with its unit and what happens beyond it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that `decide` holds. Sizes are in bytes of UTF-8 or of the payload.

    Attributes:
        payload_bytes: Largest payload; commands beyond it are refused (`too_large`), a
            task's output beyond it fails the attempt for good.
        input_bytes: Largest input of a task, which may join thousands of results;
            beyond it the attempt fails for good (`too_large`).
        id_bytes: Longest instance id, command id, signal id or name; beyond it
            `bad_request`.
        attributes_bytes: Names and values of all attributes of one start; beyond it
            `too_large`. Every look at a run reads them.
        error_bytes: Longest error text; head and tail are kept. Also the longest reason
            of a request; beyond it `too_large`.
        traceback_bytes: Longest traceback of a failed attempt; head and tail are kept.
        causes: Errors behind that of a failed attempt; those farther away are left out.
        causes_bytes: Their texts in all; each is shortened to its share.
        buffered_signals: Signals that wait in one instance; beyond it
            `too_many_signals`.
        remembered_ids: Command ids, and as many signal ids, that an instance remembers;
            an older one that comes again counts as new.
        interrupted_paths: Paths that `WorkflowCancelled` lists; the rest is left out.
        interrupted_bytes: Their bytes in all; what is beyond is left out, too.
        decision_events: Events of one decision; at this size it is cut.
        decision_bytes: Bytes of a decision's records; at this size it is cut.
        copied_bytes: What a fork records again of its source, as it stands in a batch;
            beyond it `too_large`. As much as a decision holds, for it is never cut.
        deferred_commands: Commands of one partition that wait until the history of
            their source is read; beyond it `busy`.
        max_restarts: Times an attempt begins again after a lost owner; beyond it the
            attempt has failed (`worker_lost`).
    """

    payload_bytes: int = 768 * 1024
    input_bytes: int = 32 * 1024 * 1024
    id_bytes: int = 256
    attributes_bytes: int = 16 * 1024
    error_bytes: int = 8 * 1024
    traceback_bytes: int = 12 * 1024
    causes: int = 8
    causes_bytes: int = 4 * 1024
    buffered_signals: int = 1000
    remembered_ids: int = 256
    interrupted_paths: int = 100
    interrupted_bytes: int = 64 * 1024
    decision_events: int = 500
    decision_bytes: int = 512 * 1024
    copied_bytes: int = 512 * 1024
    deferred_commands: int = 32
    max_restarts: int = 10


DEFAULT_LIMITS = Limits()


def clip(text: str, limit_bytes: int) -> str:
    """Shorten a text to `limit_bytes` of UTF-8; its head and its tail are kept."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit_bytes:
        return data.decode("utf-8")
    mark = f" … {len(data) - limit_bytes} bytes left out … ".encode()
    keep = max(0, limit_bytes - len(mark))
    head, tail = data[: keep - keep // 2], data[len(data) - keep // 2 :]
    return (head + mark + tail).decode("utf-8", "ignore")
