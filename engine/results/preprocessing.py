"""How a photo becomes an input of a run's network, from its directory; and inputs to test exports with."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor, nn
from torchvision.transforms import v2

from engine.data.normalization import normalize
from engine.errors import UserError
from engine.photos.decoding import SAME_COLORS
from engine.results.calibration import temperature_of
from engine.run.data_facts import first_tensor
from engine.run.trained import Trained

DECODING = (
    "decode to 8-bit sRGB, converted from the color profile if there is one, by LittleCMS and its perceptual intent "
    f"(one that changes none of the 6 * 6 * 6 colors of 0, 51, …, 255 by more than {SAME_COLORS} counts as sRGB; "
    "without one, CMYK is red = (255 - cyan) * (255 - black) / 255 and so on), upright by the EXIF orientation, "
    "transparency on white; 16-bit grey is value * 255 / 65535, rounded, and 16-bit color keeps its high byte"
)
BILINEAR = (
    "columns first, then rows, neither where its number stays. Of n values x[j] each of m new ones is the sum of "
    "w[i, j] * x[j], for j from max(0, int(c - r + 0.5)) to below min(n, int(c + r + 0.5)) with c = (i + 0.5) * n / m "
    "and r = max(1, n / m). w[i, j] is max(0, 1 - abs(j + 0.5 - c) / r), divided by the sum of these over j, then "
    "rounded to a multiple of 2^-b; b is the largest number up to 22 for which the largest w of all, times 2^b and "
    "rounded, is below 2^15. Each sum is rounded to 8 bits, halves up (Pillow's BILINEAR has finer w: it is at times "
    "one level off, and the probabilities by up to 0.002)"
)
"""What torchvision makes of 8-bit images, bit by bit."""


def compute_in_32_bits(config: DictConfig) -> None:
    """Sets a run's config to 32-bit precision, like exported networks."""
    config.trainer.precision = "32-true"
    if config.get("features"):
        config.features.precision = "32"


def photo_transform(trained: Trained) -> Callable[[Tensor], Tensor]:
    """Photos (3, H, W) uint8 of any size → inputs (C, h, w) uint8 before normalization.

    The run's evaluation transform or, if it had none since all images had the same size, a resize to that size.
    UserError if the network does not take images.
    """
    if "eval_transform" in trained.config.datamodule:
        transform: Callable[[Tensor], Tensor] = instantiate(trained.config.datamodule.eval_transform)
        return transform
    shape = input_shape(trained)
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UserError(
            f"run={trained.directory}: its network takes inputs of shape {tuple(shape)} ({trained.data['name']}), not "
            "photos: choose a run on images."
        )
    resize = v2.Resize(list(shape[1:]), antialias=True)
    return v2.Compose([v2.Grayscale(1), resize] if shape[0] == 1 else [resize])


def input_shape(trained: Trained) -> Sequence[int]:
    """The shape of one input of the network. UserError if the run did not know it."""
    shape: Sequence[int] | None = trained.data["input_shape"]
    if shape is None:
        raise UserError(
            f"run={trained.directory}: the shape of its network's inputs is unknown: its datamodule has no "
            "input_shape and its validation batches do not start with a tensor; export.py takes input_shape=[3,32,32]."
        )
    return shape


def normalization(trained: Trained) -> tuple[Sequence[float] | None, Sequence[float] | None]:
    """Mean and standard deviation per channel, for pixels in [0, 1]; None if the data was not normalized."""
    mean, std = (trained.config.datamodule.get(key) for key in ("mean", "std"))
    return (None, None) if mean is None or std is None else (list(mean), list(std))


def describe(trained: Trained, network: nn.Module, dtype: str, outputs: Tensor, meaning: str) -> dict[str, Any]:
    """What other programs need to use the network: inputs, preprocessing, outputs and class names."""
    shape = input_shape(trained)
    return {
        "input": {"name": "input", "shape": ["batch", *shape], "dtype": dtype, **_images(trained, shape)},
        "normalization_in_the_network": _own_normalization(network),
        "output": {
            "name": "output",
            "shape": ["batch", *outputs.shape[1:]],
            "dtype": str(outputs.dtype).removeprefix("torch."),
            "meaning": meaning,
            "temperature": temperature_of(trained.directory, trained.checkpoint, trained.content.get("epoch", 0)),
        },
        "classes": trained.data["classes"],
    }


