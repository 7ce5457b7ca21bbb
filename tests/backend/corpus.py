"""The back-end goldens of Kaldi, and a small set of vectors drawn from a known model."""

import numpy as np

from spkid.backend.vectors import VectorTable, load_vectors
from spkid.kaldi.lists import read_id_map
from tests.shared import golden


def golden_vectors(name: str) -> VectorTable:
    """A table of kaldi/backend, by the name of its archive."""
    return load_vectors(f"ark:{golden('kaldi/backend/' + name)}")


def golden_speakers(table: VectorTable) -> list[str]:
    """The speaker of each training vector."""
    utt2spk = read_id_map(str(golden("kaldi/backend/utt2spk_train")))
    return [utt2spk[key] for key in table.ids]


def drawn(
    num_speakers: int, counts: tuple[int, ...], dims: int, seed: int = 0, between: float = 4.0
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of speakers with `counts` utterances in turn, (vectors, dims), and their speakers (vectors,)."""
    random = np.random.default_rng(seed)
    speakers = np.concatenate([np.full(counts[index % len(counts)], index) for index in range(num_speakers)])
    shape = random.normal(size=(dims, dims)) / np.sqrt(dims)
    means = random.normal(size=(num_speakers, dims)) * np.sqrt(between) @ shape + 3
    noise = random.normal(size=(speakers.size, dims)) @ (np.eye(dims) + 0.3 * random.normal(size=(dims, dims)))
    return means[speakers] + noise, speakers
