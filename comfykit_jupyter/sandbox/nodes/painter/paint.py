"""The painter's entry point: paints and finishes the scene of a brief, reproducibly for a seed."""

from __future__ import annotations

from comfykit_jupyter.sandbox.interface.values import Floats
from comfykit_jupyter.sandbox.nodes.painter import abstracts, scenes
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief
from comfykit_jupyter.sandbox.nodes.painter.color import to_rgb
from comfykit_jupyter.sandbox.nodes.painter.finish import finish
from comfykit_jupyter.sandbox.nodes.painter.noise import Field
from comfykit_jupyter.sandbox.nodes.painter.palettes import choose_palette

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
    """Paint an image of shape (3, height, width), sRGB 0…1; equal arguments give equal images.

    Args:
        brief: What to paint.
        hand: Manner of painting: `dreams` follows the brief, `ink` paints on paper, `silk` always paints cloth.
        width: Width in pixels.
        height: Height in pixels.
        seed: Decides everything that the brief leaves open.
        cfg: Strength of colours and contrasts; 7 is neutral.
    """
    field = Field(width, height, seed, brief.key)
    palette = choose_palette(brief)
    scene = _SCENES["silk" if hand == "silk" else brief.scene]
    return to_rgb(finish(scene(field, brief, palette), field, brief, palette, cfg, hand == "ink"))
