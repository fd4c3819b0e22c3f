"""The catalogue: closed lists of names, options held against annotations, build and describe as inverses."""

import dataclasses
import inspect
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.core import catalog
from reverie.core.errors import UserError

ROOMS = [
    room
    for room in ("processes", "networks", "denoisers", "losses", "samplers", "likelihoods", "guidance", "metrics")
    if (catalog.ROOT / room / "__init__.py").is_file()
]
ENTRIES = [(room, key) for room in ROOMS for key in catalog.names(room)]
SCHEDULES = catalog.names("processes", "Schedule")


def test_names_are_what_users_type():
    assert [catalog.kebab(name) for name in ("VpLinear", "X0", "Ddim", "MinSnr")] == [
        "vp-linear",
        "x0",
        "ddim",
        "min-snr",
    ]


def test_contracts_are_not_entries_and_entries_know_their_contract():
    assert "sampler" not in catalog.names("samplers")
    assert {"ancestral", "ddim"} <= set(catalog.names("samplers", "Sampler"))
    assert not set(catalog.names("samplers", "Sampler")) & set(catalog.names("samplers", "Grid"))
    # through a base class in another file: LinearBeta → BetaTable → Schedule
    assert "linear-beta" in SCHEDULES


@pytest.mark.parametrize(("room", "key"), ENTRIES)
def test_every_name_leads_to_a_documented_class(room, key):
    entry = catalog.find(room, key)
    assert catalog.kebab(entry.__name__) == key
    assert catalog.summary(room, key) == entry.__doc__.strip().split("\n")[0]
    assert len(catalog.summary(room, key)) > 3


@pytest.mark.parametrize(("room", "key"), ENTRIES)
def test_an_entry_described_and_built_again_is_the_same(room, key):
    parameters = inspect.signature(catalog.find(room, key)).parameters.values()
    if any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        pytest.skip("is made from other objects")
    entry = catalog.build(room, {"name": key})
    described = catalog.describe(room, entry)
    again = catalog.build(room, described)
    assert catalog.describe(room, again) == described
    if dataclasses.is_dataclass(entry):
        assert repr(again) == repr(entry)


def test_options_of_a_dataclass_include_those_it_inherits():
    assert [o.name for o in catalog.options("losses", "log-normal")] == ["stratified", "antithetic", "mean", "std"]
    # what a contract only announces (BetaTable's `steps`) is an option once, where the entry defines it
    assert [o.name for o in catalog.options("processes", "linear-beta")] == ["steps", "start", "end"]


def test_a_schedule_inside_a_schedule_is_built_and_described():
    described = {"name": "zero-terminal", "inner": {"name": "linear-beta", "steps": 50, "start": 1e-4, "end": 0.02}}
    schedule = catalog.build("processes", described)
    assert schedule.inner.steps == 50
    assert catalog.describe("processes", schedule) == described
    assert catalog.build("processes", {"name": "zero-terminal", "inner": "vp-linear"}).inner.beta_max == 20.0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "cosin"}, "unknown process 'cosin'; did you mean 'cosine'?"),
        ({"name": "cosine", "offest": 0.1}, "option of process 'cosine': 'offest'; did you mean 'offset'?"),
        ({"name": "cosine", "steps": "many"}, "process.steps must be a whole number, not 'many'"),
        ({"name": "cosine", "steps": 1.5}, "process.steps must be a whole number, not 1.5"),
        ({"name": "cosine", "offset": float("nan")}, "process.offset must be a number, not nan"),
        ({"name": "cosine", "offset": -1.0}, "offset must not be negative, not -1.0"),
        ({"name": "zero-terminal", "inner": {"name": "edm"}}, "needs a variance-preserving schedule inside"),
        ({"name": "zero-terminal"}, "inner"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(config, message):
    with pytest.raises(UserError) as error:
        catalog.build("processes", config)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "reverie.samplers.Ddim", "__class__", "../ddim", "", "Ddim"]
)
def test_a_string_that_wants_to_be_code_is_an_unknown_name(name):
    with pytest.raises(UserError, match="unknown sampler"):
        catalog.find("samplers", name)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("3", "int", 3),
        ("3.0", "int", 3),
        ("1e-4", "float", 1e-4),
        (2, "float", 2.0),
        ("true", "bool", True),
        ("none", "float | None", None),
        ("0.5", "float | None", 0.5),
        ("1,2,3", "tuple[int, ...]", (1, 2, 3)),
        ([1, 2], "tuple[int, ...]", (1, 2)),
        ("word", "str", "word"),
    ],
)
def test_text_becomes_the_value_that_the_annotation_asks_for(value, annotation, expected):
    converted = catalog.checked(value, annotation, "here")
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (True, "int"),
        ("yes", "bool"),
        (1, "bool"),
        ("inf", "float"),
        ("1e400", "float"),
        (1.5, "int"),
        (3, "str"),
        ("1,x", "tuple[int, ...]"),
        ({}, "int"),
    ],
)
def test_nothing_is_guessed(value, annotation):
    with pytest.raises(UserError, match="here must be"):
        catalog.checked(value, annotation, "here")


@given(st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False)))
@settings(max_examples=200, deadline=None)
def test_a_number_written_as_text_comes_back(number):
    annotation = "int" if isinstance(number, int) else "float"
    assert catalog.checked(repr(number), annotation, "here") == number


def test_names_and_options_are_read_without_loading_torch():
    code = (
        "import sys; from reverie.core import catalog;"
        "catalog.names('samplers'); catalog.options('processes', 'cosine');"
        "catalog.summary('losses', 'min-snr'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
