"""Test presets: values of a workflow under a name, in files of the kernel's folder."""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, Masked, ParameterError, Workflow
from comfykit_jupyter.client.presets.folder import PresetFolder
from comfykit_jupyter.workflow.presets.preset import MAX_BYTES, format_preset, parse_preset

PORTRAIT: dict[str, Any] = {
    "3": {
        "class_type": "KSampler",
        "inputs": {"seed": 7, "steps": 20, "cfg": 8.0, "positive": ["6", 0]},
        "_meta": {"title": "$seed, $steps, $cfg"},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox"}, "_meta": {"title": "$prompt.text"}},
    "9": {"class_type": "LoadImage", "inputs": {"image": "own.png"}, "_meta": {"title": "$photo.~image"}},
}
"""A workflow with a seed, numbers, a text and an image."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is empty."""
    root = tmp_path / "notebook"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def workflow() -> Workflow:
    return Workflow.parse(PORTRAIT, "portrait")


def write(name: str, text: str) -> Path:
    path = Path("presets", f"{name}.toml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def list_folder() -> list[str]:
    return sorted(each.name for each in Path("presets").iterdir())


def test_values_come_back_and_given_ones_replace_them(workflow: Workflow) -> None:
    path = workflow.save_preset("soft light", cfg=4.5, prompt="soft\nlight", seed=2**64 - 1)
    text = path.read_text()
    assert path == Path.cwd() / "presets/soft light.toml"
    assert text.startswith("format = 1\n")
    assert 'seed = "18446744073709551615"' in text
    assert "steps" not in text
    used = workflow.use_preset("soft light")
    assert used.bind({}).params == {
        "seed": 2**64 - 1, "steps": 20, "cfg": 4.5, "prompt": "soft\nlight", "photo": "own.png",
    }  # fmt: skip
    assert used.bind({"cfg": 5}).params["cfg"] == 5
    assert used.bind({"KSampler.cfg": 5}).prompt["3"]["inputs"]["cfg"] == 5, "an address is the same input"
    assert workflow.bind({}).params["cfg"] == 8.0, "the workflow itself stays as it is"
    assert workflow.presets() == ("soft light",)
    assert pickle.loads(pickle.dumps(used)).bind({}).params["cfg"] == 4.5


def test_preset_of_a_preset_has_the_values_of_both(workflow: Workflow) -> None:
    workflow.save_preset("one", cfg=4.5, steps=9)
    workflow.use_preset("one").save_preset("two", cfg=3)
    params = workflow.use_preset("two").bind({}).params
    assert (params["cfg"], params["steps"]) == (3, 9)


def test_random_seed_is_kept_as_random(workflow: Workflow) -> None:
    workflow.save_preset("dice", seed="random")
    assert 'seed = "random"' in Path("presets/dice.toml").read_text()
    assert workflow.use_preset("dice").bind({}, draw=lambda _low, _high: 99).seeds == {"seed": 99}


def test_what_no_longer_fits_is_named_and_the_rest_is_used(workflow: Workflow) -> None:
    workflow.save_preset("portrait", cfg=4.5, prompt="soft", steps=9)
    newer = {
        "3": {**PORTRAIT["3"], "inputs": {**PORTRAIT["3"]["inputs"], "cfg": "high"}},
        "6": {**PORTRAIT["6"], "_meta": {"title": "$positive.text"}},
        "9": PORTRAIT["9"],
    }
    with pytest.warns(UserWarning, match="portrait") as caught:
        used = Workflow.parse(newer, "portrait").use_preset("portrait")
    binding = used.bind({})
    assert binding.params["steps"] == 9
    assert binding.params["positive"] == "a fox"
    assert [str(each.message) for each in caught] == list(binding.warnings)
    (problem,) = (each for each in binding.warnings if "prompt" in each)
    assert problem.startswith("preset 'portrait': this value is not used: prompt: portrait has no such parameter")
    assert used.bind({"positive": "x"}).params["positive"] == "x"


def test_run_warns_of_what_the_server_does_not_accept(kit: ComfyKit) -> None:
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 255},
              "_meta": {"title": "$width, $height"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }  # fmt: skip
    workflow = Workflow.parse(graph, "canvas")
    workflow.save_preset("wide", width=10**6, height=32)
    used = workflow.use_preset("wide")
    result = kit.run(used)
    assert (result.params["width"], result.params["height"]) == (64, 32)
    assert result.warnings == [
        "preset 'wide': this value is not used: width (Empty Image): 1000000 is above the maximum 16384"
    ]
    assert kit.dry_run(used).warnings == tuple(result.warnings)
    assert kit.options(runs="runs").sweep(used, over={"height": [16, 32]}).wait().df.index.tolist() == [16, 32]
    assert kit.run(used, height=16).params["height"] == 16


def test_check_names_what_no_longer_fits(kit: ComfyKit, workflow: Workflow) -> None:
    import asyncio

    workflow.save_preset("portrait", cfg=4.5)
    other = Workflow.parse({"9": PORTRAIT["9"]}, "portrait").with_preset(PresetFolder().read("portrait"))
    assert any("cfg" in each for each in asyncio.run(kit.check(other)).warnings)


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a/b", "..", "../a", "a.toml", "CON", "com1", "lpt³", "nul",
     "a\0", "x" * 65, "a\n", "é\u202e", 7]
)  # fmt: skip
def test_name_that_is_not_one_is_refused(workflow: Workflow, name: Any) -> None:
    for call in (lambda: workflow.save_preset(name, cfg=5), lambda: workflow.use_preset(name)):
        with pytest.raises(ComfyKitError, match=r"preset|device") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not Path("presets").exists()


