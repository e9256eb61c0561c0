"""Finds wrong entries in the defaults list of a config file, which Hydra reports without their file and line."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from engine.config.choices import choices_of, file_of
from engine.preflight.chosen import chosen_in_train
from engine.wording import nearest

OWN = "_self_"
KEYWORDS = ("override", "optional")


def wrong_entry(group: str, choice: str, folders: Sequence[Path]) -> str | None:
    """`FILE, line 3: …` for the first wrong entry of a choice's defaults list or of those it includes; else None."""
    return _wrong_in(group, choice, folders, set())


def _wrong_in(group: str, choice: str, folders: Sequence[Path], seen: set[Path]) -> str | None:
    file = file_of(group, choice, folders)
    if file is None or file in seen:
        return None
    seen.add(file)
    try:
        document = yaml.compose(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):  # reported elsewhere
        return None
    pairs = document.value if isinstance(document, yaml.MappingNode) else ()
    for key, node in pairs:
        if key.value != "defaults":
            continue
        if not isinstance(node, yaml.SequenceNode):
            return f"{_place(file, node)}: defaults must be a list: write each entry as `- override /group: choice`"
        for entry in node.value:
            if fault := _fault(group, entry, folders):
                return f"{_place(file, entry)}: {fault}"
            for other, name in _included(group, entry):
                if fault := _wrong_in(other, name, folders, seen):
                    return fault
    return None


def _place(file: Path, node: yaml.Node) -> str:
    return f"{file}, line {node.start_mark.line + 1}"


def _fault(group: str, entry: yaml.Node, folders: Sequence[Path]) -> str | None:
    """What is wrong with one entry of a defaults list in a file of `group`; None if nothing is known to be."""
    if isinstance(entry, yaml.ScalarNode):
        return None if entry.value == OWN else _unknown(group, [entry.value], folders)
    if not isinstance(entry, yaml.MappingNode) or len(entry.value) != 1:
        return "an entry is `override /group: choice`, or the name of another file of this group"
    (key, value), *_ = entry.value
    *words, target = key.value.split() or [""]
    if word := next((word for word in words if word not in KEYWORDS), None):
        return f"{word} is not a keyword; {nearest(word, KEYWORDS)}"
    name, known = target.partition("@")[0], _groups(folders)
    if "$" in key.value or name.startswith("/hydra/"):
        return None
    if not name.startswith("/"):
        if name in known and f"{group}/{name}" not in known:
            return f"write {' '.join([*words, f'/{target}'])}: without the /, it is a group inside {group}"
        name = f"/{group}/{name}"
    if name[1:] not in known:
        return f"there is no group {name[1:]}; {nearest(name[1:], known)}"
    if "optional" not in words and (fault := _unknown(name[1:], list(_names(value)), folders)):
        return fault
    return None if "@" in target else _misplaced(name[1:], "override" in words)


def _misplaced(group: str, is_override: bool) -> str | None:
    """Why this entry cannot choose the group here, given where conf/train.yaml does; None if it can."""
    chosen = chosen_in_train()
    if group not in chosen:
        return None
    is_late = [*chosen].index(group) > [*chosen].index("experiment")
    if is_late and (is_override or not isinstance(chosen[group], list)):
        return f"no experiment can choose {group}, which follows it in conf/train.yaml: give {group}=NAME instead"
    if not is_late and not is_override:
        return f"conf/train.yaml chooses {group} already: write override /{group}"
    return None


def _unknown(group: str, names: Sequence[str], folders: Sequence[Path]) -> str | None:
    choices = choices_of(group, folders)
    wrong = next((name for name in names if name.removesuffix(".yaml") not in choices and "$" not in name), None)
    return None if wrong is None else f"there is no {wrong} in {group}; {nearest(wrong, choices)}"


def _names(value: yaml.Node) -> Iterator[str]:
    """The choices that an entry names; none for null."""
    if isinstance(value, yaml.SequenceNode):
        for child in value.value:
            yield from _names(child)
    elif isinstance(value, yaml.ScalarNode) and value.tag != "tag:yaml.org,2002:null":
        yield value.value


def _included(group: str, entry: yaml.Node) -> Iterator[tuple[str, str]]:
    """The files that a correct entry includes, as pairs of group and choice."""
    if isinstance(entry, yaml.ScalarNode):
        yield from [] if entry.value == OWN else [(group, entry.value)]
    elif isinstance(entry, yaml.MappingNode):
        for key, value in entry.value:
            target = key.value.split()[-1].partition("@")[0]
            other = target[1:] if target.startswith("/") else f"{group}/{target}"
            yield from ((other, name) for name in _names(value))


def _groups(folders: Sequence[Path]) -> set[str]:
    return {
        str(path.relative_to(folder))
        for folder in folders
        for path in folder.rglob("*")
        if path.is_dir() and not path.name.startswith((".", "_")) and path.name != "hydra"
    }
