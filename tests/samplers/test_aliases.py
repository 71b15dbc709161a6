"""Names of other tools stand for members, with options that these take."""

import pytest

from scoresde.config import from_tables
from scoresde.errors import UnknownNameError
from scoresde.samplers import SAMPLERS
from scoresde.samplers.aliases import ALIASES, TOOLS
from scoresde.verify import named


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_makes_the_member_it_names(alias: str) -> None:
    name, options = ALIASES[alias]
    assert alias not in SAMPLERS.members
    made = SAMPLERS.members[name](**options)
    assert named(alias) == made
    assert from_tables({"sampler": alias}).build("sampler") == made


def test_no_alias_is_claimed_twice() -> None:
    assert len(ALIASES) == sum(len(names) for names in TOOLS.values())


def test_own_options_go_before_those_of_the_alias() -> None:
    table = {"name": "DPM++ 2M SDE Heun", "solver_type": "midpoint"}
    config = from_tables({"sampler": table})
    assert config.build("sampler") == SAMPLERS["dpmpp-2m-sde"](solver_type="midpoint")
    resolved = from_tables({"sampler": "Euler a"}).resolved()["sampler"]
    assert resolved["name"] == "euler-ancestral"


def test_a_slip_in_an_alias_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sample_dpmpp_2m_sde'"):
        SAMPLERS["sample_dpmpp_2m_sd"]
