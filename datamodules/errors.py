class DataError(Exception):
    """Data that cannot be had or used: the message is one sentence for the user."""
