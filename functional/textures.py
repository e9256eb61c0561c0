import torch
from torch import Tensor

from engine.data.keyed import keyed_generator


def pink_noise(shape: tuple[int, ...], *, generator: torch.Generator) -> Tensor:
    """Noise whose amplitude falls as 1 / frequency over the last two dimensions, each image scaled to exactly [0, 1].

    ℱ⁻¹(ℱ(white noise) / |f|), without its mean. Natural images have such spectra: Field 1987, "Relations between the
    statistics of natural images and the response properties of cortical cells". The last two dimensions are ≥ 2.
    """
    height, width = shape[-2:]
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width))
    frequency[0, 0] = torch.inf
    noise = torch.fft.irfft2(torch.fft.rfft2(torch.randn(shape, generator=generator)) / frequency, s=(height, width))
    low, high = noise.amin((-2, -1), keepdim=True), noise.amax((-2, -1), keepdim=True)
    return (noise - low) / (high - low)


def coloured_textures(count: int, *, size: int, seed: int) -> Tensor:
    """Procedural colour textures (count, 3, size, size) in [0, 1]; the i-th depends on (seed, i) and size alone.

    Each channel is 1/f noise that runs between two uniformly drawn values of that channel: these stand for the patches
    of photos that MNIST-M takes from BSDS500 (Ganin et al. 2016).
    """
    textures = torch.empty(count, 3, size, size)
    for index, texture in enumerate(textures):
        generator = keyed_generator(seed, index)
        start, end = torch.rand(2, 3, 1, 1, generator=generator)
        texture.copy_(start + (end - start) * pink_noise((3, size, size), generator=generator))
    return textures


def difference_blend(digits: Tensor, textures: Tensor) -> Tensor:
    """|textures - digits|: a white digit on black inverts the colours of the texture that it is laid upon.

    digits (N, 1 or 3, H, W) and textures (N, 3, H, W) in [0, 1] give (N, 3, H, W) in [0, 1].

    Source: MNIST-M's construction, Ganin et al. 2016, "Domain-adversarial training of neural networks".
    """
    return (textures - digits).abs()
