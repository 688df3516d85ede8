"""Test which input each reason of a rejected prompt is about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.client.running.refusal import find_reason, to_refused_state
from comfykit_jupyter.workflow.progress.progress import RunState


def test_each_reason_is_found_by_its_node_and_input() -> None:
    body = {
        "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"},
        "node_errors": {
            "3": {"class_type": "KSampler", "errors": [
                {"type": "value_not_in_list", "message": "Value not in list", "details": "scheduler: 'x; y' not in [1]",
                 "extra_info": {"input_name": "scheduler"}},
                {"type": "value_smaller_than_min", "message": "Value 0 smaller than min of 1", "details": "steps",
                 "extra_info": {"input_name": "steps"}},
            ]},
            "75:4": {"class_type": "LoadImage", "errors": [
                {"type": "custom_validation_failed", "message": "Custom validation failed for node",
                 "details": "image - Invalid image file: no.png", "extra_info": {"input_name": "image"}},
            ]},
        },
    }  # fmt: skip
    state = to_refused_state(RunState.create("p", {}, {}, at=0.0), body, 0.0, has_object_info=True)
    message = state.error.message if state.error is not None else ""
    assert find_reason(message, "3", "steps") == "Value 0 smaller than min of 1, steps"
    assert "scheduler: 'x; y' not in" in str(find_reason(message, "3", "scheduler"))
    assert "Invalid image file: no.png" in str(find_reason(message, "75:4", "image"))
    assert find_reason(message, "4", "image") is None
    assert find_reason(message, "3", "step") is None


@given(st.text(max_size=60), st.text(max_size=5), st.text(max_size=5))
def test_any_message_is_read(message: str, node_id: str, field: str) -> None:
    find_reason(message, node_id, field)