@pytest.mark.parametrize("name", ["Porträt", "soft light_2-b", "x" * 64, "肖像", "console"])
def test_name_of_letters_and_digits_is_accepted(workflow: Workflow, name: str) -> None:
    workflow.save_preset(name, cfg=5)
    assert workflow.presets() == (name,)


def test_names_that_differ_only_in_case_are_refused(workflow: Workflow) -> None:
    workflow.save_preset("portrait", cfg=5)
    with pytest.raises(ComfyKitError, match="there is a preset 'portrait': use this spelling"):
        workflow.save_preset("Portrait", cfg=6)
    with pytest.raises(ComfyKitError, match="did you mean 'portrait'"):
        workflow.use_preset("Portrait")
    PresetFolder().rename("portrait", "Portrait")
    assert workflow.presets() == ("Portrait",)


def test_preset_of_another_workflow_is_not_replaced(workflow: Workflow) -> None:
    workflow.save_preset("soft", cfg=5)
    other = Workflow.parse({"6": PORTRAIT["6"]}, "landscape")
    with pytest.raises(ComfyKitError, match="saved for the workflow 'portrait'"):
        other.save_preset("soft", prompt="x")
    assert other.presets() == ()
    assert Workflow.parse(PORTRAIT, "renamed").presets() == ("soft",), "the same nodes under another name"


def test_rename_and_delete(workflow: Workflow) -> None:
    workflow.save_preset("one", cfg=5)
    workflow.save_preset("two", cfg=6)
    with pytest.raises(ComfyKitError, match="there is a preset 'two' already"):
        PresetFolder().rename("one", "two")
    PresetFolder().rename("one", "three")
    assert workflow.presets() == ("three", "two")
    workflow.delete_preset("three")
    with pytest.raises(ComfyKitError, match="there is no preset 'three'"):
        workflow.delete_preset("three")
    assert list_folder() == ["two.toml"]


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_in_the_folder_stay_where_they_are(workflow: Workflow, folder: Path) -> None:
    (folder / "photos").mkdir()
    (folder / "photos/me.png").write_bytes(b"png")
    workflow.save_preset("here", photo=folder / "photos/me.png")
    assert 'photo = "photos/me.png"' in Path("presets/here.toml").read_text()
    assert workflow.use_preset("here").bind({}).uploads[0].value == "photos/me.png"
    workflow.save_preset("server", photo="on the server.png")
    assert workflow.use_preset("server").bind({}).uploads[0].value == "on the server.png"


def test_other_files_are_copied_and_go_with_the_preset(workflow: Workflow, folder: Path) -> None:
    (folder.parent / "far.PNG").write_bytes(b"far away")
    workflow.save_preset("one", photo=folder.parent / "far.PNG")
    (copy,) = Path("presets").glob("one.photo-*.png")
    assert copy.read_bytes() == b"far away"
    workflow.use_preset("one").save_preset("two", cfg=5)
    PresetFolder().rename("one", "three")
    assert sorted(each.name.partition("-")[0] for each in Path("presets").iterdir()) == [
        "three.photo", "three.toml", "two.photo", "two.toml",
    ]  # fmt: skip
    workflow.save_preset("three", photo=Image.new("RGB", (2, 2)))
    assert len(list(Path("presets").glob("three.photo-*"))) == 1, "the former image is deleted"
    workflow.delete_preset("three")
    workflow.delete_preset("two")
    assert list_folder() == []


