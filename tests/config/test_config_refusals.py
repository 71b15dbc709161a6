"""What a configuration refuses: the refusal names the place, the value and the way out."""

import pytest

from scoresde import config
from scoresde.errors import OptionError, UsageError

GAUSSIAN = {"name": "gaussian", "mean": [0.0], "covariance": [[1.0]]}
REFUSED = {
    # tables, what the message must hold
    "section": ({"sampelr": "ddim"}, "unknown section 'sampelr'", "Did you mean 'sampler'?"),
    "member": ({"sampler": "dpmp-2m"}, "unknown sampler 'dpmp-2m'", "Did you mean 'dpmpp-2m'?"),
    "option": ({"sampler": {"name": "ddim", "etta": 1}}, "[sampler]", "Did you mean 'eta'?"),
    "no options": (
        {"sampler": {"name": "stochastic-runge-kutta", "eta": 1}},
        "takes no options",
        "'eta'",
    ),
    "type's option": ({"training": {"step": 5}}, "[training]", "Did you mean 'steps'?"),
    "nameless": ({"process": {"beta_min": 0.2}}, "[process] needs a name", "vp-linear"),
    "odd name": ({"process": {"name": ["edm"]}}, "[process]", "a name is text, got ['edm']"),
    "no table": ({"process": 3}, "[process]", "got 3"),
    "text for number": ({"sampler": {"name": "ddim", "eta": "x"}}, "[sampler] eta = 'x'", "float"),
    "real for whole": ({"training": {"steps": 1.5}}, "[training] steps = 1.5", "int"),
    "truth for whole": ({"training": {"steps": True}}, "[training] steps = True", "int"),
    "list for number": ({"grid": {"name": "karras", "rho": [7]}}, "[grid] rho = [7]", "float"),
    "NaN": ({"sampler": {"name": "ddim", "eta": float("nan")}}, "[sampler] eta is NaN", ""),
    "NaN in a list": ({"density": {**GAUSSIAN, "mean": [float("nan")]}}, "[density]", "NaN"),
    "infinite": ({"training": {"learning_rate": float("inf")}}, "learning_rate", "inf"),
    "negative": ({"training": {"learning_rate": -1e-3}}, "learning_rate", "-0.001"),
    "zero": ({"training": {"batch": 0}}, "batch", "0"),
    "out of range": ({"sampler": {"name": "ddim", "eta": 1.5}}, "[sampler]", "[0, 1], got 1.5"),
    "missing": ({"kernel": "ula"}, "[kernel]", "needs the option 'step_size'"),
    "untyped": ({"density": {**GAUSSIAN, "event_shape": 3}}, "[density]", "int"),
    "nested member": (
        {"objective": {"name": "denoising", "times": "unifrom"}},
        "'unifrom'; known: uniform",
        "Did you mean 'uniform'?",
    ),
    "nested option": (
        {"objective": {"name": "denoising", "times": {"name": "log-normal", "sd": 1.0}}},
        "[objective] times",
        "Did you mean 'std'?",
    ),
    "nested range": (
        {"objective": {"name": "denoising", "times": {"name": "log-normal", "std": -1.0}}},
        "[objective] times",
        "got -1.0",
    ),
    "kind": ({"objective": {"name": "denoising", "kind": "epss"}}, "[objective]", "mean 'eps'?"),
    "seed": ({"seed": -1}, "[0, 2^32)", "-1"),
    "real seed": ({"seed": 0.5}, "seed", "0.5"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_slip_is_an_option_error_that_says_where_and_what(case):
    tables, *parts = REFUSED[case]
    with pytest.raises(UsageError) as refusal:
        config.from_tables(tables)
    for part in parts:
        assert part in str(refusal.value)


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("sampler.eta=0.5", ("sampler", "eta"), 0.5),
        ("sampler = ddim", ("sampler",), "ddim"),
        ("data.path=runs/a b.npz", ("data", "path"), "runs/a b.npz"),
        ('data.path="1"', ("data", "path"), "1"),
        ("grid.given_times=[1.0, 0.5]", ("grid", "given_times"), [1.0, 0.5]),
        ("a.flag=true", ("a", "flag"), True),
        ("training.seconds=inf", ("training", "seconds"), float("inf")),
        ("objective.times.std=2", ("objective", "times", "std"), 2),
        ("a.b=c=d", ("a", "b"), "c=d"),
    ],
)
def test_set_reads_toml_where_it_can_and_text_where_not(setting, path, value):
    tables = config.override({}, [setting])
    for key in path:
        tables = tables[key]
    assert tables == value
    assert type(tables) is type(value)


def test_set_reaches_into_a_member_given_by_name_and_leaves_the_input_alone():
    before = {"objective": {"name": "denoising", "times": "log-normal"}, "sampler": "ddim"}
    after = config.override(before, ["objective.times.std=2.0", "sampler.eta=1.0"])
    assert before == {"objective": {"name": "denoising", "times": "log-normal"}, "sampler": "ddim"}
    built = config.from_tables(after)
    assert built.build("objective").times.std == 2.0
    assert built.build("sampler").eta == 1.0


def test_later_settings_win():
    assert config.override({}, ["a.b=1", "a.b=2"]) == {"a": {"b": 2}}


@pytest.mark.parametrize("setting", ["", "a.b", "=1", "a..b=1", ".=1"])
def test_a_setting_that_is_none_is_refused(setting):
    with pytest.raises(UsageError, match="--set takes"):
        config.override({}, [setting])


@pytest.mark.parametrize("setting", ["seed.x=1", "training.steps.x=1"])
def test_set_below_a_plain_value_is_refused(setting):
    with pytest.raises(UsageError, match="has no options"):
        config.override({"seed": 0, "training": {"steps": 3}}, [setting])


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a = ", "is not TOML"), (b"\xff\xfe", "cannot read"), (None, "no configuration at")],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, content, message):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        config.load(path)


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(UsageError, match="cannot read the configuration"):
        config.load(tmp_path)


def test_a_section_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"no \[sampler\] section"):
        config.from_tables({}).build("sampler")


def test_members_read_by_name_are_what_the_same_table_gives():
    by_name = config.from_tables({"objective": {"name": "denoising", "weighting": "snr-rate"}})
    by_table = config.from_tables(
        {"objective": {"name": "denoising", "weighting": {"name": "snr-rate"}}}
    )
    assert by_name.build("objective") == by_table.build("objective")


def test_option_errors_are_usage_errors_with_exit_code_two():
    assert issubclass(OptionError, UsageError)
    assert UsageError("x").exit_code == 2
