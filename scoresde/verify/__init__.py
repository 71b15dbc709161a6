"""The court before which every sampler, ours or a third party's, is brought."""

from scoresde.verify.court import default_names, named, verify
from scoresde.verify.third_party import ThirdParty
from scoresde.verify.verdict import Check, Verdict

__all__ = ["Check", "ThirdParty", "Verdict", "default_names", "named", "verify"]
