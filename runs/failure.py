"""Which failures are the user's to mend, and so are told in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from datamodules.errors import DataError
from networks.pretrained import WeightsError
from runs.errors import UserError


@contextmanager
def for_the_user() -> Iterator[None]:
    """Turns what the rooms raise about data and weights into a UserError, which Hydra prints without a traceback."""
    try:
        yield
    except (DataError, WeightsError) as error:
        raise UserError(str(error)) from None
