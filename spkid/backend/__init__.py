"""The back end: what turns embeddings into scores. Length normalisation, LDA, PLDA, cosine, and trial lists."""

from spkid.backend.chain import BackEnd
from spkid.backend.plda import Plda
from spkid.backend.scoring import BlockedScorer, cosine_scores, euclidean_scores, score_trials
from spkid.backend.transforms import Lda, apply_transform, length_normalize

__all__ = [
    "BackEnd",
    "BlockedScorer",
    "Lda",
    "Plda",
    "apply_transform",
    "cosine_scores",
    "euclidean_scores",
    "length_normalize",
    "score_trials",
]
