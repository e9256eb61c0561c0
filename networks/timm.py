"""Any network of timm (Wightman, https://github.com/huggingface/pytorch-image-models) behind a new linear head."""

import difflib
from typing import Any

import huggingface_hub
import timm

from engine.errors import WeightsError
from networks.pretrained import Pretrained, require_reachable


class Timm(Pretrained):
    """timm's network `name` up to its pooled features, and a new linear head.

    Raises ValueError for a name that timm does not have where `pretrained` and the weights are neither
    cached nor within reach.
    """

    def __init__(self, *, name: str, num_classes: int, image_size: int, pretrained: bool) -> None:
        if not timm.is_model(name):
            near = difflib.get_close_matches(name, timm.list_models(), n=5) or timm.list_models(f"{name[:3]}*")[:5]
            raise ValueError(f"timm has no network of the name {name}; near it are {', '.join(near) or 'none'}.")
        config = timm.get_pretrained_cfg(name)
        # A transformer's position embedding is made for one size; timm resamples it to another when told.
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
    """What timm must know to load the weights of `name` without asking a hub that may not be there."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise WeightsError(f"timm has no pretrained weights of {name}: give network.pretrained=false.")
    cached = config.hf_hub_id and huggingface_hub.try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
    if isinstance(cached, str):
        return {"file": cached}
    endpoint = huggingface_hub.constants.ENDPOINT if config.hf_hub_id else config.url
    try:
        require_reachable(endpoint)
    except OSError as error:
        raise WeightsError(f"timm's weights of {name} are not cached, and {endpoint} gave: {error}") from error
    return {}