def _images(trained: Trained, shape: Sequence[int]) -> dict[str, Any]:
    """The input's layout and preprocessing; empty for networks that do not take images."""
    if len(shape) != 3:
        return {}
    mean, std = normalization(trained)
    extremes = normalize(torch.tensor([0, 255]).view(2, 1, 1, 1).expand(2, shape[0], 1, 1), mean, std)
    transform = photo_transform(trained)
    steps = [_described(step) for step in getattr(transform, "transforms", [transform])]
    return {
        "layout": f"batch, {'grey' if shape[0] == 1 else 'red, green, blue'}, height, width",
        "value_range": [float(extremes.min()), float(extremes.max())],
        "steps": [
            DECODING,
            *steps,
            "divide by 255",
            *([] if mean is None else ["subtract the channel's mean, divide by its std"]),
        ],
        "mean": mean,
        "std": std,
    }


def _described(step: Any) -> str:
    """Describes a transform for other programs; by its repr if it is an unusual one."""
    if (
        isinstance(step, v2.Resize)
        and step.max_size is None
        and str(getattr(step.interpolation, "value", step.interpolation)) == "bilinear"
        and step.antialias
    ):
        size = [step.size] if isinstance(step.size, int) else list(step.size or ())
        how = f"bilinear with antialiasing: {BILINEAR}"
        if len(size) == 1:
            return f"resize the shorter side to {size[0]}, the longer to int({size[0]} * longer / shorter), {how}"
        if len(size) == 2:
            return f"resize to height {size[0]} and width {size[1]}, {how}"
    if isinstance(step, v2.CenterCrop):
        height, width = step.size
        return (
            f"crop the middle, height {height} and width {width}: rows from round((rows - {height}) / 2) and columns "
            f"from round((columns - {width}) / 2), halves to the even number; pad with 0 what is missing"
        )
    return repr(step)


def _own_normalization(network: nn.Module) -> dict[str, list[float]] | None:
    """Mean and std of a network that normalizes its inputs itself (networks/pretrained.py); None for any other."""
    mean, std = getattr(network, "mean", None), getattr(network, "std", None)
    if not isinstance(mean, torch.Tensor) or not isinstance(std, torch.Tensor):
        return None
    return {"mean": mean.flatten().tolist(), "std": std.flatten().tolist()}


class Inputs(NamedTuple):
    """Inputs (N, …) float32 as the network gets them, and a description."""

    values: Tensor
    name: str


def real_inputs(trained: Trained, count: int) -> Inputs:
    """At most `count` validation inputs of the run's data if it is available; else noise of the same shape.

    Nothing is downloaded or generated.
    """
    try:
        values = _validation_inputs(trained, count)
    except Exception:  # whatever a datamodule raises if its data is missing
        return Inputs(_noise(trained, count), f"{count} inputs of noise (the run's data is not available)")
    if len(values) < 2 or list(values.shape[1:]) != list(input_shape(trained)):
        return Inputs(_noise(trained, count), f"{count} inputs of noise (the run has no such validation data)")
    return Inputs(values, f"{len(values)} validation inputs of {trained.data['name']} ({trained.data['source']})")


def _validation_inputs(trained: Trained, count: int) -> Tensor:
    node = trained.config.datamodule
    for key, value in (("num_workers", 0), ("eval_batch_size", count)):
        if key in node:
            node[key] = value
    datamodule = instantiate(node)
    datamodule.setup("fit")
    for batch in datamodule.val_dataloader():
        inputs: Any = first_tensor(datamodule.on_after_batch_transfer(batch, 0))
        return inputs[:count]
    return torch.empty(0)


def _noise(trained: Trained, count: int) -> Tensor:
    """Uniform pixel values, normalized like pixels; standard normal if inputs are not images."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, *input_shape(trained))
    if len(shape) != 4:
        return torch.randn(shape, generator=generator)
    return normalize(torch.randint(256, shape, generator=generator), *normalization(trained))
