"""Test that parameters get other names, and that a workflow shows its parameters."""

from __future__ import annotations

import html
import pickle
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter import ParameterError, Workflow, WorkflowError
from comfykit_jupyter.workflow.parameters.titles import Marker, Title, format_title, parse_title
from comfykit_jupyter.workflow.progress.records import read_binding

from .test_binding import make_node

FOX = {
    "3": make_node("KSampler", seed=7, steps=20, cfg=8.0, positive=["6", 0], negative=["7", 0]),
    "6": make_node("CLIPTextEncode", text="a fox"),
    "7": make_node("CLIPTextEncode", text="blurry"),
    "9": make_node("SaveImage", filename_prefix="fox", images=["3", 0]),
}
TITLED = {
    "5": make_node("EmptyLatentImage", "Size, $width!, $height", width=64, height=32),
    "6": make_node("LoadImage", "$output.cat, sitting, $img.~image, $both.image2", image="a.png", image2="b.png"),
    "7": make_node("LoadImage", "$both.image2", image2="c.png"),
}


def test_input_without_a_title_gets_a_name() -> None:
    workflow = Workflow.parse(FOX, "fox").rename(animal="6.text")
    bound = workflow.bind({"animal": "a cat"})
    assert bound.prompt["6"]["inputs"]["text"] == "a cat"
    assert bound.params["animal"] == "a cat"
    assert [field.default for field in workflow.fields({}) if field.name == "animal"] == ["a fox"]
    assert workflow.parameters["animal"].label == "Animal"


def test_other_parameters_keep_their_names_and_their_order() -> None:
    own = list(Workflow.parse(FOX).parameters)
    assert list(Workflow.parse(FOX).rename(animal="6.text").parameters) == [
        "animal" if Workflow.parse(FOX).parameters[name].targets[0].node_id == "6" else name for name in own
    ]


def test_the_workflow_itself_stays_as_it_is() -> None:
    workflow = Workflow.parse(FOX, "fox")
    before = list(workflow.parameters)
    renamed = workflow.rename(animal="6.text")
    assert list(workflow.parameters) == before
    assert workflow.prompt == FOX
    assert renamed.prompt == FOX
    assert renamed.name == "fox"


def test_address_and_old_name_still_mean_the_parameter() -> None:
    workflow = Workflow.parse(TITLED).rename({"w": "width"})
    for name in ("w", "width", "5.width"):
        assert workflow.bind({name: 128}).params["w"] == 128
    with pytest.raises(ParameterError, match=r"w .*required"):
        workflow.bind({})
    with pytest.raises(ParameterError, match="given twice"):
        Workflow.parse(FOX).rename(a="6.text", b="3.seed").bind({"a": "x", "6.text": "y"})


def test_names_can_be_swapped() -> None:
    workflow = Workflow.parse(TITLED).rename(width="height", height="width")
    bound = workflow.bind({"width": 1, "height": 2})
    assert bound.prompt["5"]["inputs"] == {"width": 2, "height": 1}


def test_name_can_be_given_to_an_input_that_is_not_offered() -> None:
    workflow = Workflow.parse(FOX).rename(prefix="9.filename_prefix")
    assert list(workflow.parameters)[-1] == "prefix"
    assert workflow.bind({"prefix": "cat"}).prompt["9"]["inputs"]["filename_prefix"] == "cat"


def test_names_can_be_changed_again() -> None:
    workflow = Workflow.parse(FOX).rename(a="6.text", b="7.text").rename(c="a")
    assert {"c", "b"} <= set(workflow.parameters)
    assert "a" not in workflow.parameters
    assert workflow.bind({"c": "x", "b": "y"}).prompt["6"]["inputs"]["text"] == "x"


