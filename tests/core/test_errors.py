"""Errors for users: one sentence, the nearest name, the code to exit with."""

from reverie.core.errors import BAD_DATA, USAGE, UserError, unknown


def test_an_unknown_name_suggests_the_nearest_and_lists_what_is_allowed():
    message = str(unknown("sampler", "dimm", ["heun", "ddim"]))
    assert message == "unknown sampler 'dimm'; did you mean 'ddim'? Allowed: ddim, heun"


def test_a_name_near_to_nothing_gets_no_suggestion():
    assert "did you mean" not in str(unknown("sampler", "zzzzzz", ["heun", "ddim"]))


def test_an_error_is_a_usage_error_unless_it_says_otherwise():
    assert UserError("no").code == USAGE == 2
    assert UserError("no", code=BAD_DATA).code == 65
