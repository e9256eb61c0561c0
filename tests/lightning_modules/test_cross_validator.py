from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningDataModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn

from engine.data.stratified_folds import stratified_folds
from engine.data.tensor_loader import TensorDataLoader
from engine.features.folds import FoldLoader, heads_before
from lightning_modules.cross_validator import CrossValidator
from networks.pretrained import Pretrained
from tests.noise import PLAIN

NUM_FOLDS, NUM_REPEATS, SIZE = 3, 2, 22
HEADS = range(NUM_FOLDS * NUM_REPEATS)
SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01)
ADAM = partial(torch.optim.Adam, lr=0.05)


class Folds(LightningDataModule):
    """22 points of 5 features in two views, in two classes, and another look of each for validation."""

    classes = ("ants", "bees")
    num_repeats = NUM_REPEATS

    def __init__(self, chunk: int = 1, nested: bool = False) -> None:
        super().__init__()
        self.nested = nested
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(SIZE) % 2
        self.views = torch.randn(SIZE, 2, 5, generator=generator) + self.labels[:, None, None]
        self.plain = torch.randn(SIZE, 5, generator=generator) + self.labels[:, None]
        drawn = [stratified_folds(self.labels, NUM_FOLDS, seed=0, repeat=r) + r * NUM_FOLDS for r in range(NUM_REPEATS)]
        self.held_out = torch.stack(drawn, dim=1)
        self.choosing = heads_before(self.held_out, NUM_FOLDS)
        self.chunk = chunk

    def train_dataloader(self) -> FoldLoader:
        away = torch.cat([self.held_out, self.choosing], dim=1) if self.nested else self.held_out
        return FoldLoader(self.views, self.labels, away, batch_size=4, shuffle=True, seed=0, chunk=self.chunk)

    def val_dataloader(self) -> TensorDataLoader:
        choosing = [self.choosing] if self.nested else []
        return TensorDataLoader(self.plain, self.labels, self.held_out, *choosing, batch_size=9, shuffle=False, seed=0)


