"""Classification losses over speakers: embeddings (batch, dim) and labels (batch,) -> scalar.

Every loss also offers `loss_and_correct`, which tells for each example whether the true speaker's logit is the largest
*without* the margin: accuracy under a margin says how hard the task was made, not how well the network does.
Everything here runs in float32 (float64 stays float64) whatever autocast says: in bf16 a cosine near 1 has no digits
left for its angle. Losses between embeddings are in `metric_losses.py`, those over frames in `frame_losses.py`.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.pooling import full_precision
from spkid.nnet.registry import unknown_name


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

    def value(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The scalar loss of logits without margin."""
        return functional.cross_entropy(self.penalise(logits, labels), labels)

    def loss_and_correct(self, embeddings: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The scalar loss, and for each example whether it is right without the margin (batch,) bool."""
        if embeddings.shape[-1] != self.embedding_dim:
            raise ValueError(
                f"the loss expects embeddings of {self.embedding_dim} values but was given {embeddings.shape[-1]}"
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            logits = self.logits(full_precision(embeddings))
            loss = self.value(logits, labels)
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
    training (a fraction), because a full margin against a random network teaches it little. With `sub_centers` a
    speaker has several weight vectors (rows one behind the other), of which the nearest counts: Deng et al.,
    "Sub-center ArcFace", ECCV 2020.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        margin: float,
        scale: float,
        margin_warmup: float,
        sub_centers: int = 1,
    ) -> None:
        super().__init__(embedding_dim, num_classes)
        self.margin = self.full_margin = margin
        self.sub_centers = sub_centers
        self.margin_warmup = margin_warmup
        self.scale = scale
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(num_classes * sub_centers, embedding_dim)))

    def logits(self, embeddings: torch.Tensor) -> torch.Tensor:
        cosines = functional.linear(functional.normalize(embeddings), functional.normalize(self.weight))
        if self.sub_centers > 1:
            cosines = cosines.unflatten(1, (self.num_classes, self.sub_centers)).amax(dim=2)
        return self.scale * cosines

    def set_progress(self, done: float) -> None:
        """Tells the loss which fraction of training is behind it."""
        growing = self.margin_warmup > done
        self.set_margin(self.full_margin * done / self.margin_warmup if growing else self.full_margin)

    def set_margin(self, margin: float) -> None:
        """The margin from now on."""
        self.margin = margin

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


AAM_FALLBACKS = ("sine", "constant")
WARM_MARGIN = 0.2  # the margin at which the inter-top-k penalty has its full size (WeSpeaker)


class AdditiveAngularMarginSoftmax(CosineLoss):
    """scale * cos(angle + margin) for the true speaker. Deng et al., "ArcFace", CVPR 2019.

    Beyond angle = pi - margin, where the cosine would rise again, the penalty does not depend on the angle.

    Args:
        easy_margin: no penalty for angles over 90 degrees instead.
        fallback: the penalised cosine beyond pi - margin: "sine": cos - margin sin(pi - margin) (VoxCeleb trainer);
            "constant": cos - (1 + cos(pi - margin)) (WeSpeaker).
        sub_centers: weight vectors a speaker.
        top_k: the most similar false speakers are made harder too, cos(angle - top_k_margin). Zhao et al.,
            "Multi-query multi-head attention pooling and inter-topk penalty", ICASSP 2022. At most classes - 1.
        top_k_margin: in radians, at a margin of 0.2; it grows and shrinks with the margin.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        margin: float = 0.2,
        scale: float = 30.0,
        margin_warmup: float = 0.0,
        easy_margin: bool = False,
        fallback: str = "sine",
        sub_centers: int = 1,
        top_k: int = 0,
        top_k_margin: float = 0.06,
    ) -> None:
        super().__init__(embedding_dim, num_classes, margin, scale, margin_warmup, sub_centers)
        if fallback not in AAM_FALLBACKS:
            raise unknown_name("fallback of aam_softmax", fallback, AAM_FALLBACKS)
        if not 0 <= top_k < num_classes:
            raise ValueError(f"top_k={top_k} must lie between 0 and {num_classes - 1}, one less than the classes")
        self.easy_margin = easy_margin
        self.fallback = fallback
        self.top_k = top_k
        self.top_k_margin = top_k_margin

    def margin_logit(self, cosine: torch.Tensor) -> torch.Tensor:
        shifted = cosine * math.cos(self.margin) - sine(cosine) * math.sin(self.margin)
        if self.easy_margin:
            return torch.where(cosine > 0, shifted, cosine)
        limit = math.cos(math.pi - self.margin)
        penalty = self.margin * math.sin(math.pi - self.margin) if self.fallback == "sine" else 1.0 + limit
        return torch.where(cosine > limit, shifted, cosine - penalty)

    def penalise(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        penalised = super().penalise(logits, labels)
        if not self.top_k:
            return penalised
        others = logits.detach().scatter(1, labels.unsqueeze(1), -torch.inf)
        rows = others.topk(self.top_k, dim=1).indices
        cosine = logits.gather(1, rows) / self.scale
        angle = self.top_k_margin * self.margin / WARM_MARGIN
        harder = cosine * math.cos(angle) + sine(cosine) * math.sin(angle)
        return penalised.scatter(1, rows, self.scale * harder)


SPHEREFACE2_KINDS = ("cosine", "angle")


class SphereFace2(CosineLoss):
    """A yes-no decision for every speaker instead of one choice among all.

    Wen et al., "SphereFace2: binary classification is all you need for deep face recognition", ICLR 2022; Han et al.,
    "Exploring binary classification loss for speaker verification", ICASSP 2023. With g(z) = 2 ((z + 1) / 2)^t - 1:
    balance * log(1 + exp(-(s g+ + b))) for the true speaker, (1 - balance) * log(1 + exp(s g- + b)) for the others.

    Args:
        balance: weight of the true speaker's decision.
        exponent: t.
        kind: "cosine": g+- = g(cos) -+ margin; "angle": g+- = g(cos(angle +- margin)).
    """

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        margin: float = 0.2,
        scale: float = 32.0,
        margin_warmup: float = 0.0,
        balance: float = 0.7,
        exponent: float = 3.0,
        kind: str = "cosine",
    ) -> None:
        super().__init__(embedding_dim, num_classes, margin, scale, margin_warmup)
        if kind not in SPHEREFACE2_KINDS:
            raise unknown_name("kind of sphereface2", kind, SPHEREFACE2_KINDS)
        self.balance = balance
        self.exponent = exponent
        self.kind = kind
        self.bias = nn.Parameter(torch.zeros(1, 1))

    def value(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        cosine = logits / self.scale
        if self.kind == "cosine":
            similarity = self._spread(cosine)
            own, other = similarity - self.margin, similarity + self.margin
        else:
            along, across = cosine * math.cos(self.margin), sine(cosine) * math.sin(self.margin)
            limit = math.cos(math.pi - self.margin)
            own = self._spread(torch.where(cosine > limit, along - across, cosine - (1.0 + limit)))
            other = self._spread(along + across)
        is_own = functional.one_hot(labels, self.num_classes).bool()
        accept = self.balance * functional.softplus(-(self.scale * own + self.bias))
        reject = (1.0 - self.balance) * functional.softplus(self.scale * other + self.bias)
        return torch.where(is_own, accept, reject).sum(dim=1).mean()

    def _spread(self, cosine: torch.Tensor) -> torch.Tensor:
        return 2.0 * ((cosine + 1.0) / 2.0).clamp(min=0.0).pow(self.exponent) - 1.0


def sine(cosine: torch.Tensor) -> torch.Tensor:
    """sqrt(1 - cos^2), with a floor that keeps its gradient finite at cos = +-1 and moves it by at most 1e-6."""
    return (1.0 - cosine.square()).clamp(min=1.0e-12).sqrt()
