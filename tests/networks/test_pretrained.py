import http.server
import threading
import time

import pytest
import torch
from torch import nn

from networks.pretrained import IMAGENET_MEAN, IMAGENET_STD, Pretrained, require_reachable


def network() -> Pretrained:
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Pretrained(backbone=pooled, num_features=3, num_classes=5, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def test_normalises_channel_by_channel_before_the_backbone() -> None:
    images = torch.rand(2, 3, 4, 4)
    expected = torch.stack(
        [(images[:, c].mean((1, 2)) - m) / s for c, (m, s) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD, strict=True))],
        1,
    )
    torch.testing.assert_close(network().features(images), expected)


def test_head_follows_features() -> None:
    net, images = network(), torch.rand(2, 3, 4, 4)
    expected = net.features(images) @ net.head.weight.T + net.head.bias
    torch.testing.assert_close(net(images), expected)
    assert net(images).shape == (2, 5)


def test_normalisation_moves_with_the_network_but_is_no_part_of_its_state() -> None:
    net = network()
    assert set(net.state_dict()) == {"head.weight", "head.bias"}
    assert net.bfloat16().mean.dtype == torch.bfloat16


class Answers(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == "/weights" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_require_reachable() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        require_reachable(f"{address}/weights")
        with pytest.raises(OSError, match="404") as missing:
            require_reachable(f"{address}/nothing")
        missing.value.close()
        server.shutdown()
    started = time.monotonic()
    with pytest.raises(OSError, match="refused"):
        require_reachable("http://127.0.0.1:9/weights")
    assert time.monotonic() - started < 6
