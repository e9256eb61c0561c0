"""The base class of training procedures: training steps, one at a time or in chunks, and evaluation."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer
from typing_extensions import Self

from engine.data.keyed import mix
from engine.errors import UserError
from engine.speed.faster_forward import FasterForward
from engine.speed.threads import one_thread_an_operation
from engine.training.accounted_module import AccountedModule, Outcome
from engine.training.each_process import of_each_process, of_this_process
from engine.training.first_loss import first_loss, small_batch
from engine.training.initialization import initialize
from engine.training.lightning_internals import add_steps, allow_clipping
from engine.training.parameter_groups import parameter_groups
from engine.training.schedule import Schedule, lr_scheduler_config, step_at_epoch_end, training_steps
from engine.training.steps.chunks import single_steps_because
from engine.training.steps.linear_steps import Step, linear_step

logger = logging.getLogger(__name__)


class Procedure(AccountedModule):
    """Trains `network` with `loss`. A subclass defines the result of one batch (`compute`) and the metrics.

    A datamodule whose `chunk` is above 1 provides several mini-batches at once if nothing could notice (chunks.py).
    Each is still one optimizer step, but Lightning's overhead of about a millisecond is paid once per chunk.
    `global_step` counts optimizer steps in both cases, and all curves are drawn over it.

    `single_steps_because` is set in `setup`: why such a datamodule provides single mini-batches; None if it does not.
    """

    follows_chunks = True

    outputs = "numbers"
    """What the network's outputs are, as an export describes them."""

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
        if init is not None:
            initialize(network, init)
        if channels_last:
            network.to(memory_format=torch.channels_last)
        if compile:
            network.compile(**({} if compile is True else compile))
        self.takes_chunks = False
        self.single_steps_because: str | None = None
        self._threads = ExitStack()
        self._faster = FasterForward(network, channels_last=channels_last, freeze_batchnorm=freeze_batchnorm)
        self._validated = self._steps_are_over = self._loss_fits = False

    def forward(self, inputs: Tensor) -> Tensor:
        with nullcontext() if self.compiled else self._faster.modes(inputs):
            outputs: Tensor = self.network(self.laid_out(inputs))
        return outputs

    def laid_out(self, inputs: Tensor) -> Tensor:
        """The inputs; images in the network's memory format."""
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
        return Outcome(self.compared(predictions, targets), predictions, targets)

    def compared(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """The loss of predictions and targets, both (N, ...), a scalar. UserError if they do not fit the loss."""
        if self._loss_fits:
            loss: Tensor = self.loss(predictions, targets)
            return loss
        loss = first_loss(self.loss, predictions, targets)
        self._loss_fits = True
        return loss

    def linear_layer(self) -> nn.Module | None:
        """The linear layer, if the loss of its outputs is all there is to a step; else None."""
        return None

    # The training step -----------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        self.single_steps_because = single_steps_because(self.trainer, self, datamodule)
        self.takes_chunks = getattr(datamodule, "chunk", 1) > 1 and self.single_steps_because is None
        self.automatic_optimization = not self.takes_chunks

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        with small_batch(self.trainer):
            if self.takes_chunks:
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
        directly: Step | None = None
        for batch in chunk:
            step = first_step + len(outcomes)
            if step == self.trainer.max_steps:
                break
            self._key_random_layers(step)
            if directly is None and self._loss_fits:
                directly = linear_step(self.linear_layer(), self.loss, optimizer, batch)
            outcomes.append(directly(*batch) if directly else self._step(batch, optimizer, parameters))
            for scheduler in stepped:
                scheduler.step()
        add_steps(self.trainer, len(outcomes))
        self._account("train", outcomes)

    def _step(self, batch: Any, optimizer: Optimizer, parameters: Iterable[Tensor]) -> Outcome:
        """One step of a chunk, by autograd."""
        outcome = self.compute(batch)
        for parameter in parameters:  # optimizer.zero_grad(), without what it does around it
            parameter.grad = None
        outcome.loss.backward()
        optimizer.step()
        torch.clear_autocast_cache()  # of the weights as they were: autocast lasts for the whole chunk
        return Outcome(outcome.loss.detach(), outcome.predictions.detach(), outcome.targets)

    def _key_random_layers(self, step: int) -> None:
        """Seeds dropout and similar layers by the step, whatever was drawn before."""
        key = mix(self.seed, step)
        torch.default_generator.manual_seed(key)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(key)

    def on_train_start(self) -> None:
        self.train()  # Lightning takes the modes as it finds them
        for optimizer in self.trainer.optimizers if self.trainer.gradient_clip_val else ():
            allow_clipping(optimizer)
        self.move_account_state()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.single_steps_because:  # the bits of a step depend on the number of threads
            self._threads.enter_context(one_thread_an_operation())

    def teardown(self, stage: str) -> None:
        self._threads.close()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._threads.close()
        if 0 <= self.trainer.max_steps <= self.global_step and not self.trainer.should_stop:
            # Without it, Lightning would not validate an epoch that max_steps cuts short.
            self.trainer.should_stop = self._steps_are_over = True

    def on_train_epoch_end(self) -> None:
        self._log_epoch("train")
        values = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        monitor, metrics = self.scheduler.get("monitor"), self.logged_before | values
        step_at_epoch_end(self.trainer, monitor, metrics, in_chunks=self.takes_chunks, validated=self._validated)

    def on_train_end(self) -> None:
        if self._steps_are_over:  # of a tuner's trial, say, after which the training itself starts
            self.trainer.should_stop = self._steps_are_over = False

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
        checkpoint["procedure"] = of_each_process(self.account_state())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "procedure" not in checkpoint:
            raise UserError("The checkpoint is refused: its part procedure is missing, so no Procedure has saved it.")
        self.load_account_state(of_this_process(checkpoint["procedure"]))

    # Optimization ----------------------------------------------------------------------------------------------------

    def trainable(self) -> nn.Module:
        """The part of the network that is trained; by default all of it. Parameters outside the network always are."""
        return self.network

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """By name: those of `trainable()` under its own names, and those of the loss as `loss.…`."""
        named = dict(self.trainable().named_parameters())
        apart = {*self.network.parameters(), *named.values()}
        return named | {name: parameter for name, parameter in self.named_parameters() if parameter not in apart}

    @property
    def lr(self) -> float:
        """The optimizer's learning rate, where Lightning's LearningRateFinder looks for it and sets it."""
        rate: float = self.optimizer.keywords["lr"]  # type: ignore[attr-defined]
        return rate

    @lr.setter
    def lr(self, rate: float) -> None:
        logger.warning("The learning rate is %g from here on, instead of the config's optimizer.lr=%g.", rate, self.lr)
        self.optimizer = partial(self.optimizer, lr=rate)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer(parameter_groups(self.trained_parameters(), self.param_groups))
        if self.scheduler["scheduler"] is None:
            return optimizer
        config = lr_scheduler_config(self.scheduler, optimizer, self.total_steps)
        if self.takes_chunks:  # Lightning steps none then, and says of these keys that it ignores them
            config = {key: config[key] for key in ("scheduler", "interval")}
        return {"optimizer": optimizer, "lr_scheduler": config}  # type: ignore[return-value]

    # A method: what a property of an nn.Module raises may turn into "has no attribute".
    def total_steps(self) -> int:
        """Optimizer steps of the whole training. UserError if neither max_epochs nor max_steps determines them."""
        return training_steps(self.trainer, in_chunks=self.takes_chunks)
