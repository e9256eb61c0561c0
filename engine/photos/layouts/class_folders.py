"""Photos labelled by the names of their folders."""

import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from engine.errors import DataError
from engine.photos.formats import SUFFIXES, left_out
from engine.photos.layouts.selection import Selection, composed, members_of
from engine.photos.layouts.walk import Folder, walk

logger = logging.getLogger(__name__)

Classes = dict[str, list[Path]]


def class_files(root: Path) -> Classes:
    """The image files of each class, both sorted by name. Each visible folder directly in `root` is a class.

    Photos are recognized by their SUFFIXES, also in folders within a class; they are not opened. Class names are in
    Unicode's composed form (NFC), however the disk spells them. Hidden files and hidden folders without images are
    ignored. The number of other files left out is logged by suffix.

    Raises:
        DataError: `root` or a folder in it is missing or unreadable, there is no class, a class has no image or an
            unprintable name, two names differ only in their Unicode form, a hidden folder has images (Jupyter's
            .ipynb_checkpoints holds copies, and would be a class to ImageFolder), a folder is named like an image, a
            link is broken, or two links lead to one folder.
    """
    if not root.is_dir():
        if root.is_file():
            raise DataError(
                f"{root} is a file: expected a folder with one of images for each class; unpack an archive."
            )
        raise DataError(f"{root} is no folder: expected one with a folder of images for each class.")
    classes: Classes = {}
    folders: dict[str, str] = {}  # of the classes, as the disk spells them
    unused: list[Path] = []
    for folder in walk(root):
        if not folder.parts:
            folders = _class_names(root, folder.subfolders)
            classes = {name: [] for name in folders}
            unused += _present(folder.path, [*folder.photos, *folder.others])
            continue
        if folder.is_hidden:
            if folder.photos:
                raise DataError(
                    f"{folder.path} is a hidden folder with {len(folder.photos)} images: remove it, or rename it."
                )
            continue
        _refuse_folder_named_as_image(folder)
        classes[composed(folder.parts[0])] += [folder.path / name for name in folder.photos]
        unused += _present(folder.path, folder.others)
    _check_classes(root, classes, folders)
    if unused:
        logger.info("Left out of %s, as not images of a class: %s.", root, left_out(unused))
    return {name: sorted(files) for name, files in classes.items()}


def _class_names(root: Path, subfolders: Sequence[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for folder in sorted(subfolders, key=composed):
        if folder.startswith("."):
            continue
        if (name := composed(folder)) in names:
            raise DataError(f"{root} has two folders called {name}, in two forms of Unicode (NFC and NFD): merge them.")
        names[name] = folder
    return names


def _refuse_folder_named_as_image(folder: Folder) -> None:
    for name in folder.subfolders:
        if name.lower().endswith(SUFFIXES) and not name.startswith("."):
            raise DataError(f"{folder.path / name} is a folder where an image was expected: rename or remove it.")


def _present(folder: Path, names: Sequence[str]) -> list[Path]:
    """Raises DataError for a broken link, since it may be a class on a missing disk."""
    for name in names:
        if not (folder / name).exists():
            raise DataError(f"{folder / name} is a link to nothing: mend it, or remove it.")
    return [folder / name for name in names]


def _check_classes(root: Path, classes: Classes, folders: Mapping[str, str]) -> None:
    if not classes:
        raise DataError(
            f"{root} has no folders: expected one of images for each class, or a table of photos and their classes "
            "(datamodule=image_table datamodule.table=FILE.csv)."
        )
    for name, files in classes.items():
        if not name.isprintable():
            raise DataError(f"{root} has a class folder whose name cannot be shown, {name!a}: rename it.")
        if not files:
            raise DataError(
                f"{root / folders[name]} holds no image ({', '.join(SUFFIXES)}): fill or remove this class."
            )


def same_classes(train: Mapping[str, Sequence[Path]], other: Mapping[str, Sequence[Path]], split: str) -> None:
    """Raises DataError, with a file of each, if two results of class_files have different classes, hence labels."""
    alone = [
        f"{name!r} only in {side} (as {classes[name][0]})"
        for side, classes, others in (("training", train, other), (split, other, train))
        for name in sorted(classes.keys() - others.keys())
    ]
    if not alone:
        return
    common = sorted(train.keys() & other.keys())
    spelled = {name.casefold().strip() for name in train} == {name.casefold().strip() for name in other}
    advice = "add or remove them"
    if spelled:
        advice = "spell each the same in both, including capitals"
    elif len(common) > 1:
        advice += f", or say datamodule.classes=[{','.join(common)}] to use what is in both"
    raise DataError(f"Training and {split} have different classes, {' and '.join(alone)}: {advice}.")


def spelled_alike(names: Sequence[str]) -> list[str]:
    """Advice on every two names that differ only in capitals, spaces or punctuation."""
    known: dict[str, str] = {}
    found = []
    for name in names:
        first = known.setdefault(re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", name).casefold()) or name, name)
        if first != name:
            found.append(
                f"classes {first!r} and {name!r} differ only in spelling: if they are one, merge their folders"
            )
    return found


def selected(classes: Classes, wanted: Selection | None, root: Path) -> Classes:
    """The classes that `datamodule.classes` lists; where it maps a name to a list, these are merged under that name.

    Raises DataError for a class that does not exist.
    """
    if wanted is None:
        return classes
    result: Classes = {}
    for name, members in members_of(wanted).items():
        for key in members:
            if key not in classes:
                near = get_close_matches(key, classes, 1)
                advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(classes)}."
                raise DataError(f"datamodule.classes names {key}, which {root} does not have: {advice}")
            result.setdefault(name, []).extend(classes[key])
    return {name: sorted(files) for name, files in sorted(result.items())}
