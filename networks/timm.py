"""Any timm network (Wightman, https://github.com/huggingface/pytorch-image-models) with a new linear head."""

import difflib
from typing import Any

import huggingface_hub
import timm

from engine.errors import WeightsError
from networks.pretrained import Pretrained, require_reachable


class Timm(Pretrained):
    """timm's network `name` up to its pooled features, with a new linear head.

    Raises ValueError for an unknown name, and WeightsError if `pretrained` and the weights are not available.
    """

    def __init__(self, *, name: str, num_classes: int, image_size: int, pretrained: bool) -> None:
        if not timm.is_model(name):
            near = difflib.get_close_matches(name, timm.list_models(), n=5) or timm.list_models(f"{name[:3]}*")[:5]
            raise ValueError(f"timm has no network named {name}; similar names: {', '.join(near) or 'none'}.")
        config = timm.get_pretrained_cfg(name)
        # Position embeddings have a fixed size; timm resamples them for `img_size`.
        options: dict[str, Any] = {"img_size": image_size} if config is not None and config.fixed_input_size else {}
        if pretrained:
            options["pretrained_cfg_overlay"] = _weights_source(name)
        backbone = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
        super().__init__(
            backbone=backbone,
            num_features=getattr(backbone, "head_hidden_size", None) or backbone.num_features,
            num_classes=num_classes,
            mean=backbone.pretrained_cfg["mean"],
            std=backbone.pretrained_cfg["std"],
        )


def _weights_source(name: str) -> dict[str, str]:
    """Overrides that let timm load the weights of `name` from the cache, without contacting a hub."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise WeightsError(f"timm has no pretrained weights for {name}: set network.pretrained=false.")
    cached = config.hf_hub_id and huggingface_hub.try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
    if isinstance(cached, str):
        return {"file": cached}
    endpoint = huggingface_hub.constants.ENDPOINT if config.hf_hub_id else config.url
    try:
        require_reachable(endpoint)
    except OSError as error:
        raise WeightsError(f"timm's weights for {name} are not cached; {endpoint} is unreachable: {error}") from error
    return {}
