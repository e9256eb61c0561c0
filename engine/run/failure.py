"""Recognizes failures that the user can fix, and describes each in one sentence."""

import errno
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from engine.checkpoints.architecture import other_architecture
from engine.errors import UserError
from engine.paths import command, typed

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
BROKEN = (errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO, errno.ETIMEDOUT)
TOO_MANY = (errno.EMFILE, errno.ENFILE)
NO_ACCESS = (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR)

# Libraries distinguish these only by their messages; each pattern is followed by the library it is for.
WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed|exited)")  # torch.utils.data
SILENT = re.compile(r"DataLoader timed out after ([\d.]+) seconds")
SIGNAL = re.compile(r"killed by signal: ([\w ]+)")
SHARED_MEMORY = re.compile(r"shared memory|</torch_\d")  # torch.multiprocessing
MEMORY = re.compile(
    r"out of memory|can(?:'t|not) allocate memory"  # CUDA; torch's CPU allocator, the C library
    r"|unable to allocate|bad_alloc|ALLOC_FAILED",  # NumPy; C++; cuBLAS and cuDNN
    re.IGNORECASE,
)
ASKED = re.compile(r"(?:tried|unable) to allocate ([\d.]+ ?\w+)", re.IGNORECASE)
UNLOGGED = re.compile(r"monitor='(.*?)'\)`? could not find the monitored key in the returned metrics: \[(.*?)\]")
"""From Lightning's ModelCheckpoint."""
TARGET = re.compile(r"Error in call to target '(.+?)'")  # Hydra
ARGUMENT = re.compile(r"__init__\(\) (?:got an unexpected keyword|missing \d+ required)")  # Python
LACKING = re.compile(r"'(\w+)' object has no attribute '(\w+)'")  # Python, and torch.nn.Module
PARTS = re.compile(r"(pytorch_lightning|lightning_fabric)\.(loggers|callbacks|profilers)\.")
FILES = re.compile(r"Too many open files")  # torch.multiprocessing
SINGLE = re.compile(r"Expected more than 1 value per channel when training")  # torch.nn.functional.batch_norm
MAX_TEXT = 50_000
"""Characters of an error message that are examined."""
SERVICES = ("mlflow", "wandb")
"""Packages of loggers whose errors say what to do, such as to log in."""
GPU = re.compile(r"CUDA|CUBLAS|CUDNN|HIP|MPS|XPU")


@contextmanager
def for_the_user(cfg: DictConfig | None = None) -> Iterator[None]:
    """Turns failures that the user can fix into UserErrors; `cfg` is the run's config."""
    try:
        yield
    except Exception as error:
        told = sentence(error, cfg)
        if told is None:
            raise
        raise UserError(told) from error


def sentence(error: BaseException, cfg: DictConfig | None = None) -> str | None:
    """Describes an error to the user; None for bugs, which need their traceback."""
    place = ""
    while isinstance(error, InstantiationException) and error.__cause__:  # Hydra's wrapper
        place = found[1] if (found := TARGET.search(str(error))) else place
        error = error.__cause__
    if isinstance(error, UserError):
        return str(error)
    if place and isinstance(error, TypeError) and ARGUMENT.search(str(error)):
        return f"{place}: {error}."
    text = f"{error} {error.__cause__}"[:MAX_TEXT]
    return _framework_failure(error, text) or _machine_failure(error, text, cfg)


