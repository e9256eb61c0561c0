"""Optional protocols for datamodules, networks and LightningModules.

1. Anything that Lightning's Trainer accepts runs unchanged; none of these protocols is required.
2. A part that implements a protocol gets the features in its docstring. If a requested feature needs a missing member,
   preflight names it.
3. The project's base classes implement them: `Procedure` (engine/training), `ImageFolder` and `InMemory` (datamodules).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

# Datamodules ----------------------------------------------------------------------------------------------------------


@runtime_checkable
class NamedData(Protocol):
    """Panels, metrics.json and exports show the name and source of the data."""

    name: str
    source: str  # official | local | stand-in | generated


@runtime_checkable
class Classes(Protocol):
    """Metrics, tables and predictions use class names; evaluate.py checks that other data has the same classes."""

    classes: Sequence[str]  # in the order of the labels


@runtime_checkable
class Counts(Protocol):
    """Panels and evaluations show the number of examples per split."""

    def counts(self) -> Mapping[str, int]: ...


@runtime_checkable
class InputShape(Protocol):
    """export.py works, and predict.py on photos: both need the shape of one input without the batch dimension."""

    @property
    def input_shape(self) -> Sequence[int]: ...


@runtime_checkable
class ShowsImages(Protocol):
    """Image grids, most confident mistakes and the projector are shown. Images are (N, 3, H, W), floats in [0, 1]."""

    classes: Sequence[str]

    def first_training_batch(self, limit: int) -> "tuple[Tensor, Tensor]": ...
    def images(self, split: str, indices: Sequence[int]) -> "Tensor": ...
    def labels(self, split: str, indices: Sequence[int]) -> Sequence[Any]: ...
    def thumbnails(self, split: str, indices: Sequence[int], side: int) -> "Tensor": ...  # uint8


@runtime_checkable
class Domains(Protocol):
    """A run's page compares the domain that is evaluated with others: loaders of inputs and targets by their names."""

    domain: str

    def other_domains(self, split: str) -> "Mapping[str, Iterable[Sequence[Tensor]]]": ...


@runtime_checkable
class InChunks(Protocol):
    """Short steps are faster: a `Procedure` processes `chunk` mini-batches per training step (1: no chunks)."""

    chunk: int


class PhotoSet(Protocol):
    """One split of `PhotoData`."""

    files: Sequence[Path]
    labels: Sequence[int]
    transform: "Callable[[Tensor], Tensor]"

    def __len__(self) -> int: ...
    def looks(self, index: int, epochs: Sequence[int], seed: int) -> "list[Tensor]": ...
    def with_files(self, files: Sequence[Path], labels: Sequence[int]) -> "PhotoSet": ...


@runtime_checkable
class PhotoData(NamedData, Counts, InputShape, ShowsImages, Protocol):
    """The features of a frozen backbone are cached (`cache=true`), also for cross-validation."""

    train: PhotoSet
    val: PhotoSet
    root: Path
    mean: Sequence[float] | None
    std: Sequence[float] | None
    batch_size: int
    num_workers: int
    seed: int

    @property
    def digest(self) -> str: ...


@runtime_checkable
class ReadsOtherFolders(Protocol):
    """evaluate.py measures all photos of another folder of class folders, of which some classes may be missing."""

    def set_up_alone(self, split: str, classes: Sequence[str]) -> str: ...


@runtime_checkable
class FindsPhotos(Protocol):
    """check_data.py works: `find` gives the files of each class by split, and `use` takes such for `setup`'s."""

    name: str
    root: Path
    max_pixels: int

    def find(self) -> Mapping[str, Mapping[str, Sequence[Path]]]: ...
    def use(self, splits: Mapping[str, Mapping[str, Sequence[Path]]]) -> None: ...


@runtime_checkable
class WeighsClasses(Protocol):
    """The loss gets class weights that depend on the data, unless `class_weights` returns None."""

    def class_weights(self) -> Sequence[float] | None: ...


@runtime_checkable
class LooksAtItself(Protocol):
    """The panel at the start shows what is wrong with the data, a sentence each."""

    def findings(self) -> Sequence[str]: ...


@runtime_checkable
class TellsDamage(Protocol):
    """Which photos are damaged is logged once they were read: after an epoch, or after their features were computed."""

    def tell_damaged(self) -> None: ...


# Networks and procedures ----------------------------------------------------------------------------------------------


@runtime_checkable
class HasBackbone(Protocol):
    """The `head` can be trained on features of the frozen `backbone`."""

    backbone: "nn.Module"
    head: "nn.Linear"

    def features(self, images: "Tensor") -> "Tensor": ...  # (N, 3, H, W) in [0, 1] to (N, head.in_features)


@runtime_checkable
class PredictsClasses(Protocol):
    """predict.py works, and exports describe the outputs.

    `outputs` is a short description of the network's outputs (N, K); `probabilities` converts them to probabilities in
    [0, 1] per class; `several` is True for multi-label classification.
    """

    outputs: str
    several: bool

    def probabilities(self, outputs: "Tensor") -> "Tensor": ...


@runtime_checkable
class NeedsData(Protocol):
    """Preflight refuses a datamodule (or the features that replace it) without these members."""

    needs_data: Sequence[str]
