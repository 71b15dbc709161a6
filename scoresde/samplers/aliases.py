"""Names under which other tools know our samplers: alias -> (member, options)."""

ALIASES: dict[str, tuple[str, dict]] = {
    "sample_dpmpp_2m": ("dpmpp-2m", {}),
    "sample_heun": ("heun", {}),
}
