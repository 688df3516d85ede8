"""How much noise is left at each step: the schedulers, and what sets the samplers apart."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.nodes.values import Floats

SAMPLERS = (
    "euler", "euler_cfg_pp", "euler_ancestral", "euler_ancestral_cfg_pp", "heun", "heunpp2", "exp_heun_2_x0",
    "exp_heun_2_x0_sde", "dpm_2", "dpm_2_ancestral", "lms", "dpm_fast", "dpm_adaptive", "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp", "dpmpp_sde", "dpmpp_sde_gpu", "dpmpp_2m", "dpmpp_2m_cfg_pp", "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "ddpm",
    "lcm", "ipndm", "ipndm_v", "deis", "res_multistep", "res_multistep_cfg_pp", "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp", "gradient_estimation", "gradient_estimation_cfg_pp", "er_sde", "seeds_2",
    "seeds_3", "sa_solver", "sa_solver_pece", "ddim", "uni_pc", "uni_pc_bh2",
)  # fmt: skip
SCHEDULERS = (
    "simple", "sgm_uniform", "karras", "exponential", "ddim_uniform", "beta", "normal", "linear_quadratic",
    "kl_optimal",
)  # fmt: skip
_LEAST = 0.02
"""The smallest noise before none."""


def levels(scheduler: str, steps: int, denoise: float = 1.0) -> Floats:
    """The part of noise before each step and after the last: `steps` + 1 numbers, falling from about `denoise` to 0.

    >>> levels("normal", 4).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    total = steps if denoise > 0.9999 else int(steps / denoise)
    t = np.linspace(0, 1, total + 1)
    if scheduler == "karras":
        curve = (1 + np.linspace(0, 1, total) * (_LEAST ** (1 / 7) - 1)) ** 7
    elif scheduler == "exponential":
        curve = np.exp(np.linspace(0, 1, total) * np.log(_LEAST))
    elif scheduler == "kl_optimal":
        curve = np.tan((1 - np.linspace(0, 1, total)) * np.arctan(1.0) + np.linspace(0, 1, total) * np.arctan(_LEAST))
    elif scheduler == "sgm_uniform":
        curve = np.linspace(1, 0, total + 1)[:-1] * 0.98 + 0.02
    elif scheduler == "ddim_uniform":
        curve = (1 - t[:-1]) ** 1.2
    elif scheduler == "beta":
        curve = 1 - (t[:-1] ** 2 * (3 - 2 * t[:-1]))
    elif scheduler == "linear_quadratic":
        half = 0.5 * t[:-1]
        curve = 1 - np.where(t[:-1] < 0.5, half * 0.5, 0.125 + (t[:-1] - 0.5) ** 2 * 3.5)
    elif scheduler == "simple":
        curve = (1 - t[:-1]) * 0.99 + 0.01 * (1 - t[:-1]) ** 2
    else:
        curve = 1 - t[:-1]
    return np.append(curve, 0.0).astype(np.float32)[-(steps + 1) :]


def restlessness(sampler: str) -> float:
    """How much fresh noise a sampler adds at each step, 0…1."""
    if sampler in ("lcm", "ddpm"):
        return 0.9
    if "sde" in sampler or sampler in ("seeds_2", "seeds_3"):
        return 0.6
    return 0.4 if "ancestral" in sampler or sampler.startswith("sa_solver") else 0.0


def order(sampler: str) -> int:
    """How often a sampler looks at a step before it takes it: 1, 2 or 3."""
    if "3" in sampler:
        return 3
    return 2 if any(part in sampler for part in ("2", "heun", "multistep", "pece", "uni_pc", "deis", "ipndm")) else 1
