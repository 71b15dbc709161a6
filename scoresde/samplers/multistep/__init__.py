"""Linear multistep methods on the probability flow."""

MEMBERS: dict[str, type] = {}

__all__ = ["MEMBERS"]
