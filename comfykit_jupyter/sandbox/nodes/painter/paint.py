"""A picture for a brief: the scene, its finish, and nothing left to chance that the seed does not decide."""

from __future__ import annotations

from comfykit_jupyter.sandbox.nodes.painter import abstracts, scenes
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief
from comfykit_jupyter.sandbox.nodes.painter.color import to_rgb
from comfykit_jupyter.sandbox.nodes.painter.finish import finish
from comfykit_jupyter.sandbox.nodes.painter.noise import Field
from comfykit_jupyter.sandbox.nodes.painter.palettes import choose_palette
from comfykit_jupyter.sandbox.nodes.values import Floats

_SCENES = {
    "mountains": scenes.paint_mountains,
    "hills": scenes.paint_hills,
    "sea": scenes.paint_sea,
    "dunes": scenes.paint_dunes,
    "forest": scenes.paint_forest,
    "silk": abstracts.paint_silk,
    "space": abstracts.paint_space,
    "fire": abstracts.paint_fire,
    "flower": abstracts.paint_flower,
    "city": abstracts.paint_city,
}


def paint(brief: Brief, hand: str, width: int, height: int, seed: int, cfg: float = 7.0) -> Floats:
    """A picture, shape (3, height, width), sRGB 0…1; the same for the same arguments.

    Args:
        brief: what to paint.
        hand: who paints: `dreams` as the brief says, `ink` on paper, `silk` always cloth.
        width: in pixels.
        height: in pixels.
        seed: decides all that the brief leaves open.
        cfg: how far colours and contrasts are driven; 7 is neutral.
    """
    field = Field(width, height, seed, brief.key)
    palette = choose_palette(brief)
    scene = _SCENES["silk" if hand == "silk" else brief.scene]
    return to_rgb(finish(scene(field, brief, palette), field, brief, palette, cfg, hand == "ink"))
