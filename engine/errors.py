"""What a user reads when something is wrong: one sentence, no traceback."""

from hydra.errors import CompactHydraException


class UserError(CompactHydraException):
    """A mistake or a lack that the user can mend. Hydra prints such an exception's message alone and exits with 1."""
