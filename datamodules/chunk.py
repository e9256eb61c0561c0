from typing import Any


class Chunk(list[Any]):
    """Several mini-batches that one training_step works through, so that the Trainer's cost a step is paid once."""
