"""The back end: what turns embeddings into scores, and scores into decisions one can defend.

Vectors: length normalisation, whitening, LDA, PLDA and its adaptation. Scores: cosine, distance, PLDA, crop pairs, all
in bounded memory, normalised with a cohort or not; calibration and fusion. Files: tables of vectors, trials, scores.
"""

from spkid.backend.adaptation import Coral, coral_plda, coral_plus_plda
from spkid.backend.calibration import LogisticCalibration
from spkid.backend.chain import BackEnd
from spkid.backend.crops import crop_pair_scores
from spkid.backend.fusion import GreedyFusion, zscore_mean
from spkid.backend.plda import Plda
from spkid.backend.scoring import BlockedScorer, cosine_scores, euclidean_scores, score_trials
from spkid.backend.transforms import Lda, apply_transform, length_normalize
from spkid.backend.whitening import Whitening

__all__ = [
    "BackEnd",
    "BlockedScorer",
    "Coral",
    "GreedyFusion",
    "Lda",
    "LogisticCalibration",
    "Plda",
    "Whitening",
    "apply_transform",
    "coral_plda",
    "coral_plus_plda",
    "cosine_scores",
    "crop_pair_scores",
    "euclidean_scores",
    "length_normalize",
    "score_trials",
    "zscore_mean",
]
