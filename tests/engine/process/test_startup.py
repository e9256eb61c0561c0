import gc
import subprocess
import sys
from contextlib import suppress

import pytest

from engine.process.startup import quick_imports
from tests.conftest import ROOT

STARTED = """
import gc, sys
from engine.process.startup import DeferredModule, quick_imports
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
with quick_imports():
    collections.clear()
    import torchvision, pytorch_lightning
    assert collections == []
assert gc.isenabled()
assert isinstance(sys.modules["torch._dynamo"], DeferredModule)
"""


def test_imports_put_off_what_no_run_needs_and_collect_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", STARTED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_as_before_whatever_happened(was_on: bool) -> None:
    try:
        if not was_on:
            gc.disable()
        with suppress(ImportError), quick_imports():
            assert not gc.isenabled()
            raise ImportError
        assert gc.isenabled() == was_on
    finally:
        gc.enable()


COMPILED = """
import sys, torch
if sys.argv[1] == "deferred":
    from engine.process.startup import prepare_imports
    prepare_imports()
import pytorch_lightning, torchvision
from lightning_fabric.wrappers import _unwrap_compiled
from torch._dynamo import OptimizedModule

@torch._dynamo.disable
def outside(x):  # a graph break, as where libraries use the decorator at import
    return x * torch.tensor(2.0)

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x):
        return outside(self.layer(x)).relu()

torch.manual_seed(0)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=0.1)  # made before anything is compiled
assert not isinstance(net, OptimizedModule)
compiled = torch.compile(net, backend="aot_eager")
assert isinstance(compiled, OptimizedModule)
assert _unwrap_compiled(compiled)[0] is net
for _ in range(3):
    optimizer.zero_grad()
    compiled(torch.ones(2, 4)).sum().backward()
    optimizer.step()
print(net.layer.weight.tolist(), torch.export.export(torch.nn.Linear(4, 2), (torch.ones(1, 4),)).graph)
"""


def test_compiled_code_runs_as_without_the_deferral() -> None:
    """Weights, exports, and what Lightning asks of a compiled module."""
    outputs = [
        subprocess.run([sys.executable, "-c", COMPILED, way], cwd=ROOT, capture_output=True, text=True, check=True)
        for way in ("deferred", "plain")
    ]
    assert outputs[0].stdout == outputs[1].stdout != ""


PLOTTED = """
import sys
from engine.process.startup import quick_imports
with quick_imports():
    import pytorch_lightning, torchmetrics
    assert not any(name.startswith("matplotlib") for name in sys.modules)
    from matplotlib import colors, figure  # as a user's module does
    assert colors.Normalize and figure.Figure
import matplotlib
matplotlib.use("Agg")
import torch
metric = torchmetrics.classification.MulticlassConfusionMatrix(num_classes=3)
metric.update(torch.tensor([0, 1]), torch.tensor([0, 2]))
figure, axes = metric.plot()
assert isinstance(axes, matplotlib.axes.Axes)
metric = torchmetrics.classification.MultilabelConfusionMatrix(num_labels=3)  # a grid of axes, some of them removed
metric.update(torch.ones(2, 3), torch.ones(2, 3).long())
figure, axes = metric.plot()
assert len(axes) == 3
"""


def test_matplotlib_is_put_off_and_torchmetrics_still_plots() -> None:
    done = subprocess.run([sys.executable, "-c", PLOTTED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


SUMMARY = """
import sys
from engine.process.startup import quick_imports
with quick_imports():
    import torch, pytorch_lightning
    from pytorch_lightning.utilities.model_summary import ModelSummary
assert not hasattr(sys.modules["torch.utils.flop_counter"], "__file__")
class Module(pytorch_lightning.LightningModule):
    example_input_array = torch.ones(1, 4)
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)
    def forward(self, x):
        return self.layer(x)
assert ModelSummary(Module(), max_depth=-1).total_flops == 16
"""


def test_operations_are_counted_by_a_module_imported_when_needed() -> None:
    done = subprocess.run([sys.executable, "-c", SUMMARY], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
