"""Test that few bytes of a cloud's JSON do not become millions of objects."""

from __future__ import annotations

import pytest

from comfykit_jupyter import ServerError
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .comfyapi.double import KEY, Double, Reply
from .runninghub import Reply as Answer
from .runninghub import RunningHub

MANY = 600_000


def test_answer_of_comfy_api_with_too_many_elements_is_rejected(make_kit: MakeKit) -> None:
    with Double() as double:
        double.fail("GET /jobs", Reply(200, text=f'{{"jobs": [{"[]," * MANY}0]}}'))
        with pytest.raises(ServerError, match=r"is too large: more than 500,000 elements$"):
            make_kit(comfyui_url=double.base, api_key=KEY).history()


def test_answer_of_runninghub_with_too_many_elements_is_rejected(cloud: RunningHub, make_kit: MakeKit) -> None:
    cloud.answer("accountStatus", Answer(f'{{"code": 0, "data": [{"[]," * MANY}0]}}'))
    server = make_kit().server(WORKFLOW)
    assert (server.reachable, server.message.endswith("is too large: more than 500,000 elements")) == (False, True)
