"""Decoded photos that stay in memory."""

from collections.abc import Callable

from torch import Tensor


class PhotoMemory:
    """The first photos that a process reads, as many as there is room for; the others are read each time.

    Which ones stay has no effect on what is given.
    """

    def __init__(self, room: int) -> None:
        self.room = room  # bytes that are left
        self._kept: dict[int, Tensor] = {}

    def get(self, index: int, read: Callable[[], Tensor]) -> Tensor:
        """Photo `index`, which `read` reads; the caller may change it."""
        if index in self._kept:
            return self._kept[index].clone()
        photo = read()
        if photo.nbytes <= self.room:
            self.room -= photo.nbytes
            self._kept[index] = photo.clone()
        return photo
