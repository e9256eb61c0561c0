"""TensorBoard's GRAPHS tab."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from callbacks.loggers import tensorboard_loggers
from engine.training.procedure import Procedure


class NetworkGraph(Callback):
    """Logs the network's graph for one example, with its operations grouped by module.

    Runs the network once, in the first process. Not available for compiled networks, with fsdp, where no process has
    all weights, or for LightningModules that are no Procedure: what they call their network may take other inputs.
    """

    follows_chunks = True

    drawn: ClassVar[dict[str, bytes]] = {}  # cached per process, for sweeps

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        shape = pl_module.hparams.get("data", {}).get("input_shape")
        alone = not isinstance(trainer.strategy, FSDPStrategy) and not getattr(pl_module, "compiled", False)
        loggers = tensorboard_loggers(trainer)
        network: Any = getattr(pl_module, "network", None) if isinstance(pl_module, Procedure) else None
        if trainer.ckpt_path is not None or shape is None or network is None or not alone or not loggers:
            return
        key = repr((pl_module.hparams.get("network"), shape))
        if key not in self.drawn:
            example = torch.zeros(1, *shape, device=pl_module.device, dtype=next(network.parameters()).dtype)
            self.drawn[key] = network_graph(network, example).SerializeToString()
        for logger in loggers:
            logger.experiment._get_file_writer().add_event(Event(graph_def=self.drawn[key]))


@torch.no_grad()
def network_graph(network: nn.Module, example: Tensor) -> GraphDef:
    """The graph of `network` in eval mode for `example`, a batch of one."""
    recorder = Recorder(example)
    with in_eval_mode(network), recorder.following(network), recorder:
        output = network(example)
    recorder.add("output", "Output", [output], ())
    return GraphDef(node=recorder.nodes)


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class Recorder(TorchFunctionMode):
    """While active, records a node for every torch function that computes a tensor from the input, even indirectly."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self.nodes: list[NodeDef] = []
        self._scopes: list[str] = []
        self._counts: dict[str, int] = {}
        self._makers: dict[int, str] = {}
        self._kept: list[Any] = []  # keeps the tensors' ids unique
        self.add("input", "Placeholder", [], (example,))

    @contextmanager
    def following(self, network: nn.Module) -> Iterator[None]:
        """Names nodes after the module that is running."""
        handles = []
        for name, module in network.named_modules():
            scope = "/".join(["network", *name.split(".")]).rstrip("/")
            handles.append(module.register_forward_pre_hook(lambda *_, scope=scope: self._scopes.append(scope)))
            handles.append(module.register_forward_hook(lambda *_: self._leave(), always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _leave(self) -> None:
        self._scopes.pop()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = [tensor for tensor in tensors_in([args, kwargs]) if id(tensor) in self._makers]
        made = tuple(tensors_in(result))
        if given and made:
            name = func.__name__.strip("_")
            if name == "get":  # an attribute, such as .T
                self._makers[id(made[0])] = self._makers[id(given[0])]
                self._kept.append(made)
            else:
                self.add("/".join([*self._scopes[-1:], name]), name, given, made)
        return result

    def add(self, name: str, operation: str, given: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        count = self._counts[name] = self._counts.get(name, 0) + 1
        unique = name if count == 1 else f"{name}_{count}"
        shapes = [TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in tensor.shape]) for tensor in made]
        attributes = {"_output_shapes": AttrValue(list=AttrValue.ListValue(shape=shapes))}
        sources = [self._makers[id(tensor)] for tensor in given]
        self.nodes.append(NodeDef(name=unique, op=operation, input=sources, attr=attributes))
        self._kept.append(made)
        for position, tensor in enumerate(made):
            self._makers[id(tensor)] = f"{unique}:{position}" if position else unique


def tensors_in(values: Any) -> Iterator[Tensor]:
    """All tensors in nested containers."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from tensors_in(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)
