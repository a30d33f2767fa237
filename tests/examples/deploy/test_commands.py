"""Every ``mailslot`` command in examples/deploy has options and values that exist."""

from __future__ import annotations

import pytest

from tests.examples.deploy.files import application, commands
from tests.examples.deploy.options import parsed


@pytest.mark.parametrize("name", commands())
def test_the_options_exist(name):
    values = parsed(commands()[name])
    assert values["target"] == "shop:app"
    assert values["http"]


def test_the_application_has_no_problems():
    app = application()
    app.validate()
    assert len(app.groups) == 1
