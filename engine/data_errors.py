class DataError(Exception):
    """Data that cannot be had or used: the message is one sentence for the user."""

    def __init__(self, message: str) -> None:
        # A DataLoader raises what its worker process raised once more, with the worker's traceback as the message.
        super().__init__(message.rpartition(f".{type(self).__name__}: ")[2].strip())
