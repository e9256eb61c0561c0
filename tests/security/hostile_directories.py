"""Hostile run, sweep, cache and export directories, drawn by a seed, and the commands that are tried on them.

Each is a copy of what a run left, with one to three mutations of the kinds below. Commands run in processes forked from
one that has imported torch; `tried` describes how they fail.
"""

import copy
import io
import json
import os
import pickle
import random
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from engine.checkpoints.checkpoint_io import TRAILER
from tests import forked
from tests.security.test_hostile_checkpoints import checkpoint, write

SECONDS = 60

Mutation = Callable[[Path, random.Random], str]
"""Changes something below a directory, and says what."""

TEXTS = (
    *("", "x", "\0", "\udcff", "é\u202e\x1b]0;x\x07", "[/red]", "[link=file:///x]a", "=1+1", "@SUM(1)", "9" * 5000),
    *("a" * 200_000, "../../canary", "/CANARY/file", "~/x", "~nobody/x", "$HOME/x", "${oc.env:HOME}", "\\${run_dir}"),
    *("file:///CANARY/file", "local://CANARY/x", "http://127.0.0.1:9/x", "sqlite:////CANARY/x.db", "a::b", "C:\\x"),
    *(
        "${run_dir}/../x",
        "${eval_resize:9}",
        "${new_run_directory:/CANARY}",
        "${a}",
        "$${seed}",
        "{step:c}{x!r}",
        "???",
    ),
    *(
        "torch.load",
        "os.system",
        "builtins.exec",
        "2020-01-01",
        "1e400",
        "<script>",
        "'\"`",
        "-1",
        "null",
        "\n",
        "%s%n",
    ),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**9), 1e308, float("nan"), float("inf"), -0.0, 0.5),
    *([], {}, [[]], {"": ""}, {"_target_": "os.system", "_args_": ["touch /CANARY/x"]}, {"_target_": "torch.load"}),
    *([1] * 5000, {str(i): i for i in range(3000)}, {"_partial_": True}, {"defaults": ["x"]}, {"a": {"b": [None]}}),
)


def any_value(draw: random.Random, canary: Path) -> Any:
    if draw.random() < 0.5:
        return draw.choice(TEXTS).replace("/CANARY", str(canary))
    if draw.random() < 0.1:
        deep: Any = 1
        for _ in range(draw.choice((30, 300, 900))):
            deep = [deep] if draw.random() < 0.5 else {"a": deep}
        return deep
    return copy.deepcopy(draw.choice(VALUES))


def mutated(node: Any, value: Any, draw: random.Random) -> Any:
    """A copy with one entry, at any depth, replaced, removed or added, or with two swapped."""
    if not isinstance(node, dict | list) or not node or draw.random() < 0.1:
        return value
    changed: Any = dict(node) if isinstance(node, dict) else list(node)
    key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
    what = draw.random()
    if what < 0.1:
        del changed[key]
    elif what < 0.2 and isinstance(node, dict):
        changed[str(value)[:99]] = value
    elif what < 0.3:
        other = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
        changed[key], changed[other] = changed[other], changed[key]
    else:
        changed[key] = mutated(changed[key], value, draw)
    return changed


def files(folder: Path, *suffixes: str) -> list[Path]:
    """Sorted, so that a seed always draws the same; those without a suffix are the event files'.

    Without sparse files, which would be read here.
    """
    found = (path for path in folder.rglob("*") if path.is_file() and path.stat().st_size < 1 << 30)
    return sorted(path for path in found if not suffixes or path.suffix in suffixes)


# Mutations ------------------------------------------------------------------------------------------------------------


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Makes a folder the current one; paths from there are short."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(here)
        os.close(here)


def special(folder: Path, draw: random.Random) -> str:
    place = draw.choice(
        [*files(folder), *sorted(p for p in folder.rglob("*") if p.is_dir()), folder / "new", folder / "x"]
    )
    canary = folder.parent / "canary"
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    kind = draw.choice(("link", "dangling", "folder link", "loop", "pipe", "socket", "device", "folder", "unreadable"))
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as server, inside(place.parent):
            server.bind(place.name[:100])
    else:
        make: dict[str, Callable[[], Any]] = {
            "link": lambda: place.symlink_to(canary / "file"),
            "dangling": lambda: place.symlink_to(canary / "none"),
            "folder link": lambda: place.symlink_to(canary),
            "loop": lambda: place.symlink_to(place),
            "pipe": lambda: os.mkfifo(place),
            "device": lambda: os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),  # /dev/zero
            "folder": lambda: (place / "in it").mkdir(parents=True),
            "unreadable": lambda: place.touch(0o000),
        }
        try:
            make[kind]()
        except PermissionError:  # devices are root's to make
            os.mkfifo(place)
    return f"{kind} as {place.relative_to(folder)}"


def content(folder: Path, draw: random.Random) -> str:
    place = draw.choice(files(folder))
    whole = place.read_bytes()
    cut = draw.randrange(len(whole) + 1)
    kinds = {
        "empty": b"",
        "cut": whole[:cut],
        "twice": whole * 2,
        "noise in the middle": whole[:cut] + draw.randbytes(9) + whole[cut + 9 :],
        "zeros": bytes(len(whole)),
        "brackets": b"[" * 100_000,
        "braces": b'{"a":' * 20_000,
        "no UTF-8": b"\xff\xfe" + whole,
        "a BOM": b"\xef\xbb\xbf" + whole,
        "UTF-16": whole.decode("latin-1").encode("utf-16"),
        "a number": b"9" * 10_000,
        "one long line": b"a" * 3_000_000,
        "aliases": b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n",
        "a tag": b"!!python/object/apply:os.system ['true']",
        "a zip": b"PK\x03\x04" + draw.randbytes(99),
    }
    kind = draw.choice(list(kinds))
    place.write_bytes(kinds[kind])
    return f"{kind} in {place.relative_to(folder)}"


