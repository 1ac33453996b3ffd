"""The refusal of a scheme's argument out of range, and the schema that states the ranges."""

import json
import math
from collections.abc import Sequence
from typing import Annotated, Literal

import pytest
from pydantic import Field, TypeAdapter

from brainct.core.arguments import (
    Count,
    CountOrZero,
    Fraction,
    ModulePaths,
    Momentum,
    NotNegative,
    Period,
    Positive,
    check_arguments,
    descriptions,
    in_words,
    rounds_of,
)
from brainct.core.scheme import About, Inner, arguments_schema, registered
from brainct.errors import Refused
from brainct.schemes import SCHEMES, build
from brainct.schemes.fedavg import fedavg

TOY = About(paper="none", family="averaging", summary="A toy.", when="never")


@registered(TOY)
def toy(
    mu: NotNegative = 0.1,
    rate: Positive = 1,
    fraction: Fraction = 1.0,
    momentum: Momentum = 0.0,
    often: Count = 1,
    begin: CountOrZero | None = None,
    every: Period = 2,
    kind: Literal["left", "right"] = "left",
    head: ModulePaths | None = None,
    relative: bool = True,
    inner: Inner | None = None,
    wide: Annotated[float, Field(ge=1)] = 2.0,
    words: Sequence[str] = ("any",),
):
    """A toy.

    mu: the paper's mu; 0 is `fedavg`.
    rate, momentum: of the server, which
    steps.

    What follows a blank line is of no argument.
    """
    return fedavg()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("mu", -0.1, "a finite number at least 0"),
        ("mu", math.nan, "a finite number at least 0"),
        ("mu", True, "a finite number at least 0"),
        ("mu", "0.1", "a finite number at least 0"),
        ("mu", None, "a finite number at least 0"),
        ("rate", 0, "a finite number above 0"),
        ("rate", math.inf, "a finite number above 0"),
        ("fraction", 1.1, "a finite number above 0 and at most 1"),
        ("momentum", 1.0, "a finite number at least 0 and below 1"),
        ("often", 0, "a whole number of at least 1"),
        ("often", 1.0, "a whole number of at least 1"),
        ("often", True, "a whole number of at least 1"),
        ("often", "2", "a whole number of at least 1"),
        ("begin", -1, "a whole number of at least 0, or null"),
        ("every", 0, "a whole number of rounds of at least 1, or null for never"),
        ("every", 1.5, "a whole number of rounds of at least 1, or null for never"),
        ("kind", "up", "one of left, right"),
        ("head", "head", "a list of module paths, such as ['head'], or null"),
        ("head", [""], "a list of module paths, such as ['head'], or null"),
        ("head", [1], "a list of module paths, such as ['head'], or null"),
        ("head", {"head": 1}, "a list of module paths, such as ['head'], or null"),
        ("relative", 1, "true or false"),
        ("inner", "fedavg", '{"scheme": NAME, "arguments": {...}}, or null'),
        ("words", "any", "a list of words"),
    ],
)
def test_an_argument_out_of_range_is_refused_with_what_was_got_and_wanted_and_whose_it_is(name, value, wanted):
    with pytest.raises(Refused) as refusal:
        toy(**{name: value})
    assert str(refusal.value) == f"toy: {name} is {value!r}; wanted {wanted}"


def test_each_wrong_argument_is_named_in_one_sentence():
    with pytest.raises(Refused) as refusal:
        toy(often=0, mu=-1)
    assert str(refusal.value) == (
        "toy: mu is -1; wanted a finite number at least 0; often is 0; wanted a whole number of at least 1"
    )


def test_an_argument_in_range_is_taken_as_it_was_given():
    given = {"mu": 0, "momentum": 0.999, "often": 10**12, "every": None, "head": ["a", "b"], "words": ("x", "y")}
    arguments = toy(**given, inner=fedavg()).arguments
    assert {name: arguments[name] for name in given} == {**given, "words": ["x", "y"]}
    assert type(arguments["mu"]) is int
    assert arguments["inner"] == {"scheme": "fedavg", "arguments": {"fraction": 1.0, "weight_by": "examples"}}


def test_the_schema_states_type_range_default_and_description():
    properties = arguments_schema(toy)["properties"]
    assert properties["mu"] == {
        "type": "number",
        "minimum": 0,
        "description": "the paper's mu; 0 is `fedavg`",
        "default": 0.1,
    }
    assert properties["momentum"]["description"] == properties["rate"]["description"] == "of the server, which steps"
    assert properties["kind"]["enum"] == ["left", "right"]
    assert "description" not in properties["words"]
    assert properties["every"]["default"] == 2


def test_a_period_of_null_is_never():
    assert rounds_of(None) == math.inf
    assert rounds_of(3) == 3


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_the_schema_of_every_scheme_is_json_and_has_words_for_every_argument(name):
    schema = arguments_schema(SCHEMES[name])
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == set(SCHEMES[name]().arguments)
    assert schema["required"] == []
    assert set(descriptions(SCHEMES[name].make)) == set(schema["properties"])
    for argument, default in SCHEMES[name]().arguments.items():
        assert schema["properties"][argument]["default"] == default
        assert len(in_words(schema["properties"][argument])) > 3


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_every_numeric_argument_refuses_what_its_schema_excludes(name):
    """Just outside each bound that the schema states, and true, a word and NaN for all numbers."""
    steps = {"minimum": -1, "exclusiveMinimum": 0, "maximum": 1, "exclusiveMaximum": 0}
    for argument, one in arguments_schema(SCHEMES[name])["properties"].items():
        for form in one.get("anyOf", [one]):
            if form["type"] not in ("number", "integer"):
                continue
            for value in (True, "2", math.nan, *(form[key] + step for key, step in steps.items() if key in form)):
                with pytest.raises(Refused, match=f"^{name}: {argument} is "):
                    build(name, {argument: value})


def test_the_ranges_of_the_shared_types_are_those_of_their_names():
    inside = {Positive: 1e-9, NotNegative: 0, Fraction: 1, Momentum: 0, Count: 1, CountOrZero: 0}
    outside = {Positive: 0, NotNegative: -1e-9, Fraction: 0, Momentum: 1, Count: 0, CountOrZero: -1}
    for kind, value in inside.items():
        assert TypeAdapter(kind).validate_python(value) == value
        assert not _valid(kind, outside[kind])


def _valid(kind, value):
    def make(x: kind):
        return x

    try:
        check_arguments(make, {"x": value})
    except Refused:
        return False
    return True