def test_masks_are_files_beside_the_preset(workflow: Workflow, folder: Path) -> None:
    masks = [np.eye(4, 6, k, dtype=bool) for k in range(2)]
    Image.new("RGB", (6, 4)).save(folder / "me.png")
    workflow.save_preset("one", photo=Masked("me.png", masks[1]))
    (path,) = Path("presets").glob("one.*.png")
    assert f'file = "me.png"\nmask = "presets/{path.name}"' in Path("presets/one.toml").read_text()
    assert workflow.use_preset("one").bind({}).uploads[0].value == Masked("me.png", masks[1])
    PresetFolder().rename("one", "two")
    assert workflow.use_preset("two").bind({}).uploads[0].value == Masked("me.png", masks[1])
    workflow.save_preset("two", photo=Masked(Image.new("RGB", (6, 4)), masks[0]))
    assert len(list_folder()) == 3, "the preset, the image, the mask; the former mask is deleted"
    kept = workflow.use_preset("two").bind({}).uploads[0].value
    assert (kept.mask, Path(kept.image).parent) == (Masked("me.png", masks[0]).mask, Path("presets"))
    workflow.use_preset("two").save_preset("three", cfg=5)
    workflow.delete_preset("two")
    assert workflow.use_preset("three").bind({}).uploads[0].value.mask == kept.mask
    workflow.delete_preset("three")
    assert list_folder() == []


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        ("../secret.png", "not in the folder of the notebook"),
        ("nowhere.png", "there is no file 'nowhere.png' to read the mask from"),
        ("junk.png", "not an image in a known format"),
        ("presets", "is not a file"),
        ("small.png", "the mask has 2 × 2 pixels, and the upright image 6 × 4"),
        ("clear.png", "mask has transparent pixels"),
    ],
)
def test_mask_that_is_not_one_is_named(workflow: Workflow, folder: Path, mask: str, reason: str) -> None:
    Image.new("RGB", (6, 4)).save(folder / "me.png")
    Image.new("L", (2, 2)).save(folder / "small.png")
    Image.new("RGBA", (6, 4)).save(folder / "clear.png")
    (folder / "junk.png").write_bytes(b"%!PS")
    write("evil", f'format = 1\n[values]\nphoto = {{file = "me.png", mask = "{mask}"}}\ncfg = 3\n')
    with pytest.warns(UserWarning, match="photo") as caught:
        binding = workflow.use_preset("evil").bind({})
    assert (binding.uploads, binding.params["cfg"], len(caught)) == ((), 3, 1)
    assert reason in str(caught[0].message)
    assert str(folder) not in str(caught[0].message)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../secret", "a/../../secret", "~/.ssh/id_rsa", "C:\\secret", "\\\\host\\share", "http://x/y.png",
     "file:///etc/passwd", "out", "nul", "a\\..\\..\\secret", "con.png", "presets", "x" * 2000],
)  # fmt: skip
def test_paths_that_escape_are_refused(workflow: Workflow, folder: Path, path: str) -> None:
    (folder.parent / "secret").write_text("secret")
    (folder / "out").symlink_to(folder.parent / "secret")
    escaped = path.replace("\\", "\\\\")
    write("evil", f'format = 1\n[values]\nphoto = "{escaped}"\ncfg = 3\n')
    with pytest.warns(UserWarning, match="photo"):
        binding = workflow.use_preset("evil").bind({})
    assert binding.uploads == ()
    assert binding.params["cfg"] == 3
    assert len(binding.warnings) == 1
    with pytest.raises(ParameterError):
        workflow.save_preset("evil2", photo="~/nothing here") if path == "nul" else workflow.check({"none": path})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no line `format = 1`"),
        ("format = 2", "newer than this version"),
        ("format = true", "no line `format = 1`"),
        ("format = 1\nvalues = 3", "must be tables"),
        ("format = 1\nworkflow = []", "must be tables"),
        ("format = 1\n[values]\ncfg = nan", "not a finite number"),
        ("format = 1\n[values]\ncfg = -inf", "not a finite number"),
        ("format = 1\n[values]\ncfg = 2026-01-01", "can't be kept in a preset"),
        ("format = 1\n[values]\ncfg = [[1]]", "can't be kept in a preset"),
        ("format = 1\n[values.cfg]\na = 1", "a table must have `file`"),
        ('format = 1\n[values]\ncfg = {file = "a", mask = 3}', "a table must have `file`"),
        (f"format = 1\n[values]\ncfg = {'9' * 5000}", "TOML"),
        (f"format = 1\n[values]\ncfg = {'9' * 900}", "too large"),
        (f"format = 1\n[values]\ncfg = {'[' * 50_000}", "TOML"),
        (f"format = 1\n[values]\ncfg = [{'1,' * 2000}]", "more than 1000 items"),
        ("format = 1\n[values]\n" + "".join(f"a{n} = 1\n" for n in range(1001)), "more than 1000 values"),
        (f'format = 1\n[values]\ncfg = "{"x" * MAX_BYTES}"', "larger than 256 kB"),
        ("format = 1\nformat = 1", "TOML"),
    ],
)
def test_hostile_file_is_refused_in_one_line(workflow: Workflow, text: str, reason: str) -> None:
    write("evil", text)
    workflow.save_preset("good", cfg=5)
    with pytest.raises(ComfyKitError, match="preset 'evil'") as caught:
        workflow.use_preset("evil")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert workflow.presets() == ("good",)
    workflow.save_preset("evil", cfg=6)
    assert workflow.use_preset("evil").bind({}).params["cfg"] == 6