def sparse(folder: Path, draw: random.Random) -> str:
    place = draw.choice(files(folder))
    os.truncate(place, draw.choice((1 << 31, 50 << 30)))
    return f"sparse {place.relative_to(folder)}"


def field(folder: Path, draw: random.Random) -> str:
    """Of JSON or YAML: any type anywhere."""
    place = draw.choice(files(folder, ".json", ".yaml"))
    value = any_value(draw, folder.parent / "canary")
    read = json.loads if place.suffix == ".json" else yaml.safe_load
    changed = mutated(read(place.read_text()), value, draw)
    text = json.dumps(changed) if draw.random() < 0.7 else yaml.safe_dump(changed, allow_unicode=True)
    place.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    return f"{str(value)[:50]!r} in {place.relative_to(folder)}"


def state(folder: Path, draw: random.Random) -> str:
    """Of a checkpoint, with a good checksum."""
    place = draw.choice([*files(folder, ".ckpt", ".prev")])
    whole = torch.load(io.BytesIO(place.read_bytes()[:-TRAILER]), weights_only=True)
    odd: Sequence[Any] = (torch.tensor(float("nan")), torch.ones(2, 3), torch.zeros(0), torch.ones(1, dtype=torch.int8))
    value = draw.choice(odd) if draw.random() < 0.3 else any_value(draw, folder.parent / "canary")
    changed = mutated(whole, value, draw)
    if draw.random() < 0.3:  # what leads to files
        callbacks = changed.get("callbacks") if isinstance(changed, dict) else None
        for entry in callbacks.values() if isinstance(callbacks, dict) else ():
            if isinstance(entry, dict):
                entry["dirpath"] = entry["best_model_path"] = str(value)[:300]
                entry["best_k_models"] = {str(value)[:300]: torch.tensor(1e9)}
    try:
        write(place, checkpoint(changed))
    except Exception:  # what torch.save does not take
        write(place, draw.randbytes(99))
    return f"{str(value)[:50]!r} in {place.relative_to(folder)}"


def nesting(folder: Path, draw: random.Random) -> str:
    with inside(folder):
        for _ in range(draw.choice((50, 400))):  # longer than a path may be
            os.mkdir("d" * 20)  # noqa: PTH102
            os.chdir("d" * 20)
    return "folders in folders"


def many(folder: Path, draw: random.Random) -> str:
    for number in range(3000):
        (folder / f"events.out.tfevents.{number}.x").touch()
    return "3,000 event files"


def names(folder: Path, draw: random.Random) -> str:
    for name in ("[bold]x.csv", "\x1b]0;x\x07", "=1+1.json", "a\nb.ckpt", "-rf", os.fsdecode(b"\xff.yaml")):
        (folder / name).write_text("x")
        (folder / "checkpoints" / name).parent.mkdir(exist_ok=True)
        (folder / "checkpoints" / name).write_text("x")
    return "odd names"


def table(folder: Path, draw: random.Random) -> str:
    place = draw.choice([*files(folder, ".csv", ".log", ".tsv"), folder / "metrics.csv"])
    rows = ["step,name,value", "1,=1+1,nan", f"{'9' * 400},a,1e999", "x", ",,,,,,", '"', "1,val/acc,[/red]", "\x1b]0;x"]
    draw.shuffle(rows)
    place.write_text("\n".join(rows * draw.choice((1, 5000))))
    return f"rows in {place.relative_to(folder)}"


KINDS: tuple[Mutation, ...] = (
    *(special, content, content, sparse, field, field, field, field, state, state, state, nesting, many, names, table),
)


LEFT_NOTHING = (OSError, ValueError, LookupError, EOFError, RuntimeError, yaml.YAMLError, pickle.UnpicklingError)
"""What reading a damaged file raises."""


def hostile(base: Path, folder: Path, seed: int) -> tuple[Path, str]:
    """A mutated copy of `base` beside a canary, and what is hostile in it."""
    draw = random.Random(seed)
    (folder / "canary").mkdir(parents=True)
    (folder / "canary" / "file").write_text("mine")
    (folder / "canary" / "last.ckpt").write_text("mine")
    run = folder / "run"
    shutil.copytree(base, run)
    told = []
    for _ in range(draw.choice((1, 1, 2, 3))):
        try:
            told.append(draw.choice(KINDS)(run, draw))
        except LEFT_NOTHING:  # to mutate, as an earlier one did
            continue
    return run, "; ".join(told)


# Commands -------------------------------------------------------------------------------------------------------------


def tried(folder: Path, output: Path, script: str, *arguments: str) -> str | None:
    """What is wrong with how the command ended, None if nothing is."""
    process, began = forked.start(script, *arguments, cwd=folder, output=output), time.monotonic()
    try:
        code = process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"no end after {SECONDS} s"
    text = output.read_text(errors="replace")
    if "Traceback" in text or code not in (0, 1):
        return f"exit code {code} after {time.monotonic() - began:.1f} s: {text[-3000:]}"
    if "\x1b]0" in text:
        return f"an escape sequence reached the terminal: {text[-2000:]!r}"
    canary = folder / "canary"
    whole = sorted(path.name for path in canary.iterdir()) == ["file", "last.ckpt"]
    if not whole or any(path.read_text() != "mine" for path in canary.iterdir()):
        return f"the canary is dead: {text[-2000:]}"
    return None
