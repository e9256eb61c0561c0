"""What the tests of failures raise and catch."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import DataError


def reject() -> None:
    raise DataError("photo.jpg is no image: remove it.")


def raised(act: Callable[[], Any]) -> BaseException:
    try:
        act()
    except Exception as error:
        return error
    pytest.fail("nothing was raised")
