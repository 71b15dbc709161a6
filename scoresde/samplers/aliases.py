"""Names under which other tools know our samplers: alias -> (member, options).

A name stands for the method and its options there, not for the grid, which is chosen by itself: a
scheduler "with Karras sigmas" is this sampler on the grid `karras`. Where a tool ends with a step
of lower order for few steps, the option that does so is part of the alias.
"""

from __future__ import annotations

Alias = tuple[str, dict]

K_DIFFUSION: dict[str, Alias] = {
    "sample_euler": ("euler", {}),
    "sample_euler_ancestral": ("euler-ancestral", {}),
    "sample_heun": ("heun", {}),
    "sample_dpm_2": ("dpm-2", {}),
    "sample_dpm_2_ancestral": ("dpm-2-ancestral", {}),
    "sample_lms": ("lms", {}),
    "sample_dpm_adaptive": ("dpm-adaptive", {}),
    "sample_dpmpp_2s_ancestral": ("dpmpp-2s-ancestral", {}),
    "sample_dpmpp_sde": ("dpmpp-sde", {}),
    "sample_dpmpp_2m": ("dpmpp-2m", {}),
    "sample_dpmpp_2m_sde": ("dpmpp-2m-sde", {}),
    "sample_dpmpp_3m_sde": ("dpmpp-3m-sde", {}),
}

DIFFUSERS: dict[str, Alias] = {
    "DDPMScheduler": ("ancestral", {}),
    "DDIMScheduler": ("ddim", {}),
    "EulerDiscreteScheduler": ("euler", {}),
    "FlowMatchEulerDiscreteScheduler": ("euler", {"variable": "time"}),
    "FlowMatchHeunDiscreteScheduler": ("heun", {"variable": "time"}),
    "EulerAncestralDiscreteScheduler": ("euler-ancestral", {}),
    "HeunDiscreteScheduler": ("heun", {}),
    "KDPM2DiscreteScheduler": ("dpm-2", {}),
    "KDPM2AncestralDiscreteScheduler": ("dpm-2-ancestral", {}),
    "LMSDiscreteScheduler": ("lms", {}),
    "IPNDMScheduler": ("ipndm", {}),
    "DEISMultistepScheduler": ("deis", {"variable": "log-snr", "solver_order": 2, "end": "lower"}),
    "DPMSolverMultistepScheduler": ("dpmpp-2m", {"end": "lower"}),
    "DPMSolverSinglestepScheduler": ("dpmpp-2s", {"stages": "grid"}),
    "DPMSolverSDEScheduler": ("dpmpp-sde", {}),
    "UniPCMultistepScheduler": ("unipc", {"end": "lower"}),
    "SASolverScheduler": (
        "sa-solver",
        {"predictor_order": 2, "corrector_order": 2, "few_steps": True, "end": "lower"},
    ),
    "ScoreSdeVeScheduler": ("predictor-corrector", {"corrector": "langevin"}),
}

INTERFACES: dict[str, Alias] = {
    "Euler": ("euler", {}),
    "Euler a": ("euler-ancestral", {}),
    "Heun": ("heun", {}),
    "LMS": ("lms", {}),
    "DPM2": ("dpm-2", {}),
    "DPM2 a": ("dpm-2-ancestral", {}),
    "DPM adaptive": ("dpm-adaptive", {}),
    "DPM++ 2S a": ("dpmpp-2s-ancestral", {}),
    "DPM++ SDE": ("dpmpp-sde", {}),
    "DPM++ 2M": ("dpmpp-2m", {}),
    "DPM++ 2M SDE": ("dpmpp-2m-sde", {}),
    "DPM++ 2M SDE Heun": ("dpmpp-2m-sde", {"solver_type": "heun"}),
    "DPM++ 3M SDE": ("dpmpp-3m-sde", {}),
    "DDIM": ("ddim", {}),
    "DDPM": ("ancestral", {"variance": "forward"}),
    "UniPC": ("unipc", {}),
    "Restart": ("restart", {}),
    "uni_pc": ("unipc", {"variant": "bh1"}),
    "uni_pc_bh2": ("unipc", {}),
    "er_sde": ("er-sde", {}),
    "seeds_2": ("seeds", {"stages": 2}),
    "seeds_3": ("seeds", {"stages": 3}),
    "sa_solver": ("sa-solver", {}),
}

PAPERS: dict[str, Alias] = {
    "ddpm": ("ancestral", {"variance": "forward"}),
    "dpm-solver-1": ("dpm-solver", {"solver_order": 1}),
    "dpm-solver-2": ("dpm-solver", {"solver_order": 2}),
    "dpm-solver-3": ("dpm-solver", {"solver_order": 3}),
    "tab1": ("deis", {"solver_order": 2}),
    "tab2": ("deis", {"solver_order": 3}),
    "tab3": ("deis", {"solver_order": 4}),
    "ipndm-v": ("ipndm", {"variable_step": True}),
    "edm": ("heun", {}),
    "reverse-diffusion": ("predictor-corrector", {"corrector": "none"}),
}

TOOLS: dict[str, dict[str, Alias]] = {
    "k-diffusion": K_DIFFUSION,
    "diffusers": DIFFUSERS,
    "graphical interfaces": INTERFACES,
    "papers": PAPERS,
}
ALIASES: dict[str, Alias] = {
    alias: stands for names in TOOLS.values() for alias, stands in names.items()
}
