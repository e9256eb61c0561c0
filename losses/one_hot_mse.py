from torch import Tensor, nn
from torch.nn import functional as F


class OneHotMSELoss(nn.Module):
    """Mean squared error against one-hot targets: the mean over n and c of (output[n, c] - [c = target[n]])²."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """A scalar from outputs (N, C) and class indices (N,), int64 in [0, C). RuntimeError for other indices."""
        one_hot = F.one_hot(targets, outputs.shape[1])
        return F.mse_loss(outputs, one_hot.to(outputs.dtype))
