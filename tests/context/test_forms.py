from typing import Annotated

import pytest
from pydantic import Field

from coherence.context.forms import arguments_of, given_to, schema_of
from coherence.errors import BadArgument


def call(name: Annotated[str, Field(description="Of it")], title: str | None = None, n: int = 3):
    pass


def test_a_signature_becomes_a_form():
    form = arguments_of(call, strict=True)
    assert given_to(form, {"name": "x"}) == {"name": "x", "title": None, "n": 3}
    assert schema_of(form) == {
        "additionalProperties": False,
        "properties": {
            "name": {"description": "Of it", "type": "string"},
            "title": {"type": "string"},
            "n": {"default": 3, "type": "integer"},
        },
        "required": ["name"],
        "type": "object",
    }


@pytest.mark.parametrize(
    ("given", "named"),
    [({}, "name"), ({"name": 1}, "name"), ({"name": "x", "m": 1}, "m"), ({"n": "y"}, "n: ")],
)
def test_wrong_arguments_are_named(given, named):
    with pytest.raises(BadArgument, match=named):
        given_to(arguments_of(call, strict=True), given)


def test_a_form_that_is_not_strict_ignores_others():
    assert given_to(arguments_of(call), {"name": "x", "m": 1})["name"] == "x"
