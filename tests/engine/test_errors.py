import pytest
from torch.utils.data import DataLoader, Dataset

from engine.errors import DataError


class Broken(Dataset[int]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise DataError("a.jpg is empty: remove it.")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_worker_hands_on_the_sentence_alone(num_workers: int) -> None:
    with pytest.raises(DataError) as caught:
        next(iter(DataLoader(Broken(), num_workers=num_workers)))
    assert str(caught.value) == "a.jpg is empty: remove it."
