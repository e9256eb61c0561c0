"""Messages of the libraries that say nothing to a user, each named, with why it can be left unread."""

import logging
import warnings


def silence_idle_messages() -> None:
    """Before the Trainer is made."""
    # What it says there stands in the panel at the start.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric.utilities.rank_zero").setLevel(logging.WARNING)
    # Lightning 2.6 asks torch 2.14 in a way that still works.
    warnings.filterwarnings("ignore", r".isinstance\(treespec, LeafSpec\)", FutureWarning)
    # It counts batches, and a chunk is many steps; the procedure logs by steps.
    warnings.filterwarnings("ignore", r"The number of training batches .* is smaller than the logging interval")
    # So does MLflow ask SQLAlchemy 2.1.
    warnings.filterwarnings("ignore", r"The ``noload`` loader strategy is deprecated")
    # A resumed run's is not meant to be.
    warnings.filterwarnings("ignore", r"Checkpoint directory .* exists and is not empty")
    # evaluate.py's has none.
    warnings.filterwarnings("ignore", r"You called `self\.log\(.*\)` but have no logger configured")
    # Average precision over a few batches alone, as with debug=fast: they need not hold every label.
    warnings.filterwarnings("ignore", r"No positive samples found in target, recall is undefined")
