"""The painter's brief: words of the prompt text become a scene, a light, a ground, figures, a style and colours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from comfykit_jupyter.sandbox.nodes.painter.noise import derive_seed, make_generator

_WORDS = {
    "scene": {
        "mountains": "mountain mountains peak peaks alps valley landscape fjord cliff 山 山水",
        "hills": "hill hills meadow field countryside village farm house cottage cabin horse dog grass 村 草原",
        "sea": "sea ocean beach coast wave waves lake river boat ship sail sailboat harbor island water 海 船 湖",
        "forest": "forest wood woods tree trees jungle pine pines deer wolf bear owl 森林 树",
        "city": "city street skyline tokyo cyberpunk downtown building buildings skyscraper town metropolis 城市",
        "space": "space galaxy nebula cosmos cosmic planet universe astronaut astronomy 太空 星空 宇宙",
        "flower": "flower flowers rose roses tulip lotus blossom bouquet peony dahlia lily orchid garden 花",
        "fire": "fire flame flames lava volcano ember dragon phoenix inferno 火",
        "dunes": "desert dune dunes sahara sand camel 沙漠",
        "silk": (
            "silk abstract fabric flow marble smoke swirl portrait woman man girl boy face dancer music 丝绸 抽象 人像"
        ),
    },
    "light": {
        "night": "night midnight moonlight moonlit moon nocturne starry stars dark neon cyberpunk 夜 月",
        "sunset": "sunset dusk evening golden twilight warm 日落 黄昏",
        "dawn": "dawn sunrise morning pastel soft spring 日出 清晨",
        "day": "day noon sunny bright summer clear blue 白天 晴",
        "mist": "mist misty fog foggy haze calm quiet ink 雾",
        "storm": "storm stormy rain rainy thunder grey gray dramatic 雨 暴风",
        "aurora": "aurora borealis northern arctic 极光",
    },
    "ground": {
        "snow": "snow snowy winter ice icy frozen arctic glacier 雪 冬",
        "autumn": "autumn fall october maple 秋",
        "spring": "spring blossom cherry sakura 春 樱花",
    },
    "figure": {
        "fox": "fox foxes vixen 狐 狐狸",
        "cat": "cat cats kitten kitty 猫",
        "boat": "boat boats ship sail sailboat sailing yacht 船",
        "house": "house cottage cabin hut barn home village 房子 村",
        "birds": "bird birds seagull seagulls gulls crane swallow 鸟",
        "moon": "moon moonlight moonlit crescent 月",
        "sun": "sun sunny sunrise sunset 太阳 日出 日落",
    },
    "style": {
        "oil": "oil impasto brush brushstrokes impressionist impressionism monet gogh acrylic 油画",
        "watercolor": "watercolor watercolour aquarelle gouache wash 水彩",
        "ink": "ink sumi calligraphy sketch drawing charcoal monochrome 水墨",
        "neon": "neon cyberpunk synthwave vaporwave glowing glow 霓虹",
    },
    "colour": {
        "red": "red crimson scarlet ruby 红",
        "orange": "orange amber copper 橙",
        "gold": "gold golden yellow honey 金 黄",
        "green": "green emerald jade moss 绿",
        "teal": "teal cyan turquoise aqua 青",
        "blue": "blue azure sapphire indigo navy 蓝",
        "purple": "purple violet lavender lilac 紫",
        "pink": "pink magenta rose fuchsia 粉",
        "white": "white ivory silver pale 白",
        "black": "black ebony obsidian 黑",
    },
}
_MEANINGS: dict[str, list[tuple[str, str]]] = {}
for _kind, _names in _WORDS.items():
    for _name, _synonyms in _names.items():
        for _word in _synonyms.split():
            _MEANINGS.setdefault(_word, []).append((_kind, _name))
_CHINESE = sorted((word for word in _MEANINGS if not word.isascii()), key=len, reverse=True)
_ANIMALS = {"fox", "cat"}
_OTHER_SCENES = ("silk", "mountains", "silk", "space", "dunes", "sea", "hills")
_OTHER_LIGHTS = ("sunset", "dawn", "day", "mist", "night", "sunset", "dawn")


@dataclass(frozen=True)
class Brief:
    """The description of what to paint."""

    scene: str
    light: str
    ground: str | None
    figures: tuple[str, ...]
    style: str | None
    colours: tuple[str, ...]
    """Named colours that tint the scene, the most important first."""
    coat: str | None
    """The colour named just before an animal."""
    key: int
    """A number that differs for every text, whatever its words mean."""
    turn: float
    """Rotation of the hues by the negative prompt text, in radians."""
    looks: tuple[tuple[str, float], ...] = ()
    """Names of LoRA effects (`golden`, `brush`, `moonlight`), each with its strength."""


def split_words(text: str) -> list[str]:
    """Return the words of a prompt text in lower case, without weights and punctuation."""
    words: list[str] = []
    for word in re.findall(r"[^\W\d_]+", text.lower()):
        if word.isascii():
            words.append(word)
            continue
        while word:
            known = next((part for part in _CHINESE if word.startswith(part)), word[0])
            words.append(known)
            word = word[len(known) :]
    return words


def _find_meanings(words: list[str], kind: str) -> list[str]:
    found = [name for word in words for its_kind, name in _MEANINGS.get(word, ()) if its_kind == kind]
    return list(dict.fromkeys(found))


def parse_brief(positive: str, negative: str = "") -> Brief:
    """Return the brief for a prompt text, without what the negative one names. A hash decides what no word does."""
    words, unwanted = split_words(positive), split_words(negative)
    choose = make_generator("brief", words)

    def wanted(kind: str) -> list[str]:
        avoided = _find_meanings(unwanted, kind)
        return [name for name in _find_meanings(words, kind) if name not in avoided]

    figures = tuple(wanted("figure"))
    scenes, lights, grounds, styles = (wanted(kind) for kind in ("scene", "light", "ground", "style"))
    coats = [
        name
        for word, following in pairwise(words)
        for name in _find_meanings([word], "colour")
        if _ANIMALS & set(_find_meanings([following], "figure"))
    ]
    colours = [name for name in wanted("colour") if name not in coats]
    any_scene, any_light = (str(choose.choice(options)) for options in (_OTHER_SCENES, _OTHER_LIGHTS))
    if not scenes and (grounds or _ANIMALS & set(figures)):
        any_scene = "hills"
    elif not scenes and {"moon", "sun", "birds"} & set(figures):
        any_scene = str(choose.choice(("mountains", "sea", "hills")))
    if not lights and grounds == ["snow"]:
        any_light = str(choose.choice(("dawn", "day", "mist")))
    return Brief(
        scene=scenes[0] if scenes else any_scene,
        light="night" if "night" in lights else lights[0] if lights else any_light,
        ground=grounds[0] if grounds else None,
        figures=figures,
        style=styles[0] if styles else None,
        colours=tuple(colours),
        coat=coats[0] if coats else None,
        key=derive_seed(words, positive),
        turn=float(make_generator("turn", unwanted).uniform(-0.22, 0.22)) if unwanted else 0.0,
    )
