"""Losses between embeddings: (speakers, utterances, dim) -> scalar. They know no classes, only who is who in a batch.

`loss_and_correct` also tells for each speaker whether its query is nearer to its own prototype (positive) than to any
other speaker's. All run in float32 (float64 stays float64) whatever autocast says. Values of clovaai/voxceleb_trainer
and of Deep Speaker.
"""

import torch
from torch import nn
from torch.nn import functional

from spkid.nnet.losses import Softmax
from spkid.nnet.pooling import full_precision

COORDINATE_EPSILON = 1.0e-6  # what pairwise_distance adds to every difference, and the published values contain


class MetricLoss(nn.Module):
    """Subclasses give `compare`; `forward` checks the shape and keeps autocast away.

    labels are the speakers' classes, (speakers,); most metric losses do without.
    """

    min_utterances = 2
    max_utterances: int | None = None

    def set_progress(self, done: float) -> None:
        """Tells the loss which fraction of training is behind it; most do not care."""

    def compare(self, x: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The scalar loss and (speakers,) bool: right or not."""
        raise NotImplementedError

    def loss_and_correct(
        self, embeddings: torch.Tensor, labels: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The scalar loss, and for each speaker whether the decision would be right (speakers,) bool."""
        shape = tuple(embeddings.shape)
        limit = self.max_utterances or float("inf")
        if len(shape) != 3 or not self.min_utterances <= shape[1] <= limit:
            wanted = f"{self.min_utterances}" + ("" if self.max_utterances == self.min_utterances else " or more")
            raise ValueError(f"the loss expects (speakers, utterances, dims) with {wanted} utterances but got {shape}")
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.compare(full_precision(embeddings), labels)

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        return self.loss_and_correct(embeddings, labels)[0]


def own_index(x: torch.Tensor) -> torch.Tensor:
    """0, 1, ... for the speakers of a batch."""
    return torch.arange(x.shape[0], device=x.device)


def cosines(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cosine of every row of a with every row of b."""
    return functional.normalize(a, dim=-1) @ functional.normalize(b, dim=-1).mT


def squared_distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Squared Euclidean distance of every row of a to every row of b."""
    return (a.unsqueeze(1) - b.unsqueeze(0) + COORDINATE_EPSILON).square().sum(dim=2)


class ScaledCosineLoss(MetricLoss):
    """Logits are scale * cos + offset, both learned."""

    def __init__(self, scale: float = 10.0, offset: float = -5.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.offset = nn.Parameter(torch.tensor(offset))


class AngularPrototypical(ScaledCosineLoss):
    """The first utterance of a speaker against the means of all speakers' other utterances, by cosine.

    Chung et al., "In defence of metric learning for speaker recognition", Interspeech 2020.
    """

    def compare(self, x: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.scale * cosines(x[:, 0], x[:, 1:].mean(dim=1)) + self.offset
        return functional.cross_entropy(logits, own_index(x)), logits.detach().argmax(dim=1) == own_index(x)


class Prototypical(MetricLoss):
    """As `AngularPrototypical`, by the negative squared Euclidean distance.

    Snell, Swersky, Zemel, "Prototypical networks for few-shot learning", NeurIPS 2017. Embeddings keep their length.
    """

    def compare(self, x: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        logits = -squared_distances(x[:, 0], x[:, 1:].mean(dim=1))
        return functional.cross_entropy(logits, own_index(x)), logits.detach().argmax(dim=1) == own_index(x)


class Ge2e(ScaledCosineLoss):
    """Every utterance against the centroids of all speakers, its own speaker's taken without it.

    Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018. Cosines below 1e-6 count as 1e-6.
    A speaker counts as right when all its utterances are.
    """

    def compare(self, x: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        speakers, utterances, _ = x.shape
        total = x.sum(dim=1)
        without = (total.unsqueeze(1) - x) / (utterances - 1)
        own = functional.cosine_similarity(x, without, dim=2)
        to_all = cosines(x.flatten(0, 1), total / utterances).unflatten(0, (speakers, utterances))
        is_own = torch.eye(speakers, dtype=torch.bool, device=x.device).unsqueeze(1)
        similarity = torch.where(is_own, own.unsqueeze(2), to_all).clamp(min=1.0e-6)
        logits = (self.scale * similarity + self.offset).flatten(0, 1)
        targets = own_index(x).repeat_interleave(utterances)
        right = (logits.detach().argmax(dim=1) == targets).unflatten(0, (speakers, utterances)).all(dim=1)
        return functional.cross_entropy(logits, targets), right


class SoftmaxPrototypical(MetricLoss):
    """The sum of `softmax` over all utterances and `angular_prototypical`; labels (speakers,) are needed."""

    def __init__(self, embedding_dim: int, num_classes: int) -> None:
        super().__init__()
        self.softmax = Softmax(embedding_dim, num_classes)
        self.angular = AngularPrototypical()

    def compare(self, x: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        if labels is None:
            raise ValueError("softmax_prototypical needs the speakers' labels, (speakers,)")
        spread = labels.reshape(-1, 1).expand(-1, x.shape[1]).flatten()
        classified, _ = self.softmax.loss_and_correct(x.flatten(0, 1), spread)
        compared, right = self.angular.compare(x, None)
        return classified + compared, right


class Triplet(MetricLoss):
    """mean of max(0, |anchor - positive|^2 - |anchor - negative|^2 + margin) on vectors of length 1.

    Utterance 0 is the anchor, 1 the positive; the negative is some other speaker's positive.

    Args:
        hard_rank: >= 0: with probability hard_prob one of the hard_rank + 1 nearest, else any. < 0: one that is farther
            than the positive but within the margin (Schroff et al., "FaceNet", CVPR 2015), any where there is none.
    """

    max_utterances = 2

    def __init__(self, margin: float = 0.1, hard_rank: int = 10, hard_prob: float = 0.5) -> None:
        super().__init__()
        self.margin = margin
        self.hard_rank = hard_rank
        self.hard_prob = hard_prob

    def compare(self, x: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        if x.shape[0] < 2:
            raise ValueError("a triplet needs a negative: give the loss at least two speakers")
        x = functional.normalize(x, dim=2)
        anchor, positive = x[:, 0], x[:, 1]
        distances = squared_distances(anchor, positive)
        chosen = torch.tensor(self.negatives(distances.detach()), device=x.device)
        gap = distances.diagonal() - distances.gather(1, chosen.unsqueeze(1)).squeeze(1)
        return torch.relu(gap + self.margin).mean(), distances.detach().argmin(dim=1) == own_index(x)

    def negatives(self, distances: torch.Tensor) -> list[int]:
        """For each anchor (row) which other speaker's positive (column) becomes its negative.

        Chance is torch's own generator, whose state a checkpoint keeps.
        """
        chosen = []
        order = distances.argsort(dim=1).tolist()
        for own, row in enumerate(distances.tolist()):
            others = [index for index in order[own] if index != own]
            candidates = others
            if self.hard_rank < 0:
                near = [index for index in others if row[own] < row[index] < row[own] + self.margin]
                candidates = near or others
            elif torch.rand(()).item() < self.hard_prob:
                candidates = others[: self.hard_rank + 1]
            chosen.append(candidates[int(torch.randint(len(candidates), ()))])
        return chosen


class CosineTriplet(MetricLoss):
    """max(0, cos(anchor, negative) - cos(anchor, positive) + margin), mean or sum over the triplets.

    Li et al., "Deep Speaker: an end-to-end neural speaker embedding system", 2017. Embeddings (triplets, 3, dim) are
    anchor, positive and negative; with two utterances the negative is the positive of the speaker before.
    """

    max_utterances = 3

    def __init__(self, margin: float = 0.1, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction='{reduction}' must be mean or sum")
        self.margin = margin
        self.reduction = reduction

    def compare(self, x: torch.Tensor, labels: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        anchor, positive = x[:, 0], x[:, 1]
        negative = x[:, 2] if x.shape[1] == 3 else positive.roll(1, dims=0)
        to_positive = functional.cosine_similarity(anchor, positive, dim=1)
        to_negative = functional.cosine_similarity(anchor, negative, dim=1)
        losses = torch.relu(to_negative - to_positive + self.margin)
        value = losses.mean() if self.reduction == "mean" else losses.sum()
        return value, (to_positive > to_negative).detach()
