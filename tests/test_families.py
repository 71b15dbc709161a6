"""Families: names, suggestions, and plug-ins read only when they must be."""

from importlib.metadata import EntryPoint

import pytest

import scoresde.families as families
from scoresde.errors import UnknownNameError, UsageError
from scoresde.families import Family, unknown


class Known:
    pass


class Other:
    pass


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """The groups asked for; the sampler group holds one plug-in, `foreign`."""
    groups: list[str] = []

    def entry_points(*, group: str):
        groups.append(group)
        if group != "scoresde.samplers":
            return ()
        return (EntryPoint("foreign", "collections:OrderedDict", group),
                EntryPoint("known", "no_such_package:Shadow", group))  # fmt: skip

    monkeypatch.setattr(families, "entry_points", entry_points)
    return groups


def family() -> Family:
    return Family("sampler", {"known": Known, "other": Other})


def test_a_known_name_reads_no_entry_point(asked: list[str]) -> None:
    assert family()["known"] is Known
    assert "other" in family()
    assert family().name_of(Known) == family().name_of(Known()) == "known"
    assert asked == []


def test_an_unknown_name_and_a_list_read_them_once(asked: list[str]) -> None:
    from collections import OrderedDict

    assert family()["foreign"] is OrderedDict
    assert asked == ["scoresde.samplers"]
    assert family().names() == ["known", "other", "foreign"]
    assert len(asked) == 2
    assert "foreign" in family()
    assert "stranger" not in family()
    assert len(asked) == 4


def test_a_plug_in_cannot_take_a_known_name(asked: list[str]) -> None:
    assert family()["known"] is Known
    assert family().names().count("known") == 1


def test_a_plug_ins_class_has_its_name(asked: list[str], monkeypatch) -> None:
    from collections import OrderedDict

    point = EntryPoint("foreign", "collections:OrderedDict", "scoresde.samplers")
    monkeypatch.setattr(families, "entry_points", lambda *, group: (point,))
    assert family().name_of(OrderedDict()) == "foreign"
    assert family().name_of(dict) == "dict"


@pytest.mark.parametrize(("name", "hint"), [
    ("knwon", " Did you mean 'known'?"), ("foriegn", " Did you mean 'foreign'?"), ("zzz", ""),
])  # fmt: skip
def test_a_misspelt_name_has_a_suggestion(asked: list[str], name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        family()[name]
    text = str(caught.value)
    assert text.startswith(f"unknown sampler {name!r}; known: known, other, foreign, ")
    assert text.endswith("." + hint)
    assert isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("noun", "group"), [
    ("sampler", "scoresde.samplers"),
    ("process", "scoresde.processes"),
    ("density", "scoresde.densities"),
    ("langevin kernel", "scoresde.langevin_kernels"),
])  # fmt: skip
def test_groups_are_plurals(noun: str, group: str) -> None:
    assert Family(noun).group == group


def test_the_message_of_a_value_that_is_no_string() -> None:
    assert unknown("kind", 3, ["x0"]) == "unknown kind 3; known: x0."