class Outputs(Callback):
    """Keeps what the validation steps gave."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.batches: list[Tensor] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.batches.append(outputs)


def validator(**changes: Any) -> CrossValidator:
    torch.manual_seed(0)
    network = Pretrained(backbone=nn.Flatten(), num_features=5, num_classes=2, mean=(0.5,) * 3, std=(0.25,) * 3)
    settings = {
        "network": network,
        "loss": nn.CrossEntropyLoss(),
        "optimizer": SGD,
        **PLAIN,
        "scheduler": {"scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=2), "interval": "epoch"},
        "num_classes": 2,
        "num_folds": NUM_FOLDS,
        "num_repeats": NUM_REPEATS,
        "choose_epoch_by": None,
    }
    return CrossValidator(**(settings | changes))


def trainer(folder: Path, *callbacks: Callback, max_epochs: int = 3) -> Trainer:
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    saved = ModelCheckpoint(folder / "checkpoints", "last", enable_version_counter=False)
    return Trainer(
        accelerator="cpu",
        max_epochs=max_epochs,
        default_root_dir=folder,
        logger=False,
        callbacks=[saved, *callbacks],
        **quiet,
    )


def trained_alone(head: nn.Linear, number: int, optimizer: Any) -> nn.Linear:
    """The plain loop over one head's mini-batches."""
    loader, stepping = Folds().train_dataloader(), optimizer(head.parameters())
    for epoch in range(3):
        for group in stepping.param_groups:
            group["lr"] = optimizer.keywords["lr"] * 0.1 ** (epoch // 2)
        loader.set_epoch(epoch)
        for features, labels in loader:
            stepping.zero_grad()
            nn.functional.cross_entropy(head(features[number]), labels[number]).backward()
            stepping.step()
    return head


class Heads(Callback):
    """Keeps all heads as they are after each epoch."""

    def __init__(self) -> None:
        self.after: list[list[nn.Linear]] = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.after.append(alone(pl_module))


def alone(module: CrossValidator) -> list[nn.Linear]:
    """The heads, one by one, as they are now."""
    heads = [nn.Linear(5, 2) for _ in HEADS]
    for number, head in enumerate(heads):
        head.load_state_dict({name: tensor[number].clone() for name, tensor in module.heads.state_dict().items()})
    return heads


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_each_head_ends_as_if_trained_alone(optimizer: Any, chunk: int, tmp_path: Path) -> None:
    module = validator(optimizer=optimizer)
    heads = alone(module)
    assert not torch.equal(heads[0].weight, heads[1].weight)
    trainer(tmp_path).fit(module, Folds(chunk))
    for number, head in enumerate(heads):
        trained_alone(head, number, optimizer)
        torch.testing.assert_close(module.heads.weight[number], head.weight, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(module.heads.bias[number], head.bias, rtol=1e-5, atol=1e-6)


def test_each_photo_is_judged_by_the_heads_that_never_saw_it(tmp_path: Path) -> None:
    module, folds, outputs, fitting = validator(), Folds(), Outputs(), trainer(tmp_path)
    fitting.callbacks.append(outputs)  # type: ignore[attr-defined]
    fitting.fit(module, folds)
    heads = alone(module)
    logits = torch.stack([heads[h](folds.plain[i]) for i in range(SIZE) for h in folds.held_out[i]]).detach()
    labels = folds.labels.repeat_interleave(NUM_REPEATS)
    right = (logits.argmax(1) == labels).float()

    metrics = fitting.callback_metrics
    accuracies = [right[folds.held_out.flatten() == head].mean().item() for head in HEADS]
    assert metrics["val/loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert metrics["val/acc"] == pytest.approx(sum(accuracies) / len(HEADS))
    assert metrics["val/acc_std"] == pytest.approx(torch.tensor(accuracies).std().item())
    assert metrics["val/acc_ants"] == pytest.approx(right[labels == 0].mean().item())
    assert metrics["val/acc_bees"] == pytest.approx(right[labels == 1].mean().item())
    assert 0 <= metrics["val/acc_low"] < metrics["val/acc"] < metrics["val/acc_high"] <= 1
    probabilities = logits.softmax(1).view(SIZE, NUM_REPEATS, 2).mean(1)
    torch.testing.assert_close(torch.cat(outputs.batches).softmax(1), probabilities)


def test_heads_before_are_those_of_the_fold_before() -> None:
    assert heads_before(torch.tensor([0, 1, 2, 3, 4, 5]), 3).tolist() == [2, 0, 1, 5, 3, 4]


@pytest.mark.parametrize("by", ["acc", "loss"])
def test_nested_accuracy_is_that_of_epochs_chosen_on_other_photos(by: str, tmp_path: Path) -> None:
    folds, kept = Folds(nested=True), Heads()
    module = validator(choose_epoch_by=by, optimizer=partial(torch.optim.SGD, lr=0.05))
    fitting = trainer(tmp_path, kept, max_epochs=6)
    fitting.fit(module, folds)

    expected, epochs = [], []
    for number in HEADS:
        repeat, fold = divmod(number, NUM_FOLDS)
        own = folds.held_out[:, repeat]
        choosing, judging = own == repeat * NUM_FOLDS + (fold + 1) % NUM_FOLDS, own == number
        best, chosen = -float("inf"), (0, 0.0)
        for epoch, heads in enumerate(kept.after):
            logits = heads[number](folds.plain).detach()
            right = (logits.argmax(1) == folds.labels).float()
            loss = nn.functional.cross_entropy(logits[choosing], folds.labels[choosing]).item()
            score = round(-loss, 6) if by == "loss" else right[choosing].mean().item()
            if score > best:
                best, chosen = score, (epoch, right[judging].mean().item())
        epochs.append(chosen[0] + 1)
        expected.append(chosen[1])
    assert len(set(epochs)) > 1, "the heads choose alike: the test would see no difference"
    assert [head["epoch"] for head in module.choice.heads()] == epochs
    assert [head["acc"] for head in module.choice.heads()] == pytest.approx(expected)
    assert fitting.callback_metrics["val/nested_acc"] == pytest.approx(sum(expected) / len(expected))
    assert fitting.callback_metrics["val/nested_acc_std"] == pytest.approx(torch.tensor(expected).std().item())


def test_no_head_trains_on_what_chooses_its_epoch() -> None:
    folds = Folds(nested=True)
    for number, part in enumerate(folds.train_dataloader().training_parts):
        repeat, fold = divmod(number, NUM_FOLDS)
        left = repeat * NUM_FOLDS + (fold + 2) % NUM_FOLDS
        assert part.tolist() == (folds.held_out[:, repeat] == left).nonzero().flatten().tolist()


def test_a_resumed_one_has_chosen_the_same_epochs(tmp_path: Path) -> None:
    straight, first, second = (validator(choose_epoch_by="acc") for _ in range(3))
    trainer(tmp_path / "straight").fit(straight, Folds(nested=True))
    trainer(tmp_path / "halted", max_epochs=2).fit(first, Folds(nested=True))
    last = tmp_path / "halted" / "checkpoints" / "last.ckpt"
    with pytest.warns(UserWarning, match="exists and is not empty"):
        trainer(tmp_path / "halted").fit(second, Folds(nested=True), ckpt_path=last, weights_only=True)
    assert second.choice.heads() == straight.choice.heads()


def test_training_figures_are_means_over_the_heads(tmp_path: Path) -> None:
    module, folds = validator(optimizer=partial(torch.optim.SGD, lr=0.0)), Folds()
    fitting = trainer(tmp_path, max_epochs=1)
    fitting.fit(module, folds)
    heads, batches = alone(module), list(folds.train_dataloader())
    pairs = [(head(x[n]), y[n]) for x, y in batches for n, head in enumerate(heads)]
    logits, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    assert fitting.callback_metrics["train/loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    assert fitting.callback_metrics["train/acc"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert module.examples_seen == len(labels)


def test_network_of_a_checkpoint_answers_with_the_mean_logits(tmp_path: Path) -> None:
    module = validator()
    trainer(tmp_path).fit(module, Folds())
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    head = nn.Linear(5, 2)
    head.load_state_dict({name: state[f"network.head.{name}"] for name in ("weight", "bias")})
    inputs = torch.randn(4, 5)
    torch.testing.assert_close(head(inputs), torch.stack([one(inputs) for one in alone(module)]).mean(0))


def test_resume_ends_with_the_same_bits(tmp_path: Path) -> None:
    straight, first, second = validator(), validator(), validator()
    trainer(tmp_path / "straight").fit(straight, Folds())
    trainer(tmp_path / "halted", max_epochs=1).fit(first, Folds())
    with torch.no_grad():
        second.heads.weight.zero_()
    last = tmp_path / "halted" / "checkpoints" / "last.ckpt"
    with pytest.warns(UserWarning, match="exists and is not empty"):
        trainer(tmp_path / "halted").fit(second, Folds(), ckpt_path=last, weights_only=True)
    assert torch.equal(second.heads.weight, straight.heads.weight)
    assert torch.equal(second.heads.bias, straight.heads.bias)


def test_photos_in_the_place_of_folds_are_refused(tmp_path: Path) -> None:
    class Photos(LightningDataModule):
        def train_dataloader(self) -> TensorDataLoader:
            return TensorDataLoader(torch.rand(4, 3, 8, 8), torch.zeros(4).long(), batch_size=2, shuffle=True, seed=0)

        val_dataloader = train_dataloader

    with pytest.raises(ValueError, match="needs cached features: it does not support cache=false"):
        trainer(tmp_path).fit(validator(), Photos())
