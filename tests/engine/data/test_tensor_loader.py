from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

import engine.data.tensor_loader as tensor_loader
from engine.data.chunk import Chunk
from engine.data.tensor_loader import TensorDataLoader

SIZE = 23
X = torch.arange(SIZE * 2).view(SIZE, 2)
Y = torch.arange(SIZE) + 100


def build(**settings: Any) -> TensorDataLoader:
    return TensorDataLoader(X, Y, **{"batch_size": 4, "shuffle": True, "seed": 0, **settings})


def batches(loader: TensorDataLoader, epoch: int = 0) -> list[Any]:
    loader.set_epoch(epoch)
    result = []
    for item in loader:
        result += item if isinstance(item, Chunk) else [item]
    return result


def seen(items: list[Any]) -> list[int]:
    """The examples' indices, in order."""
    return [int(y) - 100 for _, targets in items for y in targets]


def test_batches_are_slices_in_order_without_shuffling():
    items = batches(build(shuffle=False))
    assert len(build(shuffle=False)) == len(items) == 6
    for number, (inputs, targets) in enumerate(items):
        assert torch.equal(inputs, X[4 * number : 4 * number + 4])
        assert torch.equal(targets, Y[4 * number : 4 * number + 4])


def test_every_example_comes_once_an_epoch_in_a_new_order():
    first, second = seen(batches(build(), 0)), seen(batches(build(), 1))
    assert sorted(first) == sorted(second) == list(range(SIZE))
    assert first != second
    assert first == seen(batches(build(), 0))
    assert first != seen(batches(build(seed=1), 0))


def test_inputs_stay_with_their_targets():
    for inputs, targets in batches(build()):
        assert torch.equal(inputs, X[targets - 100])


def test_drop_last_leaves_out_the_rest():
    items = batches(build(drop_last=True))
    assert [len(targets) for _, targets in items] == [4] * 5
    assert len(build(drop_last=True)) == 5


@pytest.mark.parametrize("chunk", [2, 4, 6, 100])
def test_chunks_hold_the_same_batches(chunk):
    loader = build(chunk=chunk)
    chunks = list(loader)
    assert all(type(item) is Chunk for item in chunks)
    assert len(chunks) == len(loader) == -(-6 // chunk)
    assert [len(item) for item in chunks[:-1]] == [chunk] * (len(chunks) - 1)
    assert seen([batch for item in chunks for batch in item]) == seen(batches(build()))


@pytest.mark.parametrize("block_bytes", [1, 200, 1 << 20])
def test_the_transform_sees_every_input_once_with_its_index_and_epoch(monkeypatch, block_bytes):
    monkeypatch.setitem(tensor_loader.BLOCK_BYTES, "cpu", block_bytes)
    calls = []

    def transform(inputs: torch.Tensor, indices: torch.Tensor, epoch: int) -> torch.Tensor:
        assert torch.equal(inputs, X[indices])
        calls.append(len(indices))
        return inputs.float() + epoch / 2

    items = batches(build(transform=transform, chunk=3), epoch=3)
    assert sum(calls) == SIZE
    assert max(calls) * 16 <= max(block_bytes, 4 * 16)  # a batch at least
    for inputs, targets in items:
        assert torch.equal(inputs, X[targets - 100] + 1.5)


@pytest.mark.parametrize("world_size", [2, 3, 30])
@pytest.mark.parametrize("drop_last", [False, True])
def test_shuffled_shares_are_disjoint_and_of_one_length(world_size, drop_last):
    shares = [
        seen(batches(build(batch_size=1, rank=rank, world_size=world_size, drop_last=drop_last), 2))
        for rank in range(world_size)
    ]
    order = seen(batches(build(batch_size=1), 2))
    length = SIZE // world_size if drop_last else -(-SIZE // world_size)
    for rank, share in enumerate(shares):
        assert share == [order[(rank + i * world_size) % SIZE] for i in range(length)]


def test_unshuffled_shares_hold_each_example_once():
    loaders = [build(shuffle=False, rank=rank, world_size=3) for rank in range(3)]
    assert sorted(index for loader in loaders for index in seen(batches(loader))) == list(range(SIZE))
    assert [len(loader) for loader in loaders] == [2, 2, 2]


@pytest.mark.parametrize("chunk", [1, 2])
def test_goes_on_from_the_middle_of_an_epoch(chunk):
    expected = seen(batches(build(), 1))
    loader = build(chunk=chunk)
    loader.set_epoch(1)
    iterator = iter(loader)
    next(iterator)
    next(iterator)
    state = loader.state_dict()
    assert state == {"epoch": 1, "samples": 2 * chunk * 4}

    resumed = build()
    iter(resumed)  # as Lightning does, to look
    resumed.load_state_dict(state)
    assert seen(batches(resumed, 1)) == expected[2 * chunk * 4 :]
    assert seen(batches(resumed, 1)) == expected  # the next pass is a whole one
    assert seen(batches(resumed, 2)) == seen(batches(build(), 2))


def test_a_finished_epoch_is_not_repeated_and_another_epoch_is_whole():
    loader = build()
    assert len(batches(loader, 1)) == 6
    resumed = build()
    resumed.load_state_dict(loader.state_dict())
    assert batches(resumed, 1) == []
    resumed.load_state_dict({"epoch": 1, "batch": 3})
    assert seen(batches(resumed, 2)) == seen(batches(build(), 2))


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"differ in length: \[23, 22\]"):
        TensorDataLoader(X, Y[:-1], batch_size=4, shuffle=False, seed=0)
    with pytest.raises(ValueError, match="at least 1"):
        build(chunk=0)


