"""A fork at any moment: no child keeps a lock or a connection of its parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.library.programs import run_program

if TYPE_CHECKING:
    from pathlib import Path

# Each line of the modules below that the work comes to, on any of its threads, waits
# until the main thread has forked, and in `fifo` each instruction; where forks are held
# off it goes on without that. What is done often is waited for twice.
FORK_AT_EACH_LINE = """
import asyncio, os, queue, socket, threading
from collections import Counter
from pathlib import Path

begun = threading.Event()
os.register_at_fork(before=begun.set)  # registered first, so called last
from sayiir_es.engine.store.state_dir import StateSlot
from sayiir_es.log.embedded.commit_turn import CommitTurn
from sayiir_es.log.embedded.fifo import PresenceFifo, WakeFifo
from sayiir_es.log.embedded.hub import Hub
from sayiir_es.log.embedded.lock import OwnerLock
from sayiir_es.log.descriptors import close_descriptor
from sayiir_es.log.embedded.peer import CALL

LOG = Path("log.db").resolve()
TRACED = ("sayiir_es/log/embedded/", "sayiir_es/log/descriptors", "store/state_dir")
HELD_OFF_S = 0.02
places = queue.SimpleQueue()
visits, is_idle = Counter(), threading.Event()
is_idle.set()

def trace(frame, event, _):
    code = frame.f_code
    if not any(part in code.co_filename for part in TRACED):
        return None
    frame.f_trace_opcodes = code.co_filename.endswith("/fifo.py")
    place = (code.co_name, frame.f_lineno, frame.f_lasti)
    visits[place] += 1
    if event in ("line", "opcode") and visits[place] <= 2:
        if is_idle.is_set():
            begun.clear()
            is_idle.clear()
            places.put(place)
        if begun.wait(HELD_OFF_S):
            is_idle.wait()
    return trace

def find_kept():
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue  # it was this listing's own
        if target.startswith(str(LOG.parent)) and not os.path.isdir(target):
            yield target
        elif target.startswith("socket:"):
            one = socket.socket(fileno=int(link.name))
            try:
                if one.getsockname() or one.getpeername():
                    yield target
            except OSError:
                yield f"{target}, about to be connected"
            finally:
                one.detach()

def fork(place):
    pid = os.fork()
    if pid == 0:
        kept = list(find_kept())
        if kept:
            print(place, kept, flush=True)
        os._exit(len(kept) > 0)
    return os.waitpid(pid, 0)[1]

def work_to_end():
    try:
        work()
    finally:
        places.put(None)

def main():
    threading.settrace(trace)
    threading.Thread(target=work_to_end).start()
    codes = []
    while (place := places.get()) is not None:
        codes.append(fork(place))
        is_idle.set()
    threading.settrace(None)
    print(len(codes), "forks")
    assert len(codes) > AT_LEAST and not any(codes), codes

def join(name):
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()
"""

WORK = {
    "owner lock": """
AT_LEAST = 100

async def own_in_turn():
    first, second = OwnerLock(LOG), OwnerLock(LOG)
    assert first.try_acquire()
    other = Hub(LOG)  # connects, as another process does
    other.begin_waiting(CALL)
    await first.wanted(briefly=True)
    owning = asyncio.create_task(second.acquire())
    await first.wanted()
    first.release()
    await owning
    await second.wanted(briefly=True)
    second.release()
    other.end_waiting(CALL)

def work():
    asyncio.run(own_in_turn())
    join("sayiir-socket")
""",
    "turn to commit": """
AT_LEAST = 30

def work():
    first, second = CommitTurn(LOG), CommitTurn(LOG)
    assert first.take(1.0)
    assert not second.take(0.0)
    first.give_back()
    assert second.take(60.0)
    second.give_back()
    first.close()
    second.close()
    join("sayiir-turns")
""",
    "slot of stores": """
AT_LEAST = 15

def work():
    with StateSlot.take(LOG.parent, "app"), StateSlot.take(LOG.parent, "app"):
        pass
""",
    "wakes": """
AT_LEAST = 40

def work():
    waking, presence = WakeFifo(LOG), PresenceFifo(LOG)
    fds = [waking.listen(), presence.enter()]
    waking.wake()
    assert presence.is_anybody_present()
    for fd in fds:
        close_descriptor(fd)
""",
}


@pytest.mark.parametrize("what", WORK)
def test_a_child_keeps_nothing_whenever_the_fork_is(tmp_path: Path, what: str) -> None:
    run_program(f"{FORK_AT_EACH_LINE}\n{WORK[what]}\nmain()", tmp_path)