def _framework_failure(error: BaseException, text: str) -> str | None:
    if isinstance(error, LookupError | TypeError | ValueError | AttributeError) and _while_restoring(error):
        return (
            f"The checkpoint cannot be restored ({type(error).__name__}: {error}): it was modified, or saved by "
            "another program; to start a new run from its weights, give init_from=RUN."
        )
    if isinstance(error, ValueError) and SINGLE.search(text):
        return (
            "A training batch has a single example, which BatchNorm cannot normalize: give a datamodule.batch_size "
            "that leaves no single example over, or datamodule.drop_last=true if the datamodule has it."
        )
    if unlogged := UNLOGGED.search(text):
        names = [name for name in re.findall("'(.*?)'", unlogged[2]) if name not in ("epoch", "step")]
        return (
            f"monitor.metric={unlogged[1]}: no such metric was logged, only {', '.join(names) or 'none'}: "
            "give one of those, or monitor=null for no best checkpoint."
        )
    if isinstance(error, RuntimeError) and (told := other_architecture(error)):
        return told
    if type(error) is RuntimeError and text.startswith("Early stopping conditioned on metric"):  # Lightning's words
        return " ".join(str(error).split())
    if type(error).__name__ == "MisconfigurationException":  # Lightning's; to import it would take seconds
        return f"Lightning refuses this: {' '.join(str(error).split())}"
    if isinstance(error, ModuleNotFoundError):
        return _package_missing(error)
    if (service := type(error).__module__.partition(".")[0]) in SERVICES:
        return f"{service}: {' '.join(str(error).split())}"
    if isinstance(error, AttributeError) and (lacking := LACKING.search(text)):
        return _wanted_by_a_callback(error, *lacking.groups())
    return _failed_in_a_part(error)


def _package_missing(error: ModuleNotFoundError) -> str | None:
    """None if only a part of an installed package is missing, which is a bug."""
    if error.name is None:  # raised by a library, with its own advice
        return " ".join(str(error).split())
    package = error.name.partition(".")[0]
    return None if find_spec(package) else f"There is no module {package}: install the package that provides it."


def _wanted_by_a_callback(error: AttributeError, owner: str, name: str) -> str | None:
    """A sentence if one of Lightning's callbacks needs an attribute that the LightningModule lacks."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        callback, module = (frame.f_locals.get(key) for key in ("self", "pl_module"))
        is_lightnings = str(frame.f_globals.get("__name__")).startswith("pytorch_lightning.callbacks.")
        if is_lightnings and type(module).__name__ == owner:
            return f"{type(callback).__name__} needs a LightningModule with the attribute {name}; {owner} has none."
    return None


def _failed_in_a_part(error: BaseException) -> str | None:
    """A sentence if the error was raised by the code of one of Lightning's loggers, callbacks or profilers itself."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames or not PARTS.match(str(frames[-1].f_globals.get("__name__"))) or isinstance(error, OSError):
        return None
    part = type(frames[-1].f_locals.get("self", error)).__name__
    cause = " ".join(str(error).split())
    return f"Lightning's {part} failed ({type(error).__name__}: {cause}); debug=trace shows where."


def _machine_failure(error: BaseException, text: str, cfg: DictConfig | None) -> str | None:
    if isinstance(error, RuntimeError) and (silent := SILENT.search(text)):
        return _workers_silent(silent[1], cfg)
    if isinstance(error, RuntimeError) and (worker := WORKER.search(text)):
        return _worker_killed(worker[1], text, cfg)
    if isinstance(error, OSError | EOFError) and _passed(error, "_try_get_data"):  # a DataLoader's
        return _worker_killed("", text, cfg)
    if _passed(error, "init_process_group"):
        cause = " ".join(str(error).split()) or type(error).__name__
        return (
            f"The training's processes cannot connect ({cause}): check trainer.strategy, MASTER_ADDR and MASTER_PORT."
        )
    if isinstance(error, RuntimeError) and SHARED_MEMORY.search(text):
        return (
            f"Shared memory (/dev/shm) ran out: {_lower(cfg, 'num_workers')}, or make it larger (docker: --shm-size)."
        )
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError | OSError) and MEMORY.search(text)):
        return _out_of_memory(text, cfg)
    if (isinstance(error, OSError) and error.errno in TOO_MANY) or FILES.search(text):
        advice = f"{_lower(cfg, 'num_workers')}, or raise the limit (ulimit -n)"
        return f"Too many files are open: {advice}{_how_to_continue(cfg)}."
    if isinstance(error, OSError) and error.errno in (*NO_ROOM, *NO_ACCESS, *BROKEN):
        return _not_written(error, cfg)
    return None


