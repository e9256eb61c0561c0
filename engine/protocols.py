"""What the engine expects of a part, level by level.

1. Whatever Lightning's Trainer accepts runs here unedited: none of these protocols is required.
2. A part with all members of a protocol gets what its docstring says. If something the user asked for needs a member
   that is missing, preflight names it.
3. The project's own bases have them all: `Procedure` (engine/training), `ImageFolder` and `InMemory` (datamodules/).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

# Datamodules ----------------------------------------------------------------------------------------------------------


@runtime_checkable
class NamedData(Protocol):
    """Panels, metrics.json and exports name the data and where it came from."""

    name: str
    source: str  # official | local | stand-in | generated


@runtime_checkable
class Classes(Protocol):
    """Metrics, tables and predictions name each class; evaluate.py checks that other data has the same ones."""

    classes: Sequence[str]  # in the order of the labels


@runtime_checkable
class Counts(Protocol):
    """Panels and evaluations say how many examples each split has."""

    def counts(self) -> Mapping[str, int]: ...


@runtime_checkable
class InputShape(Protocol):
    """export.py works, and predict.py on photos: they know the shape of one input of the network, without a batch."""

    @property
    def input_shape(self) -> Sequence[int]: ...


@runtime_checkable
class ShowsImages(Protocol):
    """Image grids, the most confident mistakes and the projector. Images are (N, 3, H, W), floats in [0, 1]."""

    classes: Sequence[str]

    def first_training_batch(self, limit: int) -> "tuple[Tensor, Tensor]": ...
    def images(self, split: str, indices: Sequence[int]) -> "Tensor": ...
    def labels(self, split: str, indices: Sequence[int]) -> Sequence[Any]: ...
    def thumbnails(self, split: str, indices: Sequence[int], side: int) -> "Tensor": ...  # uint8


@runtime_checkable
class InChunks(Protocol):
    """Short steps are faster: a `Procedure` works through `chunk` mini-batches at once; 1 hands them out singly."""

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
    """A frozen backbone runs once: its features are cached and trained on (`cache=true`), also in folds."""

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


# Networks and procedures ----------------------------------------------------------------------------------------------


@runtime_checkable
class HasBackbone(Protocol):
    """The network can be a frozen feature extractor: its `head` is trained on `features` of its `backbone`."""

    backbone: "nn.Module"
    head: "nn.Linear"

    def features(self, images: "Tensor") -> "Tensor": ...  # (N, 3, H, W) in [0, 1] to (N, head.in_features)


@runtime_checkable
class PredictsClasses(Protocol):
    """predict.py works, and exports say what the outputs mean.

    `outputs` describes the network's outputs (N, K) in a phrase; `probabilities` turns them into one probability in
    [0, 1] per class; `several` says whether more than one class may be true at once.
    """

    outputs: str
    several: bool

    def probabilities(self, outputs: "Tensor") -> "Tensor": ...


@runtime_checkable
class NeedsData(Protocol):
    """Preflight refuses a datamodule, or features in its place, that lacks one of these members."""

    needs_data: Sequence[str]
