"""A frozen backbone run by OpenVINO, which is 1.7 times as fast as torch in bf16 (n = 1; extra `openvino`)."""

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.features.feature_cache import KEY_FILE, MAX_KEY, entry
from engine.files import new_folder, read_plain, replace_text

logger = logging.getLogger(__name__)

ENGINES = ("auto", "torch", "openvino")
BATCH_SIZE = 4
"""Images per request; the last request is padded, so no feature depends on how many images there are."""

FILES = ("model.xml", "model.bin")
MAX_MODEL = 1 << 32  # bytes
INSTALL = "pip install -e '.[openvino]'"


def is_installed() -> bool:
    return find_spec("openvino") is not None


class OpenVino:
    """Maps images (N, 3, H, W) in [0, 1] to float32 features, like `network.features` in `precision`, 32 or bf16.

    The converted network is kept in `cache_dir` under a hash of `key`, which identifies its weights.

    Raises:
        UserError: the extra is not installed, or OpenVINO cannot convert this network.
    """

    def __init__(self, network: Any, key: Mapping[str, Any], precision: str, image: Tensor, cache_dir: Path) -> None:
        import openvino

        self._ov = openvino
        xml, weights = self._converted(network, key, image, cache_dir)
        core, cores = openvino.Core(), torch.get_num_threads()
        self._compiled = core.compile_model(
            core.read_model(xml, weights),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
                "INFERENCE_NUM_THREADS": cores,
                "NUM_STREAMS": cores,
            },
        )
        self._requests = openvino.AsyncInferQueue(self._compiled, cores)

    def __call__(self, images: Tensor) -> Tensor:
        found: dict[int, np.ndarray] = {}
        self._requests.set_callback(
            lambda request, number: found.update({number: request.get_output_tensor(0).data.copy()})
        )
        batches = images.float().split(BATCH_SIZE)
        for number, batch in enumerate(batches):
            filled = torch.zeros(BATCH_SIZE, *batch.shape[1:])
            filled[: len(batch)] = batch
            self._requests.start_async({0: filled.numpy()}, number)
        self._requests.wait_all()
        rows = [torch.from_numpy(found[number]) for number in range(len(batches))]
        return torch.cat(rows).flatten(1)[: len(images)]

    def _converted(self, network: Any, key: Mapping[str, Any], image: Tensor, cache_dir: Path) -> tuple[bytes, bytes]:
        """The network in OpenVINO's format, from the cache if an intact copy is there."""
        shape = [BATCH_SIZE, *image.shape[1:]]
        place = entry(cache_dir, {**key, "shape": shape}).with_suffix(".openvino")

        def fill(aside: Path) -> None:
            model = self._convert(network, torch.rand(shape), shape)
            self._ov.save_model(model, aside / FILES[0], compress_to_fp16=False)
            digests = {name: _sha256(read_plain(aside / name, MAX_MODEL)) for name in FILES}
            replace_text(aside / KEY_FILE, json.dumps({"key": dict(key), "sha256": digests}, indent=1))

        new_folder(place, fill)
        try:
            digests = json.loads(read_plain(place / KEY_FILE, MAX_KEY))["sha256"]
            xml, weights = (read_plain(place / name, MAX_MODEL) for name in FILES)
            if digests == {name: _sha256(content) for name, content in zip(FILES, (xml, weights), strict=True)}:
                return xml, weights
        except (OSError, ValueError, LookupError, TypeError, UserError):
            pass
        raise UserError(f"{place} is damaged: remove it, and the network will be converted again.")

    def _convert(self, network: Any, images: Tensor, shape: list[int]) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # from torch.jit, which OpenVINO uses
                model = self._ov.convert_model(_Features(network), example_input=images, input=shape)
        except Exception as error:  # any operation may raise any kind
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise UserError(
                f"features.engine=openvino: OpenVINO cannot convert {type(network.backbone).__name__} ({reason}): "
                "give features.engine=torch."
            ) from error
        return model


class _Features(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network.features(images)
        return features


def engine_at_hand(features: Mapping[str, Any]) -> str:
    """The engine of a trained run's features; if it is not installed, torch, with a warning."""
    engine = str(features.get("engine") or "torch")
    if engine == "openvino" and not is_installed():
        logger.warning(
            "The run's features are OpenVINO's, which is not installed; torch is used (other last digits): %s.",
            INSTALL,
        )
        return "torch"
    return engine


def engine_key() -> str:
    """The engine and its version. Raises UserError if the extra is not installed."""
    if not is_installed():
        raise UserError(f"features.engine=openvino needs the extra openvino: {INSTALL}, or give features.engine=torch.")
    return f"openvino {version('openvino')}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