class Recorder(LightningModule):
    """Records what it is trained and validated on, and can stop in the middle, as a killed process does."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.stop_at = stop_at
        self.seen: list[tuple[int, int]] = []
        self.validated: list[int] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.global_step == self.stop_at:
            raise InterruptedError
        items = batch if isinstance(batch, Chunk) else [batch]
        self.seen += [(self.current_epoch, index) for index in seen(items)]
        return self.weight

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.validated += seen([batch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Saver(Callback):
    """Saves a checkpoint after every batch, named by the steps made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


def fit(folder: Path, module: Recorder, *, chunk: int, ckpt_path: Path | None = None) -> Trainer:
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        callbacks=[Saver(folder)],
    )
    trainer.fit(module, build(chunk=chunk), build(shuffle=False), ckpt_path=ckpt_path, weights_only=True)
    return trainer


@pytest.mark.parametrize("chunk", [1, 4])
def test_trains_and_validates_through_the_trainer(tmp_path, chunk):
    module = Recorder()
    trainer = fit(tmp_path, module, chunk=chunk)
    assert module.seen == [(epoch, index) for epoch in range(3) for index in seen(batches(build(), epoch))]
    assert module.validated == list(range(SIZE)) * 3
    assert trainer.global_step == 3 * -(-6 // chunk)


@pytest.mark.parametrize("stop_at", [1, 5, 6, 8, 12, 17])
def test_a_run_that_was_killed_sees_what_one_run_sees(tmp_path, stop_at):
    killed = Recorder(stop_at)
    with pytest.raises(InterruptedError):
        fit(tmp_path, killed, chunk=1)
    resumed = Recorder()
    fit(tmp_path / "resumed", resumed, chunk=1, ckpt_path=tmp_path / f"{stop_at}.ckpt")
    assert killed.seen + resumed.seen == [
        (epoch, index) for epoch in range(3) for index in seen(batches(build(), epoch))
    ]


@pytest.mark.parametrize(("size", "drop_last"), [(2, False), (3, False), (5, True), (7, False)])
def test_the_rest_of_an_epoch_may_come_in_batches_of_another_size(size: int, drop_last: bool) -> None:
    expected = seen(batches(build(), 1))
    loader = build()
    loader.set_epoch(1)
    iterator = iter(loader)
    for _ in range(3):
        next(iterator)
    other = build(batch_size=size, drop_last=drop_last)
    other.load_state_dict(loader.state_dict())
    other.set_epoch(1)
    done, rest = other.batches_done, list(other)
    assert done + len(rest) == len(other)
    left = expected[12:]
    assert seen(rest) == (left[: len(left) // size * size] if drop_last else left)


def test_a_position_in_batches_is_still_understood() -> None:
    loader = build()
    loader.load_state_dict({"epoch": 1, "batch": 2})
    assert loader.state_dict() == {"epoch": 1, "samples": 8}
