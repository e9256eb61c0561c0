"""A fast forward pass for a frozen backbone."""

import copy
import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.features.openvino_engine import ENGINES, OpenVino, engine_key
from engine.protocols import HasBackbone
from engine.speed.folded_batchnorm import fold_batchnorm
from engine.speed.threads import one_thread_an_operation

PRECISIONS = ("auto", "32", "bf16")
# Measured on 2 cores with AVX512-BF16: small batches keep a depthwise network's activations in the CPU caches. On a GPU
# batches must be large enough to hide the kernel launches.
BATCH_SIZE = {"cpu": 8, "cuda": 256}


class FrozenBackbone:
    """`network.features` in inference mode, with folded BatchNorm, channels-last, and in bf16 if the hardware has it.

    Maps images (N, 3, H, W) in [0, 1] to float32 features (N, num_features) on the CPU. If it computes on the CPU, each
    core processes its own batches, single-threaded, so the cores never wait for each other as the threads of a parallel
    operation do.

    `precision` is "32", "bf16" or "auto" (bf16 if the hardware supports it, else 32). `accelerator` is the Trainer's:
    a GPU is used if available, unless `accelerator` names the CPU. `engine` is torch or openvino; openvino runs on the
    CPU and caches the converted network in `cache_dir`.
    """

    def __init__(
        self,
        network: HasBackbone,
        precision: str,
        accelerator: str = "auto",
        *,
        engine: str = "torch",
        cache_dir: Path = Path("cache", "features"),
    ) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r} of the features: choose from {', '.join(PRECISIONS)}.")
        if engine not in ENGINES[1:]:
            raise ValueError(f"engine {engine!r} of the features: choose from {', '.join(ENGINES)}.")
        on_gpu = engine == "torch" and uses_gpu(accelerator)
        self.engine, self.cache_dir = engine, cache_dir
        self.device = torch.device("cuda" if on_gpu else "cpu")
        self.precision = ("bf16" if _computes_in_bf16(self.device) else "32") if precision == "auto" else precision
        self._network = network
        self._prepared: Any | None = None

    @property
    def key(self) -> dict[str, Any]:
        """Everything the features depend on except the images."""
        digest = hashlib.sha256()
        for name, tensor in self._network.backbone.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        for name in ("mean", "std"):  # of the network's own normalization (networks/pretrained.py)
            if isinstance(constant := getattr(self._network, name, None), Tensor):
                digest.update(constant.cpu().numpy().tobytes())
        return {
            "weights": digest.hexdigest(),
            "backbone": type(self._network.backbone).__name__,
            "precision": self.precision,
            "device": self.device.type,
            "torch": torch.__version__,
            **({"engine": engine_key()} if self.engine == "openvino" else {}),
        }

    def __call__(self, images: Tensor) -> Tensor:
        if self._prepared is None:
            self._prepared = self._prepare(images[:1])
        if self.engine == "openvino":
            return self._prepared(images)
        batches = images.split(BATCH_SIZE[self.device.type])
        if self.device.type != "cpu" or len(batches) == 1:
            return torch.cat([self._forward(batch) for batch in batches])
        with one_thread_an_operation() as cores, ThreadPoolExecutor(cores) as pool:
            return torch.cat(list(pool.map(self._forward, batches)))

    @torch.inference_mode()
    def _forward(self, images: Tensor) -> Tensor:
        assert self._prepared is not None
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        images = images.to(self.device, dtype).contiguous(memory_format=torch.channels_last)
        return self._prepared.features(images).float().cpu()

    def _prepare(self, image: Tensor) -> Any:
        network: Any = copy.deepcopy(self._network)
        network = network.cpu().eval().requires_grad_(False)
        if self.engine == "openvino":
            key = {name: value for name, value in self.key.items() if name != "precision"}
            return OpenVino(network, key, self.precision, image, self.cache_dir)
        folded = fold_batchnorm(network.backbone, image.cpu())
        network.backbone = folded
        network.to(self.device, memory_format=torch.channels_last)
        return network.bfloat16() if self.precision == "bf16" else network


def uses_gpu(accelerator: str) -> bool:
    return torch.cuda.is_available() and "cpu" not in accelerator.lower()  # or a CPUAccelerator's config


def _computes_in_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()
