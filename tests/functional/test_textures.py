import torch

from functional.textures import coloured_textures, difference_blend, pink_noise


def test_pink_noise_spans_exactly_0_to_1_in_each_image():
    noise = pink_noise((5, 3, 32, 24), generator=torch.Generator().manual_seed(0))
    assert noise.shape == (5, 3, 32, 24)
    torch.testing.assert_close(noise.amin((-2, -1)), torch.zeros(5, 3))
    torch.testing.assert_close(noise.amax((-2, -1)), torch.ones(5, 3))


def test_pink_noise_amplitude_falls_as_one_over_frequency():
    side = 64
    noise = pink_noise((200, side, side), generator=torch.Generator().manual_seed(0))
    # The range of an image scales its whole spectrum, so compare each image's amplitudes with one another.
    amplitude = torch.fft.fft2(noise).abs()[:, 0, 1 : side // 2]
    amplitude = (amplitude / amplitude.mean(1, keepdim=True)).mean(0)
    log_frequency = torch.arange(1.0, side // 2).log()
    slope = (
        torch.corrcoef(torch.stack([log_frequency, amplitude.log()]))[0, 1]
        * amplitude.log().std()
        / log_frequency.std()
    )
    assert abs(slope + 1) < 0.05


def test_textures_lie_in_range_and_differ():
    textures = coloured_textures(20, size=32, seed=0)
    assert textures.shape == (20, 3, 32, 32)
    assert textures.min() >= 0
    assert textures.max() <= 1
    assert (textures[1:] - textures[:-1]).abs().mean((1, 2, 3)).min() > 0.05
    assert (textures[:, 0] - textures[:, 1]).abs().mean() > 0.1, "the textures should have colour"


def test_a_texture_depends_on_seed_and_index_alone():
    torch.manual_seed(1)
    few = coloured_textures(3, size=16, seed=7)
    torch.manual_seed(2)
    assert torch.equal(coloured_textures(5, size=16, seed=7)[:3], few)
    assert not torch.equal(coloured_textures(3, size=16, seed=8), few)


def test_blend_keeps_the_texture_off_the_digit_and_inverts_it_on_it():
    textures = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    digits = torch.zeros(2, 1, 4, 4)
    digits[:, :, 1:3, 1:3] = 1
    blended = difference_blend(digits, textures)
    assert torch.equal(blended[:, :, 0], textures[:, :, 0])
    torch.testing.assert_close(blended[:, :, 1:3, 1:3], 1 - textures[:, :, 1:3, 1:3])
    assert torch.equal(difference_blend(digits.expand(-1, 3, -1, -1), textures), blended)