def _while_restoring(error: BaseException) -> bool:
    """Whether the error occurred while Lightning restored a checkpoint."""
    from engine.training.lightning_internals import RESTORING  # which imports torch

    return _passed(error, *RESTORING)


def _passed(error: BaseException, *functions: str) -> bool:
    """Whether an error was raised in one of these functions, or in what they called."""
    return any(frame.f_code.co_name in functions for frame, _ in traceback.walk_tb(error.__traceback__))


def _worker_killed(pids: str, text: str, cfg: DictConfig | None) -> str:
    signal = SIGNAL.search(text)
    cause = f"was killed by the signal {signal[1].strip()!r}" if signal else "exited without an error message"
    if SHARED_MEMORY.search(text):
        advice = f"shared memory (/dev/shm) may be too small, so make it larger, or {_lower(cfg, 'num_workers')}"
    else:
        advice = f"usually for lack of memory, so {_lower(cfg, 'num_workers', 'batch_size')}"
    which = f" (pid {pids})" if pids else ""
    return f"A worker process that reads the data{which} {cause}: {advice}{_how_to_continue(cfg)}."


def _workers_silent(seconds: str, cfg: DictConfig | None) -> str:
    advice = "raise datamodule.worker_timeout, or set it to 0 to wait forever" if cfg else "give num_workers=0"
    return (
        f"The worker processes that read the data returned nothing for {seconds} s: one was stopped, or the "
        f"data's disk hangs; {advice}{_how_to_continue(cfg)}."
    )


def _out_of_memory(text: str, cfg: DictConfig | None) -> str:
    asked = ASKED.search(text)
    wanted = f", trying to allocate {asked[1]}" if asked else ""
    if GPU.search(text):
        advice = _lower(cfg, "batch_size", "eval_batch_size", "image_size")
        return f"The GPU is out of memory{wanted}: {advice}{_how_to_continue(cfg)}."
    advice = _lower(cfg, "batch_size", "eval_batch_size", "image_size", "num_workers")
    return f"The machine is out of memory{wanted}: {advice}{_how_to_continue(cfg)}."


def _not_written(error: OSError, cfg: DictConfig | None) -> str:
    run = cfg.get("run_dir") if cfg else None
    place = error.filename or (f"A file in {run}" if run else "A file")
    if error.errno in NO_ROOM:
        return f"{place} cannot be written ({error.strerror}): free space on that disk{_how_to_continue(cfg)}."
    if error.errno in BROKEN:
        return f"{place} cannot be read or written ({error.strerror}): check that disk{_how_to_continue(cfg)}."
    advice = f"fix its permissions, or use another directory{_how_to_continue(cfg)}"
    return f"{place} cannot be used ({error.strerror}): {advice}."


def _lower(cfg: DictConfig | None, *keys: str) -> str:
    """`lower datamodule.batch_size (now 64) or …`, for those keys that the datamodule has."""
    settings = [f"datamodule.{key}" for key in keys]
    values = {key: OmegaConf.select(cfg, key) for key in settings} if cfg else {}
    known = [f"{key} (now {value})" for key, value in values.items() if value is not None] or settings
    return "lower " + " or ".join(part for part in (", ".join(known[:-1]), known[-1]) if part)


def _how_to_continue(cfg: DictConfig | None) -> str:
    """The end of a sentence: the command that resumes the run, if it has saved a checkpoint."""
    run = Path(cfg.get("run_dir") or "") if cfg else Path()
    saved = bool(cfg) and (run / "checkpoints" / "last.ckpt").is_file()
    return f", then continue with `{command('train.py')} resume={typed(run)}`" if saved else ""
