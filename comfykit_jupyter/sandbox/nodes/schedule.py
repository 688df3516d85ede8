"""Schedulers and samplers: the noise level at each step, and what distinguishes the samplers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from comfykit_jupyter.sandbox.interface.values import Floats

SAMPLERS = (
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "exp_heun_2_x0",
    "exp_heun_2_x0_sde", "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm",
    "lcm", "ipndm", "ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde", "seeds_2",
    "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2",
)  # fmt: skip
"""Names of ComfyUI's samplers."""

_LEAST = 0.02
"""Smallest noise level above 0."""

_CURVES: dict[str, Callable[[Floats], Floats]] = {
    "simple": lambda t: (1 - t) * (0.99 + 0.01 * (1 - t)),
    "sgm_uniform": lambda t: (1 - t) * (1 - _LEAST) + _LEAST,
    "karras": lambda t: (1 + t * (_LEAST ** (1 / 7) - 1)) ** 7,
    "exponential": lambda t: _LEAST**t,
    "ddim_uniform": lambda t: (1 - t) ** 1.2,
    "beta": lambda t: 1 - t**2 * (3 - 2 * t),
    "normal": lambda t: 1 - t,
    "linear_quadratic": lambda t: 1 - np.where(t < 0.5, 0.25 * t, 0.125 + 0.25 * (t - 0.5) + 3.0 * (t - 0.5) ** 2),
    "kl_optimal": lambda t: np.tan((1 - t) * np.arctan(1.0) + t * np.arctan(_LEAST)),
}
SCHEDULERS = tuple(_CURVES)
"""Names of ComfyUI's schedulers."""


def compute_levels(scheduler: str, steps: int, denoise: float = 1.0) -> Floats:
    """Return the noise level, 0…1, before each step and after the last: `steps` + 1 numbers that fall to 0.

    A `denoise` below 1 starts correspondingly later on the scheduler's curve.

    >>> compute_levels("normal", 4).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    t = 1 - denoise * np.linspace(1, 0, steps + 1)[:-1]
    return np.append(_CURVES[scheduler](t), 0.0).clip(0, 1).astype(np.float32)


def get_churn(sampler: str) -> float:
    """Return how much fresh noise a sampler adds at each step, 0…1."""
    if sampler in ("lcm", "ddpm"):
        return 0.9
    if "sde" in sampler or sampler in ("seeds_2", "seeds_3"):
        return 0.6
    return 0.4 if "ancestral" in sampler or sampler.startswith("sa_solver") else 0.0


def get_order(sampler: str) -> int:
    """Return a sampler's order: the number of evaluations for each step, 1 to 3."""
    if "3" in sampler:
        return 3
    return 2 if any(part in sampler for part in ("2", "heun", "multistep", "pece", "uni_pc", "deis", "ipndm")) else 1
