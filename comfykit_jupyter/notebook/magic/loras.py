"""Parse the stack of LoRAs of a line: `--loras add_detail:0.7,style:0.4/0.2`."""

from __future__ import annotations

from IPython.core.error import UsageError

from comfykit_jupyter.workflow.errors import short_repr


def parse_loras(text: str) -> dict[str, float | tuple[float, ...]]:
    """Return the strength of each LoRA, or those for model and CLIP.

    Raises:
        UsageError: A part is not a name with a strength.

    Example:
        >>> parse_loras("add_detail:0.7, style:0.4/0.2")
        {'add_detail': 0.7, 'style': (0.4, 0.2)}
    """
    found: dict[str, float | tuple[float, ...]] = {}
    for part in text.split(","):
        name, colon, strength = part.strip().rpartition(":")
        try:
            numbers = tuple(float(number) for number in strength.split("/"))
        except ValueError:
            numbers = ()
        if not (colon and name and numbers):
            raise UsageError(f"--loras: {short_repr(part.strip())} must be NAME:STRENGTH, such as add_detail:0.7")
        found[name] = numbers[0] if len(numbers) == 1 else numbers
    return found
