"""Classification losses over speakers: embeddings (batch, dim) and labels (batch,) -> scalar.

Every loss also offers `loss_and_correct`, which tells for each example whether the true speaker's logit is the largest
*without* the margin: accuracy under a margin says how hard the task was made, not how well the network does.
Everything here runs in float32 whatever autocast says: in bf16 a cosine near 1 has no digits left for its angle.
"""

import math

import torch
from torch import nn
from torch.nn import functional


class ClassificationLoss(nn.Module):
    """Cross entropy over logits that may be made harder for the true speaker.

    Subclasses give `logits(embeddings)` (batch, classes), and `penalise(logits, labels)` where they have a margin.
    """

    def __init__(self, embedding_dim: int, num_classes: int) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.num_classes = num_classes

    def set_progress(self, done: float) -> None:
        """Tells the loss which fraction of training is behind it; most do not care."""

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Scores of all speakers, without margin, (batch, classes)."""
        raise NotImplementedError

    def penalise(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The logits that the cross entropy sees in training."""
        return logits

    def loss_and_correct(self, embeddings: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The scalar loss, and for each example whether it is right without the margin (batch,) bool."""
        if embeddings.shape[-1] != self.embedding_dim:
            raise ValueError(
                f"the loss expects embeddings of {self.embedding_dim} values but was given {embeddings.shape[-1]}"
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = self.logits(embeddings.float())
            loss = functional.cross_entropy(self.penalise(logits, labels), labels)
        return loss, logits.detach().argmax(dim=1) == labels

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.loss_and_correct(embeddings, labels)[0]


class Softmax(ClassificationLoss):
    """A linear layer with bias and cross entropy: Kaldi's x-vector objective."""

    def __init__(self, embedding_dim: int, num_classes: int) -> None:
        super().__init__(embedding_dim, num_classes)
        bound = 1.0 / math.sqrt(embedding_dim)
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_classes).uniform_(-bound, bound))

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        return functional.linear(embeddings, self.weight, self.bias)


class CosineLoss(ClassificationLoss):
    """Logits are scale * cosine between the embedding and each speaker's weight vector.

    `margin` is what `set_progress` makes of `full_margin`: it grows linearly from 0 over the first `margin_warmup` of
    training (a fraction), because a full margin against a random network teaches it little.
    """

    def __init__(
        self, embedding_dim: int, num_classes: int, margin: float, scale: float, margin_warmup: float
    ) -> None:
        super().__init__(embedding_dim, num_classes)
        self.margin = self.full_margin = margin
        self.margin_warmup = margin_warmup
        self.scale = scale
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(num_classes, embedding_dim)))

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.scale * functional.linear(functional.normalize(embeddings), functional.normalize(self.weight))

    def set_progress(self, done: float) -> None:
        """Tells the loss which fraction of training is behind it."""
        growing = self.margin_warmup > done
        self.margin = self.full_margin * done / self.margin_warmup if growing else self.full_margin

    def margin_logit(self, cosine: torch.Tensor) -> torch.Tensor:
        """The penalised cosine of the true speaker, (batch,) -> (batch,)."""
        raise NotImplementedError

    def penalise(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        rows = labels.unsqueeze(1)
        target = logits.gather(1, rows) / self.scale
        return logits.scatter(1, rows, self.scale * self.margin_logit(target))


class AdditiveMarginSoftmax(CosineLoss):
    """scale * (cos - margin) for the true speaker.

    Wang et al., "Additive margin softmax for face verification", 2018.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        margin: float = 0.2,
        scale: float = 30.0,
        margin_warmup: float = 0.0,
    ) -> None:
        super().__init__(embedding_dim, num_classes, margin, scale, margin_warmup)

    def margin_logit(self, cosine: torch.Tensor) -> torch.Tensor:
        return cosine - self.margin


class AdditiveAngularMarginSoftmax(CosineLoss):
    """scale * cos(angle + margin) for the true speaker. Deng et al., "ArcFace", CVPR 2019.

    Beyond angle = pi - margin, where the cosine would rise again, the penalty is cos - margin sin(pi - margin); with
    `easy_margin` there is no penalty for angles over 90 degrees instead.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        margin: float = 0.2,
        scale: float = 30.0,
        margin_warmup: float = 0.0,
        easy_margin: bool = False,
    ) -> None:
        super().__init__(embedding_dim, num_classes, margin, scale, margin_warmup)
        self.easy_margin = easy_margin

    def margin_logit(self, cosine: torch.Tensor) -> torch.Tensor:
        # The floor keeps the gradient of the root finite at cos = +-1; it moves the sine by at most 1e-6.
        sine = (1.0 - cosine.square()).clamp(min=1.0e-12).sqrt()
        shifted = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        if self.easy_margin:
            return torch.where(cosine > 0, shifted, cosine)
        fallback = cosine - self.margin * math.sin(math.pi - self.margin)
        return torch.where(cosine > math.cos(math.pi - self.margin), shifted, fallback)