def test_file_that_is_not_one_is_refused(workflow: Workflow, folder: Path) -> None:
    (folder.parent / "far.toml").write_text("format = 1\n[values]\ncfg = 5\n")
    presets = folder / "presets"
    presets.mkdir()
    (presets / "link.toml").symlink_to(folder.parent / "far.toml")
    (presets / "folder.toml").mkdir()
    (presets / "dead.toml").symlink_to("nothing.toml")
    os.mkfifo(presets / "pipe.toml")
    (presets / "bytes.toml").write_bytes(b"\xff\xfe")
    for name in ("link", "folder", "dead", "pipe", "bytes"):
        with pytest.raises(ComfyKitError, match=name):
            workflow.use_preset(name)
    assert all(each.error for each in PresetFolder().list())
    assert workflow.presets() == ()


def test_folder_that_is_a_link_elsewhere_is_refused(workflow: Workflow, folder: Path) -> None:
    (folder.parent / "far").mkdir()
    (folder / "presets").symlink_to(folder.parent / "far")
    for call in (lambda: workflow.save_preset("a", cfg=5), lambda: workflow.use_preset("a"), workflow.presets):
        with pytest.raises(ComfyKitError, match="outside of the folder of the notebook"):
            call()
    assert list((folder.parent / "far").iterdir()) == []


def test_value_that_no_file_can_have_is_refused(workflow: Workflow) -> None:
    with pytest.raises(ComfyKitError, match="half of a character"):
        workflow.save_preset("a", prompt="\ud800")
    with pytest.raises(ComfyKitError, match="256 kB"):
        workflow.save_preset("a", prompt="x" * MAX_BYTES)
    with pytest.raises(ParameterError, match="cfg"):
        workflow.save_preset("a", cfg=math.inf)
    with pytest.raises(ParameterError, match="no such parameter"):
        workflow.save_preset("a", cgf=5)
    assert not Path("presets/a.toml").exists()


def test_failed_write_leaves_the_former_preset(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow.save_preset("a", cfg=5)

    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="No space"):
            workflow.save_preset("a", cfg=6)
    assert list_folder() == ["a.toml"]
    assert workflow.use_preset("a").bind({}).params["cfg"] == 5


# -- any value ---------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    prompt=TEXTS,
    seed=st.integers(0, 2**64 - 1),
    steps=st.integers(-(2**70), 2**70),
    cfg=st.floats(allow_nan=False, allow_infinity=False),
)
@example(prompt='"""\r\n\\\t\0"', seed=2**63, steps=-(2**63), cfg=1e22)
@example(prompt="a\nb\r\n'''", seed=2**63 - 1, steps=2**63, cfg=-0.0)
def test_any_value_comes_back(workflow: Workflow, prompt: str, seed: int, steps: int, cfg: float) -> None:
    given_values = {"prompt": prompt, "seed": seed, "steps": steps, "cfg": cfg}
    expected = {name: each.value for name, each in workflow.check(given_values).items()}
    workflow.save_preset("any", given_values)
    fitted = workflow.use_preset("any").fit_preset((), None)
    assert fitted.problems == ()
    found = {name: each.value for name, each in workflow.check(fitted.values).items()}
    assert found == expected
    assert [type(each) for each in found.values()] == [type(each) for each in expected.values()]


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        TEXTS,
        TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.lists(TEXTS | st.integers(0, 9)),
        max_size=5,
    )
)
def test_any_preset_reads_back_as_it_was_written(values: dict[str, Any]) -> None:
    from comfykit_jupyter.workflow.presets.preset import Preset

    written = format_preset(Preset("a", values, "w\nx", "abc"))
    assert dict(parse_preset(written, "a").values) == values


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | TEXTS.map(lambda text: f"format = 1\n[values]\n{text}".encode()))
def test_any_file_is_a_preset_or_refused(data: bytes) -> None:
    try:
        values = parse_preset(data, "a").values
    except ComfyKitError as error:
        values, message = {}, str(error)
        assert "\n" not in message
    assert len(values) <= 200
