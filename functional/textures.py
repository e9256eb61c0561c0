import torch
from torch import Tensor

from engine.data.keyed import keyed_generator


def pink_noise(shape: tuple[int, ...], *, generator: torch.Generator) -> Tensor:
    """1/f noise over the last two dimensions (each ≥ 2), with every image scaled to exactly [0, 1].

    ℱ⁻¹(ℱ(white noise) / |f|), with zero mean before scaling. Natural images have such spectra: Field 1987, "Relations
    between the statistics of natural images and the response properties of cortical cells".
    """
    height, width = shape[-2:]
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width))
    frequency[0, 0] = torch.inf
    noise = torch.fft.irfft2(torch.fft.rfft2(torch.randn(shape, generator=generator)) / frequency, s=(height, width))
    low, high = noise.amin((-2, -1), keepdim=True), noise.amax((-2, -1), keepdim=True)
    return (noise - low) / (high - low)


def coloured_textures(count: int, *, size: int, seed: int) -> Tensor:
    """Procedural color textures (count, 3, size, size) in [0, 1]; the i-th depends only on (seed, i) and size.

    Each channel is 1/f noise between two uniformly drawn values. The textures replace the BSDS500 photo patches of
    MNIST-M (Ganin et al. 2016).
    """
    textures = torch.empty(count, 3, size, size)
    for index, texture in enumerate(textures):
        generator = keyed_generator(seed, index)
        start, end = torch.rand(2, 3, 1, 1, generator=generator)
        texture.copy_(start + (end - start) * pink_noise((3, size, size), generator=generator))
    return textures


def difference_blend(digits: Tensor, textures: Tensor) -> Tensor:
    """|textures - digits|: a white digit on black inverts the colors of the texture beneath it.

    digits (N, 1 or 3, H, W) and textures (N, 3, H, W) in [0, 1] give (N, 3, H, W) in [0, 1].

    Source: MNIST-M's construction, Ganin et al. 2016, "Domain-adversarial training of neural networks".
    """
    return (textures - digits).abs()
