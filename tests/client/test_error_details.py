"""What a client is told of an error beyond its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sayiir_es import Flow, RetryPolicy, Worker, WorkflowClient, task
from sayiir_es.client.backends import EmbeddedBackend

if TYPE_CHECKING:
    from pathlib import Path


class CardError(Exception):
    """A user's own error."""


@task
def charge(_value: int) -> None:
    try:
        int("no number")
    except ValueError as error:
        raise CardError("declined") from error


@task(retries=RetryPolicy(max_retries=3, initial_delay_secs=3600))
def fetch(_value: int) -> None:
    raise CardError("not yet")


charging = Flow("charging").then(charge).build()
fetching = Flow("fetching").then(fetch).build()


def test_a_status_has_the_details_of_the_error(tmp_path: Path) -> None:
    with EmbeddedBackend(tmp_path / "log.db") as backend:
        client = WorkflowClient(backend)
        with Worker("w", backend).start([charging, fetching]):
            client.submit(charging, "broken", 1)
            status = client.wait("broken", timeout=30)
            client.submit(fetching, "later", 1)
            while not (later := client.status("later")).error_details:
                assert not later.is_failed()
        assert status.error_type == "CardError"
        details = status.error_details
        assert details is not None
        assert details.error_class == f"{__name__}.CardError"
        assert details.source_line.endswith(" in charge")
        assert [text.partition(":")[0] for text in details.causes] == ["ValueError"]
        assert details.traceback.endswith("CardError: declined\n")
        # The last error of what is to be tried again; the run itself has none.
        assert later.error is None
        assert later.error_details.source_line.endswith(" in fetch")
        listed = {one.instance_id: one for one in client.list()}
        assert listed["broken"].error_type == "CardError"
        assert listed["broken"].error_details is None
