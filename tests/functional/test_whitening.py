import torch
from torch.nn import functional as F

from functional.whitening import whitening_filters


def correlated_images() -> torch.Tensor:
    noise = torch.randn(50, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    mix = torch.tensor([[1.0, 0.5, 0.2], [0.0, 0.7, 0.3], [0.1, 0.0, 0.4]])
    return F.avg_pool2d(torch.einsum("ij,njhw->nihw", mix, noise), 2, stride=1) + 0.3


def second_moments(images: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    responses = F.conv2d(images, filters).double().transpose(0, 1).flatten(1)
    return responses @ responses.T / responses.shape[1]


def test_responses_have_the_identity_as_second_moments():
    images = correlated_images()
    filters = whitening_filters(images, 2, eps=0.0)
    assert filters.shape == (12, 3, 2, 2)
    torch.testing.assert_close(second_moments(images, filters), torch.eye(12).double(), atol=1e-4, rtol=0)


def test_eps_shrinks_the_weak_directions_and_strong_ones_come_first():
    images, eps = correlated_images(), 0.1
    variances = 1 / whitening_filters(images, 2, eps=0.0).flatten(1).norm(dim=1) ** 2
    assert (variances.diff() <= 0).all()
    expected = torch.diag(variances / (variances + eps)).double()
    moments = second_moments(images, whitening_filters(images, 2, eps=eps))
    torch.testing.assert_close(moments, expected, atol=1e-4, rtol=0)
