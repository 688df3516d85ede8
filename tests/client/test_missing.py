"""Test what a server lacks for a workflow: models with their folder and source, files, and node classes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.missing.item import Missing
from comfykit_jupyter.workflow.editor.model_sources import find_model_sources, is_download_address

URL = "https://models.example/resolve/main/dream.safetensors"


def make_graph(**entry: Any) -> dict[str, Any]:
    """An editor's file that loads a checkpoint and a picture that no server has, with a node of an unknown class."""
    source = {"name": "dream.safetensors", "url": URL, "directory": "checkpoints", **entry}
    return {
        "nodes": [
            {
                "id": 1, "type": "CheckpointLoaderSimple", "widgets_values": ["dream.safetensors"],
                "properties": {"models": [source]},
                "outputs": [{"name": "MODEL", "type": "MODEL"}, {"name": "CLIP", "type": "CLIP"},
                            {"name": "VAE", "type": "VAE", "links": [2]}],
            },
            {"id": 2, "type": "LoadImage", "widgets_values": ["no such cat.png", "image"],
             "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}]},
            {"id": 3, "type": "VAEEncode", "inputs": [{"name": "pixels", "type": "IMAGE", "link": 1},
                                                      {"name": "vae", "type": "VAE", "link": 2}],
             "outputs": [{"name": "LATENT", "type": "LATENT", "links": [3]}]},
            {"id": 4, "type": "VAEDecode", "inputs": [{"name": "samples", "type": "LATENT", "link": 3},
                                                      {"name": "vae", "type": "VAE", "link": 4}],
             "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [5]}]},
            {"id": 5, "type": "SaveImage", "inputs": [{"name": "images", "type": "IMAGE", "link": 5}],
             "widgets_values": ["x"]},
        ],
        "links": [[1, 2, 0, 3, 0, "IMAGE"], [2, 1, 2, 3, 1, "VAE"], [3, 3, 0, 4, 0, "LATENT"], [4, 1, 2, 4, 1, "VAE"],
                  [5, 4, 0, 5, 0, "IMAGE"]],
    }  # fmt: skip


async def test_missing_models_and_files_are_listed_with_folder_and_source(kit: ComfyKit) -> None:
    report = await kit.check(make_graph(hash="AB" * 32, hash_type="SHA256"))
    models = [each for each in report.missing if each.kind == "model"]
    assert models == [
        Missing(
            "model", "dream.safetensors", "checkpoint", "Checkpoint", "Load Checkpoint", "checkpoints",
            models[0].nearest, URL, "ab" * 32,
        )
    ]  # fmt: skip
    assert [(each.name, each.parameter) for each in report.missing if each.kind == "file"] == [
        ("no such cat.png", "image")
    ]
    assert f"put it into models/checkpoints there (it is at {URL})" in str(report)
    assert "checkpoint (Load Checkpoint, node 1)" in str(report)


async def test_a_given_model_that_is_missing_is_listed_instead_of_the_workflows_own(kit: ComfyKit) -> None:
    report = await kit.check(make_graph(), {"checkpoint": "other.safetensors"})
    assert [each.name for each in report.missing if each.kind == "model"] == ["other.safetensors"]


async def test_missing_nodes_hide_no_missing_models(kit: ComfyKit) -> None:
    graph = make_graph()
    graph["nodes"].append({"id": 9, "type": "GlowUp", "properties": {"cnr_id": "glow-pack"}})
    report = await kit.check(graph)
    assert [(each.kind, each.name, each.pack) for each in report.missing if each.kind == "node"] == [
        ("node", "GlowUp", "glow-pack")
    ]
    assert {each.kind for each in report.missing} == {"model", "file", "node"}
    assert "GlowUp: install glow-pack, which has it" in str(report)
    assert "checkpoint (Load Checkpoint): the server has no model 'dream.safetensors'" in str(report)


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example/a", "https://user:secret@models.example/a", "file:///etc/passwd", "https://", "https:///a",
        "https://models.example/a b", "https://models.example/\n", "https://möbel.example/a", "https://[bad/a",
        "https://models.example/" + "a" * 3000, "javascript:alert(1)",
    ],
)  # fmt: skip
def test_addresses_that_are_not_plain_https_are_ignored(url: str) -> None:
    assert not is_download_address(url)
    assert find_model_sources(make_graph(url=url)) == {}


@pytest.mark.parametrize("name", ["../dream.safetensors", "a/dream.safetensors", "a\\dream.safetensors", "", None, 5])
def test_names_with_folders_have_no_source(name: Any) -> None:
    assert find_model_sources(make_graph(name=name)) == {}


def test_sources_in_subgraphs_are_found() -> None:
    graph = {"nodes": [], "definitions": {"subgraphs": [make_graph(directory="../etc")]}}
    assert find_model_sources(graph)["dream.safetensors"].folder == ""


odd = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(["nodes", "properties", "models", "definitions", "subgraphs", "name", "url"]),
            each,
            max_size=3,
        )
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["nodes", "models", "definitions"]), odd))
def test_malformed_sources_are_ignored(graph: dict[str, Any]) -> None:
    assert isinstance(find_model_sources(graph), dict)
