"""An outcome that anyone may write is refused: its token can be guessed."""

from __future__ import annotations

from typing import get_args

import pytest

from sayiir_es import Flow
from sayiir_es.core.model.commands import RecordOutcome
from sayiir_es.core.model.events import CommandRejected
from sayiir_es.core.model.inputs import OutcomeResult
from tests.core.instance_runner import InstanceRunner


@pytest.mark.parametrize("result", get_args(OutcomeResult))
def test_an_outcome_with_the_right_token_is_refused_and_the_task_goes_on(
    result: OutcomeResult,
) -> None:
    runner = InstanceRunner(Flow("w").then(abs, name="pay").build().graph)
    runner.start()
    (event,) = runner.command(
        RecordOutcome(
            instance_id="i",
            command_id="",
            run=1,
            path="pay",
            attempt=1,
            result=result,
            output=b'"paid"' if result == "completed" else None,
        )
    )
    assert isinstance(event.body, CommandRejected)
    assert event.body.code == "bad_request"
    runner.run()
    assert runner.output == b"1"
