import torch

from engine.data.keyed import keyed_generator


def draws(*key: int) -> list[float]:
    return torch.rand(4, generator=keyed_generator(*key)).tolist()


def test_the_key_alone_decides():
    torch.manual_seed(1)
    first = draws(0, 3, 7)
    torch.manual_seed(2)
    assert draws(0, 3, 7) == first
    keys = [(0, 3, 7), (0, 7, 3), (1, 3, 7), (0, 3), (0, 37), (-1, 3, 7)]
    assert len({tuple(draws(*key)) for key in keys}) == len(keys)


def test_the_same_in_every_process():
    # Held fixed: another value would change the data of every run that is resumed or repeated.
    assert keyed_generator(5, 6).initial_seed() == 7815157276759868727


def test_neighbouring_keys_are_uncorrelated():
    first = torch.stack([torch.rand(2, generator=keyed_generator(0, index)) for index in range(2000)])
    assert abs(first.mean() - 0.5) < 0.02
    neighbours = torch.corrcoef(torch.stack([first[:-1, 0], first[1:, 0], first[:-1, 1]]))
    assert (neighbours - torch.eye(3)).abs().max() < 0.08
