"""Responses in formats known from other endpoints; an echoed key is hidden."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.errors import ServerError
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .runninghub import LOST, Reply, RunningHub


def remove_envelope(body: Any) -> Any:
    """Remove the envelope, as in the newer routes."""
    return {**body["data"], "status": body["data"]["taskStatus"], "errorCode": "", "errorMessage": ""}


def add_status(body: Any) -> Any:
    """Add a status to the envelope."""
    return {**body, "status": 200}


@pytest.mark.parametrize("change", [remove_envelope, add_status])
def test_a_task_is_not_lost_to_a_malformed_response(change: Any, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", change)
    result = kit.run(WORKFLOW)
    assert result.status == "completed", result.msg
    assert result.prompt_id == cloud.task.id


def test_a_byte_order_mark_is_ignored(kit: ComfyKit, cloud: RunningHub) -> None:
    account = {"code": 0, "msg": "success", "data": {"remainCoins": "7", "currentTaskCounts": "0"}}
    cloud.answer("accountStatus", Reply(f"\ufeff{json.dumps(account)}"))
    assert kit.server(WORKFLOW).message == "RunningHub, 7 coins"


def test_a_key_echoed_in_another_encoding_is_hidden(kit: ComfyKit, cloud: RunningHub) -> None:
    spelt = "".join(f"\\u{ord(each):04x}" for each in cloud.key)
    cloud.answer("create", Reply(f'{{"code": 433, "msg": "not for {spelt}", "data": {{"{spelt}": "{spelt}"}}}}'))
    result = kit.run(WORKFLOW)
    assert "not for [key]" in str(result.msg)
    assert cloud.key not in repr(vars(result))


@pytest.mark.parametrize("ask", [ComfyKit.run, ComfyKit.load])
def test_an_error_keeps_no_frames_or_requests(
    ask: Callable[[ComfyKit, str], Any], make_kit: MakeKit, cloud: RunningHub
) -> None:
    cloud.answer("create" if ask is ComfyKit.run else "getJsonApiFormat", LOST, times=None)
    kit = make_kit(runninghub_retry_count=0)
    with pytest.raises(ServerError) as caught:
        ask(kit, WORKFLOW)
    whole = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert cloud.key not in "".join(whole.format())
    assert caught.value.__context__ is None
