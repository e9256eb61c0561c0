"""What every training procedure shares: one training step, plain or in chunks, and its exact continuation."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal, TypedDict

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.overrides import TorchFunctionMode
from typing_extensions import Self

from engine.data.keyed import mix
from engine.speed.depthwise import FastDepthwiseGradients
from engine.speed.folded_batchnorm import FoldedBatchNorm
from engine.speed.threads import one_thread_an_operation
from engine.training.accounted_module import AccountedModule, Outcome
from engine.training.exact_resume import go_on, settle, validation_is_due
from engine.training.initialization import initialize
from engine.training.parameter_groups import parameter_groups


class Schedule(TypedDict):
    """How the learning rate goes: `scheduler(optimizer)`, stepped after each `interval`; None: it stays as it is."""

    interval: Literal["epoch", "step"]
    scheduler: Callable[..., LRScheduler] | None


class Procedure(AccountedModule):
    """Trains `network` with `loss`; a subclass says what one batch gives (`compute`) and which metrics are kept.

    A datamodule whose `chunk` is above 1 hands over lists of mini-batches. Each mini-batch is then one optimizer
    step as always, but Lightning's own cost, about a millisecond, is paid once a chunk. `global_step` counts optimizer
    steps in both cases, and all curves are drawn over it.
    """

    def __init__(
        self,
        *,
        network: nn.Module,
        loss: nn.Module,
        optimizer: Callable[..., Optimizer],
        scheduler: Schedule,
        init: str | None,
        param_groups: Sequence[Mapping[str, Any]] | None,
        freeze_batchnorm: bool,
        channels_last: bool,
        compile: bool | Mapping[str, Any],
        seed: int,
        outputs: str,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.param_groups = param_groups
        self.freeze_batchnorm = freeze_batchnorm
        self.channels_last = channels_last
        self.compiled = bool(compile)
        self.seed = seed
        self.outputs = outputs  # what the network's outputs are, in words
        if init is not None:
            initialize(network, init)
        if channels_last:
            network.to(memory_format=torch.channels_last)
        if compile:
            network.compile(**({} if compile is True else compile))
        self._folded: FoldedBatchNorm | None = None
        self._gradients: dict[str, Tensor] = {}  # that were accumulated before a restart
        self._validated = False

    def forward(self, inputs: Tensor) -> Tensor:
        with ExitStack() as modes:
            for mode in self._faster_on_the_cpu(inputs):
                modes.enter_context(mode)
            outputs: Tensor = self.network(self.laid_out(inputs))
        return outputs

    def _faster_on_the_cpu(self, inputs: Tensor) -> Iterator[TorchFunctionMode]:
        """Modes that compute the same on faster ways. Only where there are such ways: a mode sees every operation."""
        if self.compiled or inputs.device.type != "cpu" or inputs.ndim != 4:
            return
        if torch.is_grad_enabled() and (self.channels_last or torch.is_autocast_enabled("cpu")):
            yield FastDepthwiseGradients()
        if self.freeze_batchnorm:
            if self._folded is None:
                self._folded = FoldedBatchNorm(self.network, inputs[:1])
            yield self._folded

    def laid_out(self, inputs: Tensor) -> Tensor:
        """The same values, of images in the memory format that the network is in."""
        return (
            inputs.contiguous(memory_format=torch.channels_last) if self.channels_last and inputs.ndim == 4 else inputs
        )

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.freeze_batchnorm:
            for module in self.network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def compute(self, batch: Any) -> Outcome:
        """One mini-batch's loss; here of `(inputs, targets)`."""
        inputs, targets = batch
        predictions = self(inputs)
        return Outcome(self.loss(predictions, targets), predictions, targets)

    # The training step -----------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        if getattr(datamodule, "chunk", 1) > 1 and not self._may_work_in_chunks():
            datamodule.chunk = 1  # type: ignore[union-attr]
        self.automatic_optimization = getattr(datamodule, "chunk", 1) == 1

    def _may_work_in_chunks(self) -> bool:
        """False for what Lightning must do around each mini-batch: accumulate, clip, convert, scale, synchronise."""
        trainer = self.trainer
        return (
            trainer.accumulate_grad_batches == 1
            and not trainer.gradient_clip_val
            and trainer.precision in ("32-true", "bf16-mixed")
            and trainer.world_size == 1
            and not isinstance(trainer.limit_train_batches, int)
        )

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        if not self.automatic_optimization:
            # Chunks are for steps so short that threads would only wait for each other.
            with one_thread_an_operation():
                self._train_on_chunk(batch)
            return None
        self._key_random_layers(self.global_step)
        outcome = self.compute(batch)
        self._account("train", [outcome])
        return outcome.loss

    def _train_on_chunk(self, chunk: Iterable[Any]) -> None:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        first_step = self.global_step
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        stepped = [s.scheduler for s in self.trainer.lr_scheduler_configs if s.interval == "step"]
        outcomes: list[Outcome] = []
        for batch in chunk:
            step = first_step + len(outcomes)
            if step == self.trainer.max_steps:
                break
            self._key_random_layers(step)
            outcome = self.compute(batch)
            for parameter in parameters:  # optimizer.zero_grad(), without what it does around it
                parameter.grad = None
            outcome.loss.backward()
            optimizer.step()
            torch.clear_autocast_cache()  # of the weights as they were: autocast lasts for the whole chunk
            for scheduler in stepped:
                scheduler.step()
            outcomes.append(Outcome(outcome.loss.detach(), outcome.predictions.detach(), outcome.targets))
        # Lightning counts the steps of its own optimizer wrapper; the mini-batches went past it.
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.total.ready += len(outcomes)
        progress.total.completed += len(outcomes)
        self._account("train", outcomes)

    def _key_random_layers(self, step: int) -> None:
        """Dropout and its kind draw from a stream of their own at each step, whatever was drawn before."""
        key = mix(self.seed, step)
        torch.default_generator.manual_seed(key)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(key)

    def on_train_start(self) -> None:
        self.train()  # Lightning takes the modes as it finds them
        go_on(self.trainer)
        self.move_account_state()
        for name, gradient in self._gradients.items():
            self.get_parameter(name).grad = gradient.to(self.device)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if 0 <= self.trainer.max_steps <= self.global_step:
            self.trainer.should_stop = True  # without it, an epoch that max_steps cuts short is not validated

    def on_train_epoch_end(self) -> None:
        self._log_epoch("train")
        if not self.automatic_optimization:
            for config in self.trainer.lr_scheduler_configs:
                if config.interval == "epoch":
                    config.scheduler.step()  # type: ignore[call-arg]

    # Evaluation ------------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self._evaluate("test", batch)

    def _evaluate(self, split: str, batch: Any) -> Tensor:
        outcome = self.compute(batch)
        self._account(split, [outcome])
        return outcome.predictions

    def on_validation_start(self) -> None:
        self._validated = False

    def on_validation_epoch_end(self) -> None:
        self._log_epoch("val")
        self._validated = True

    def on_test_epoch_end(self) -> None:
        self._log_epoch("test")

    # Checkpoints -----------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        settle(checkpoint["loops"]["fit_loop"], validation_due=validation_is_due(self.trainer, self._validated))
        unfinished = self.trainer.fit_loop._should_accumulate()
        gradients = {n: p.grad for n, p in self.named_parameters() if p.grad is not None} if unfinished else {}
        checkpoint["procedure"] = {"gradients": gradients, **self.account_state()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._gradients = checkpoint["procedure"]["gradients"]
        self.load_account_state(checkpoint["procedure"])

    # Optimization ----------------------------------------------------------------------------------------------------

    def trainable(self) -> nn.Module:
        """The module whose parameters are trained; here the whole network."""
        return self.network

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(parameter_groups(self.trainable(), self.param_groups))
        factory = self.scheduler["scheduler"]
        if factory is None:
            return optimizer
        spans_training = getattr(factory, "keywords", {}).get("total_steps", 0) is None
        scheduler = factory(optimizer, total_steps=self.total_steps) if spans_training else factory(optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": self.scheduler["interval"]},
        }

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training: those of the Trainer's max_epochs. ValueError if it has no end."""
        trainer = self.trainer
        steps = trainer.estimated_stepping_batches
        if steps == float("inf"):
            raise ValueError("the number of steps of a training without an end was asked for: give trainer.max_epochs")
        if self.automatic_optimization:
            return int(steps)
        loader: Any = trainer.train_dataloader
        in_epoch = min(loader.num_batches, int(trainer.num_training_batches) * loader.chunk)
        in_all = in_epoch * (trainer.max_epochs or 1)
        return in_all if trainer.max_steps == -1 else min(in_all, trainer.max_steps)
