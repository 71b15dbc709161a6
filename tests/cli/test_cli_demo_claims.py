"""scoresde demo: the exit code is that of its claims."""

import pytest
from cli_tools import call, one_object

from scoresde.cli import demo_command
from scoresde.demo import Claim, Outcome


@pytest.mark.parametrize("held", [True, False])
def test_a_claim_that_fails_is_told_and_makes_the_demo_fail(here, capsys, monkeypatch, held):
    claims = [Claim("the sky is blue", True), Claim("the moon is green", held)]
    monkeypatch.setattr(
        "scoresde.demo.tell", lambda settings, folder, **given: Outcome(folder, claims=claims)
    )
    monkeypatch.setattr(demo_command, "_print", lambda outcome, console: None)
    code, out, error = call(capsys, "demo", "--data", "moons", "--threads", 1, "--json")
    assert one_object(out)["claims"][1]["held"] == held
    assert code == (0 if held else 1)
    assert error == ("" if held else "warning: a claim fails: the moon is green\n")
