"""Propose points: Optuna learns from the points that were run. It stores nothing; the journal has everything."""

from __future__ import annotations

import itertools
import random
import threading
import warnings
from collections.abc import Mapping
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.search.space import Choices, Place, Range, Space

ATTEMPTS = 20
"""Proposals in a row that may be known already; then a point is drawn from those that are left."""
_MAX_LISTED = 100_000
_creating = threading.Lock()


def import_optuna() -> Any:
    """Return Optuna.

    Raises:
        ComfyKitError: It is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ComfyKitError("a search needs Optuna: pip install 'comfykit-jupyter[search]'") from None
    return optuna


def propose(
    space: Space, known: Mapping[Place, float | None], count: int, *, seed: int, startup: int, minimize: bool = False
) -> list[Place]:
    """Return new points, fewer than `count` if the space has no more.

    Args:
        space: The ranges and choices.
        known: The value of each point that was run; None for one that failed.
        count: How many.
        seed: Makes the proposals repeatable.
        startup: How many points are drawn at random before anything is learned.
        minimize: Whether smaller values are better.

    Raises:
        ComfyKitError: Optuna is not installed.
    """
    optuna = import_optuna()
    distributions = {axis.name: _build_distribution(optuna, axis) for axis in space.axes}
    study = _create_study(optuna, seed=seed, startup=startup, minimize=minimize)
    for place, value in known.items():
        study.add_trial(_build_trial(optuna, space, distributions, place, value))
    return _ask(optuna, study, space, distributions, known, count, random.Random(seed))  # noqa: S311 - no secret


def _create_study(optuna: Any, *, seed: int, startup: int, minimize: bool) -> Any:
    """Create a study, without Optuna's words about it."""
    # Not `catch_warnings`: it replaces the filters of all threads. `constant_liar` has been experimental for years.
    warnings.filterwarnings("ignore", ".*constant_liar", optuna.exceptions.ExperimentalWarning)
    sampler = optuna.samplers.TPESampler(n_startup_trials=startup, seed=seed, constant_liar=True)
    with _creating:  # the verbosity belongs to the whole process
        level = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            return optuna.create_study(direction="minimize" if minimize else "maximize", sampler=sampler)
        finally:
            optuna.logging.set_verbosity(level)


def _build_distribution(optuna: Any, axis: Range | Choices) -> Any:
    if isinstance(axis, Choices):
        return optuna.distributions.CategoricalDistribution(range(len(axis.values)))
    if axis.step:
        return optuna.distributions.IntDistribution(int(axis.low), int(axis.high), step=axis.step)
    return optuna.distributions.FloatDistribution(axis.low, axis.high)


def _build_trial(optuna: Any, space: Space, distributions: Mapping[str, Any], place: Place, value: float | None) -> Any:
    params = {axis.name: number for axis, number in zip(space.axes, place, strict=True)}
    if value is None:
        return optuna.trial.create_trial(params=params, distributions=distributions, state=optuna.trial.TrialState.FAIL)
    return optuna.trial.create_trial(params=params, distributions=distributions, value=value)


def _ask(
    optuna: Any,
    study: Any,
    space: Space,
    distributions: Mapping[str, Any],
    known: Mapping[Place, float | None],
    count: int,
    rng: random.Random,
) -> list[Place]:
    """Return new points; the study takes each into account when it proposes the next one."""
    found: dict[Place, None] = {}
    while len(found) < count and len(known) + len(found) < space.size:
        for _ in range(ATTEMPTS):
            trial = study.ask(distributions)
            place = space.round(trial.params[axis.name] for axis in space.axes)
            if place not in known and place not in found:
                break
            value = known.get(place)
            study.tell(trial, value, state=None if value is not None else optuna.trial.TrialState.FAIL)
        else:
            left = _list_left(space, {**known, **found})
            if not left:
                return list(found)
            place = rng.choice(left)
        found[place] = None
    return list(found)


def _list_left(space: Space, known: Mapping[Place, Any]) -> list[Place]:
    """Return the points of a space with few that are not known; none if it has many."""
    if space.size > _MAX_LISTED:
        return []
    numbers = [
        range(len(axis.values)) if isinstance(axis, Choices) else range(int(axis.low), int(axis.high) + 1, axis.step)
        for axis in space.axes
    ]
    return [place for place in itertools.product(*numbers) if place not in known]