def test_parameter_of_several_nodes_is_renamed_as_a_whole() -> None:
    bound = Workflow.parse(TITLED).rename(picture="both").bind({"width": 1, "picture": "x.png"})
    assert list(bound.inputs) == [("5", "width"), ("6", "image2"), ("7", "image2")]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"a": "6.txt"}, "did you mean 'text'"),
        ({"a": "nothing"}, "nothing"),
        ({"a": 6}, "a: give the name or address of a parameter, such as '6.text', not 6"),
        ({"my prompt": "6.text"}, "my prompt: not a name for a parameter: use letters, digits, _ and -"),
        ({"": "6.text"}, "not a name"),
        ({"a.b": "6.text"}, "not a name"),
        ({7: "6.text"}, "7: not a name"),
        ({"output": "6.text"}, "this name is reserved for outputs"),
        ({"seed": "6.text"}, "seed: KSampler has a parameter of this name: rename that one, too"),
        ({"a": "6.text", "b": "CLIPTextEncode.text"}, "2 nodes are called CLIPTextEncode"),
        ({"a": "6.text", "b": "6.text"}, "b: '6.text' has two new names, also 'a'"),
    ],
)
def test_name_that_can_not_be_given_is_rejected(names: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Workflow.parse(FOX).rename(names)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        Workflow.parse(FOX).rename({"a b": "6.text", "c": "6.txt", "seed": "7.text"})
    assert [problem.parameter for problem in caught.value.problems] == ["a b", "6.txt", "seed"]


def test_editor_file_must_be_resolved_first() -> None:
    with pytest.raises(WorkflowError, match=r"kit\.load"):
        Workflow.parse({"nodes": [{"id": 1, "type": "Show"}], "links": []}).rename(a="1.text")


@pytest.mark.parametrize("graph", [FOX, TITLED])
def test_names_stay_in_files_and_in_the_prompts_that_are_sent(graph: dict[str, Any], tmp_path: Path) -> None:
    old = "6.text" if graph is FOX else "width"
    workflow = Workflow.parse(graph).rename(mine=old)
    sent = workflow.bind({"mine": "a cat" if graph is FOX else 128}).prompt
    for again in (Workflow.parse(workflow.save(tmp_path / "a.json").read_bytes()), Workflow.parse(sent)):
        assert set(again.parameters) == set(workflow.parameters)
        assert {each.places for each in again.parameters.values()} == {
            each.places for each in workflow.parameters.values()
        }
        assert again.outputs == workflow.outputs
    assert read_binding(Workflow.parse(sent)).params["mine"] in ("a cat", 128)
    titles = [parse_title(node["_meta"]["title"]).text for node in sent.values() if "title" in node.get("_meta", {})]
    assert set(titles) <= {"", "Size"}


def test_prompt_of_a_workflow_that_was_not_renamed_keeps_its_titles() -> None:
    assert Workflow.parse(FOX).bind({}).prompt == FOX


def test_renamed_workflow_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(Workflow.parse(FOX, "fox").rename(animal="6.text")))
    assert again.bind({"animal": "a cat"}).params["animal"] == "a cat"


NAMES = st.from_regex(r"[\w-]{1,9}", fullmatch=True).filter(lambda name: name != "output")
FIELDS = st.from_regex(r"[a-z][a-z_. 0-9]{0,9}[a-z]", fullmatch=True)
MARKERS = st.builds(Marker, NAMES, FIELDS, st.booleans(), st.booleans())


@given(
    st.from_regex(r"[A-Za-z ()]{0,9}", fullmatch=True).map(str.strip),
    st.lists(MARKERS, max_size=3).map(tuple),
    st.none() | st.from_regex(r"[a-z]([a-z ]{0,5}[a-z])?(, [a-z]{1,5}){0,2}", fullmatch=True),
)
def test_formatted_title_is_parsed_as_it_was(text: str, markers: tuple[Marker, ...], output: str | None) -> None:
    if output and not markers and (text or "," in output):
        return  # no title says this
    title = Title(text, markers, output)
    assert parse_title(format_title(title)) == title


# What a workflow shows of itself


def test_repr_has_the_parameters_on_one_short_line() -> None:
    workflow = Workflow.parse(FOX, "fox").rename(animal="6.text", bad="7.text")
    assert repr(workflow).startswith("<Workflow fox: animal='a fox', bad='blurry', seed=7, steps=20, cfg=8.0")
    assert "\n" not in repr(workflow)
    long = {str(number): make_node("Text", f"$p{number}.text", text="x\n\x1b[0m" * 99) for number in range(99)}
    assert repr(Workflow.parse(long, "long\nname")).isprintable()
    assert len(repr(Workflow.parse(long, "long\nname"))) < 320


def test_cell_shows_a_table_of_the_parameters() -> None:
    bundle = Workflow.parse(FOX, "fox").rename(animal="6.text")._repr_mimebundle_()
    lines = bundle["text/plain"].splitlines()
    assert lines[0].startswith("fox: ")
    assert lines[1].split() == ["parameter", "type", "default", "allowed", "node", "sets"]
    assert lines[2].split()[0] == "animal"
    assert lines[2].endswith("6.text")
    assert ">animal</div></td>" in bundle["text/html"]
    assert ">6.text</div></td>" in bundle["text/html"]


def test_required_parameter_and_parameter_of_several_nodes() -> None:
    text = Workflow.parse(TITLED)._repr_mimebundle_()["text/plain"]
    assert "required" in text
    assert "6.image2, 7.image2" in text
    assert "width=required" in repr(Workflow.parse(TITLED))


def test_editor_file_says_how_to_see_its_parameters() -> None:
    workflow = Workflow.parse({"nodes": [{"id": 1, "type": "Show"}], "links": []}, "fox")
    assert repr(workflow) == "<Workflow fox: in editor format; kit.load(workflow) reads its parameters>"
    assert "kit.load" in workflow._repr_mimebundle_()["text/html"]


EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: list[Any] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += attrs


def test_hostile_names_are_escaped() -> None:
    field = "<img src=x onerror=alert(1)>"
    graph = {EVIL: make_node(EVIL, f"{EVIL}, $a.{field}", **{field: EVIL})}
    workflow = Workflow.parse(graph, EVIL)
    found = workflow._repr_mimebundle_()["text/html"]
    tags = Tags()
    tags.feed(found)
    assert tags.seen <= {"p", "table", "thead", "tbody", "tr", "th", "td", "div"}
    assert set(tags.attributes) <= {("align", "left")}
    assert found.count("<tr>") == 2
    assert html.escape(EVIL[:20]) in found
