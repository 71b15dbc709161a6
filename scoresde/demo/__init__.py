"""The demo: the whole story on data that ships with the package."""

from scoresde.demo.story import DEMOS, Claim, Outcome, demo_settings, tell

__all__ = ["DEMOS", "Claim", "Outcome", "demo_settings", "tell"]
