"""Reads a config that came with a run, checked before Hydra or any code that it names sees it.

A run directory may come from a stranger. Its config.yaml is what this project wrote, or it is refused: plain values,
links between keys, no resolver, nothing that Hydra would act upon, and only targets that allowlist.py accepts.
"""

import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine.errors import UserError
from engine.files import read_plain
from engine.paths import is_place
from engine.renamed import with_todays_names
from engine.run.config_file import AS_WRITTEN, LINK, NO_RUNS, is_linked
from engine.run.trust.allowlist import targets, unfit, unlisted
from engine.run.trust.gate import require_plain
from engine.run.trust.locations import refused_place
from engine.run.trust.plain_yaml import require_plain_yaml
from engine.wording import shown

MAX_BYTES = 1 << 20
"""Maximum size of a config file; ours have a few thousand bytes."""

MAX_BITS = 4096
"""Of a whole number: Python writes none of more than 4,300 digits."""

MAX_LINKS, MAX_LINKED, MAX_TEXT = 10, 20, 100_000
"""Limits for following links between keys: how many in a row, to how many settings, and to how long a text."""


def read_run_config(
    directory: Path, given: str, *, to_compare: bool = False, replaced: Collection[str] = ()
) -> DictConfig:
    """Reads the config.yaml of the run in `directory`, which messages call `given`, such as `resume=DIR`.

    UserError if there is none, or if it contains anything that no run's config does; nothing that it names has been
    imported or resolved by then. With `to_compare`, any targets and paths are accepted, since nothing is built from
    them; likewise any paths at or below keys that are `replaced` on the command line or never built.
    """
    require_plain(directory, given)
    file = directory / "config.yaml"
    if not file.is_file():
        raise UserError(f"{given}: {_no_run(directory)}; give the directory of a run, logs/<experiment>/<time>.")
    config = _parse(file)
    container = with_todays_names(OmegaConf.to_container(config, resolve=False))
    if "name" in container:  # in earlier runs, `name` was the name of the experiment
        since = {"experiment": container["name"], "tags": [], "notes": None}
        container |= {key: value for key, value in since.items() if key not in container}
    named = [] if to_compare else list(targets(container))
    # All names, and all else that stands there, before any import.
    for path, target in named:
        if refusal := unlisted(target):
            raise UserError(f"{file}: {path}={shown(target)} {refusal}")
    unused = ("", *replaced) if to_compare else tuple(replaced)
    for refusal in _refusals(container, "", container, unused):
        raise UserError(f"{file}: {refusal}")
    for path, target in named:
        if refusal := unfit(target, is_called=path.endswith("_target_")):
            raise UserError(f"{file}: {path}={shown(target)} {refusal}")
    return OmegaConf.create(container)


def _parse(file: Path) -> DictConfig:
    """The file's content, with unresolved interpolations."""
    text = read_plain(file, MAX_BYTES).decode("utf-8", errors="replace")
    try:
        require_plain_yaml(text)
        config = OmegaConf.load(io.StringIO(text))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, OSError, RecursionError) as error:
        raise UserError(f"{file} is not a config: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    if not isinstance(config, DictConfig):
        raise UserError(f"{file} is not a config: it contains a list.")
    return config


def _no_run(directory: Path) -> str:
    if not directory.is_dir():
        return "it is a file" if directory.exists() else "there is no such folder"
    return (
        "this is a sweep, whose folders are its runs"
        if (directory / "sweep.json").is_file()
        else "there is no config.yaml"
    )


def _refusals(node: Any, path: str, root: dict[str, Any], unused: Collection[str]) -> Iterator[str]:
    """Everything that no run's config contains, as messages with the full key."""
    if path == "run_dir":
        if node != NO_RUNS["run_dir"]:
            yield f"run_dir={shown(node)} is not this directory's own."
    elif isinstance(node, dict):
        for key, value in node.items():
            inner = f"{path}.{shown(key)}" if path else shown(key)
            if reason := _refused_key(key, path):
                yield f"{inner} {reason}"
            else:
                yield from _refusals(value, inner, root, unused)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _refusals(value, f"{path}[{index}]", root, unused)
    elif isinstance(node, int) and node.bit_length() > MAX_BITS:
        yield f"{path} is a number of more digits than any value of a run's config."
    elif isinstance(node, str):
        is_used = not any(key in ("", path) or path.startswith(f"{key}.") for key in unused)
        yield from _refused_text(node, path, root, is_used=is_used)


def _refused_key(key: Any, path: str) -> str | None:
    """Why no run's config has this key below `path`, as the end of a sentence; None if one may have it."""
    is_roots = isinstance(key, str) and key not in ("defaults", "hydra")
    if not isinstance(key, str | int) or "$" in str(key) or is_place(str(key)) or not (path or is_roots):
        return "is not a key of a run's config."
    if key == "options" and path.endswith("compile"):
        return "could name programs for the compiler to start: give it on the command line."
    if key == "settings" and path.startswith("logger."):
        return "could name programs and servers: give it on the command line."
    return None


def _refused_text(text: str, path: str, root: dict[str, Any], *, is_used: bool = True) -> Iterator[str]:
    if "\0" in text:
        yield f"{path}={shown(text)} contains a zero byte, as no value of a run's config does."
        return
    if text in AS_WRITTEN:
        return
    if settings := _linked_settings(text, root):
        yield from _refusals(settings, path, root, () if is_used else ("",))
        return
    try:
        value = _followed(text, root)
    except LookupError as error:
        yield f"{path}={shown(text)} {error.args[0]}"
        return
    if is_used and (reason := refused_place(value, path)):
        yield f"{path}={shown(text)} {reason}"


def _linked_settings(text: str, root: dict[str, Any]) -> dict[str, Any] | None:
    """The few plain settings to which a whole text links, as `compile: ${compile}` may; None if it does not."""
    link = LINK.fullmatch(text)
    found = _at(link[1], root) if link else None
    if not isinstance(found, dict) or not 0 < len(found) <= MAX_LINKED:
        return None
    is_plain = not any(isinstance(value, dict | list) or "${" in str(value) for value in found.values())
    return found if is_plain else None


def _at(link: str, root: dict[str, Any]) -> Any:
    value: Any = root
    for part in link.split("."):
        value = value.get(part, root) if isinstance(value, dict) else root
    return value


def _followed(text: str, root: dict[str, Any]) -> str:
    """Resolves links to other keys in a text, except `${run_dir}`. LookupError for links that are not allowed."""
    for _ in range(MAX_LINKS):
        links = [link for link in LINK.findall(text) if link != "run_dir"]
        if "${" in text and not is_linked(text):
            break
        if not links:
            return text
        for link in dict.fromkeys(links):
            value = _at(link, root)
            if isinstance(value, dict | list):
                raise LookupError(f"links to {link}, which is not a plain value of this config.")
            text = text.replace(f"${{{link}}}", "null" if value is None else str(value))
            if len(text) > MAX_TEXT:
                raise LookupError("becomes longer, by its links, than any value of a run's config.")
    raise LookupError("is not resolved, as a run's config is: it may only link to other keys, as ${optimizer.lr}.")
