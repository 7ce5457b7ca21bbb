"""Same speaker or not: scores of embeddings and what they mean, for the command `spkid`."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spkid.backend import BackEnd
from spkid.backend.methods import ScoringMethod
from spkid.backend.vectors import VectorTable, load_vectors, table_file, table_specifier, utterance_counts
from spkid.kaldi import InputError
from spkid.kaldi.logging import warn
from spkid.kaldi.tables import VECTOR, TableWriter, is_table, write_id_map

AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif"}  # what libsndfile reads
SPEAKER_TABLE, SPEAKER_COUNTS = "spk_xvector.scp", "num_utts.ark"


@dataclass(frozen=True)
class Decision:
    """What a score says.

    Attributes:
        score: the higher, the more alike.
        log_likelihood_ratio: natural logarithm, where there is a calibration.
        probability: that it is the same speaker, at the prior of the calibration or of the user.
        threshold: from where on the answer is yes; compared with the ratio where there is one, else with the score.
        origin: where the threshold comes from.
        same: the answer; None where there is no threshold.
    """

    score: float
    log_likelihood_ratio: float | None = None
    probability: float | None = None
    threshold: float | None = None
    origin: str | None = None
    same: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """What is known of it, as JSON values."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Threshold:
    """A score, and in words where it comes from."""

    score: float
    origin: str


@dataclass(frozen=True)
class Calibration:
    """log-likelihood ratio = weight * score + offset, at the prior of same-speaker trials that it was trained for."""

    weight: float
    offset: float
    prior: float


class Judge:
    """Scores embeddings by one method and decides.

    Args:
        method: of `spkid.backend.methods.METHODS`.
        backend: directory that steps/train_plda.py wrote; for plda and lda-cosine it is needed.
        threshold: of scores, and where it comes from.
        calibration: used for the decision in place of a threshold.
        prior: of a same-speaker comparison, in place of the calibration's.
    """

    def __init__(
        self,
        method: str = "cosine",
        backend: str | Path | None = None,
        threshold: Threshold | None = None,
        calibration: Calibration | None = None,
        prior: float | None = None,
    ) -> None:
        if method in ("plda", "lda-cosine") and backend is None:
            raise InputError(f"--method {method} needs --backend, a directory that steps/train_plda.py wrote")
        if calibration is not None and threshold is not None:
            raise InputError("a calibration decides by the prior: give it, or a threshold of scores, not both")
        if prior is not None and calibration is None:
            raise InputError("--prior matters to calibrated scores only: give --calibration too, or leave it out")
        if prior is not None and not 0 < prior < 1:
            raise InputError(f"--prior {prior:g} must lie between 0 and 1")
        self.method, self._backend = method, BackEnd.read(backend) if backend else None
        self._threshold, self._calibration = threshold, calibration
        self._prior = prior if prior is not None or calibration is None else calibration.prior

    def scores(self, enroll: VectorTable, test: VectorTable, counts: np.ndarray | int = 1) -> np.ndarray:
        """(enroll, test) scores; counts: recordings behind each enrolment vector (plda). Raises InputError."""
        if enroll.matrix.shape[1] != test.matrix.shape[1]:
            raise InputError(
                f"{enroll.source}: vectors of {enroll.matrix.shape[1]} dimensions, the model makes "
                f"{test.matrix.shape[1]}: enroll with the model that you compare with"
            )
        scorer = ScoringMethod(self.method, self._backend).scorer(enroll, test, counts)
        return np.concatenate([np.array(block) for _, block in scorer.blocks()])

    def decide(self, score: float) -> Decision:
        """What one score means."""
        score = float(score)
        if self._calibration is None:
            if self._threshold is None:
                return Decision(score)
            least = self._threshold.score
            return Decision(score, threshold=least, origin=self._threshold.origin, same=score >= least)
        ratio = self._calibration.weight * score + self._calibration.offset
        log_odds = math.log(self._prior / (1 - self._prior))
        probability = 0.5 * (1 + math.tanh((ratio + log_odds) / 2))  # the logistic function, without overflow
        origin = f"of the ratio, where {100 * self._prior:g}% are the same speaker"
        return Decision(score, ratio, probability, 0.0 - log_odds, origin, ratio >= -log_odds)


def read_threshold(path: str | Path, method: str) -> Threshold:
    """The cheapest threshold of an evaluation (steps/evaluate.py): its directory, or its results.json.

    Raises InputError where there is none, and where the scores that were evaluated were made by another method or
    normalised with a cohort.
    """
    path = Path(path) / "results.json" if Path(path).is_dir() else Path(path)
    values = _read_json(path, "steps/evaluate.py")
    try:
        decision, evaluated = values["decision"], Path(values["scores"]["file"])
        threshold, prior = decision["empirical"]["threshold"], decision["p_target"]
    except (KeyError, TypeError):
        raise InputError(f"{path}: holds no threshold; it must be a results.json of steps/evaluate.py") from None
    if threshold is None:
        raise InputError(f"{path}: there it is cheapest to accept all or nothing, so it has no threshold to use")
    _refuse_other_method(path, path.resolve().parent.parent / evaluated.name, method)
    return Threshold(float(threshold), f"cheapest in {path} where {100 * prior:g}% are the same speaker")


def read_calibration(path: str | Path, method: str) -> Calibration:
    """A calibration of steps/calibrate_scores.py: the scores that it wrote, or the .model.json beside them.

    Raises InputError for one that needs more than the score, and for one of scores that were made by another method or
    normalised with a cohort.
    """
    path = Path(path) if str(path).endswith(".json") else Path(f"{path}.model.json")
    values = _read_json(path, "steps/calibrate_scores.py")
    try:
        weights, offset, prior = dict(values["weights"]), float(values["offset"]), float(values["prior"])
        weight = float(weights.pop("score"))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: is no calibration; it must be a .model.json of steps/calibrate_scores.py") from None
    if weights:
        raise InputError(
            f"{path}: this calibration also looks at {', '.join(sorted(weights))}; train one of the score alone"
        )
    record = path.parent / f".{path.name.removesuffix('.model.json')}.step" / ".done.json"
    if record.exists():
        for name in _read_json(record, "steps/calibrate_scores.py").get("inputs", {}):
            _refuse_other_method(path, (record.parent / name).resolve(), method)
    return Calibration(weight, offset, prior)


def _read_json(path: Path, writer: str) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; {writer} writes it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: is not what {writer} writes")
    return values


def _refuse_other_method(path: Path, scores: Path, method: str) -> None:
    """Where steps/score_trials.py recorded how the scores were made, they must have been made as ours are."""
    record = scores.parent / f".{scores.name}.step" / ".done.json"
    if not record.exists():
        return
    options = _read_json(record, "steps/score_trials.py").get("options", {})
    used, norm = options.get("method", method), options.get("score_norm", "none")
    if used != method:
        raise InputError(f"{path}: is about {used} scores, but these are {method}: choose --method {used}")
    if norm != "none":
        raise InputError(f"{path}: is about scores normalised with a cohort ({norm}-norm), which these are not")


@dataclass(frozen=True)
class Enrolled:
    """Speakers that recordings are compared with: a mean vector each, and of how many recordings."""

    table: VectorTable
    counts: np.ndarray


def enroll(embedder: Any, directory: str | Path) -> Enrolled:
    """Speakers of a directory that holds a folder of recordings for each of them.

    embedder: with `embed(file)`. Raises InputError where there is none, and for a recording that cannot be embedded.
    A folder without recordings is left out, with a warning.
    """
    directory = Path(directory)
    found = {folder.name: audio_files(folder) for folder in sorted(directory.iterdir()) if folder.is_dir()}
    folders = {name: files for name, files in found.items() if files}
    if not folders:
        raise InputError(
            f"{directory}: holds neither {SPEAKER_TABLE} nor folders of recordings, one folder a speaker "
            f"({', '.join(sorted(AUDIO_SUFFIXES))})"
        )
    if len(folders) < len(found):
        empty = sorted(found.keys() - folders.keys())
        warn(f"{directory}: no recording in {len(empty)} of {len(found)} folders, left out: {' '.join(empty[:5])}")
    means = [
        np.mean([embedder.embed(str(file)) for file in files], axis=0, dtype=np.float64) for files in folders.values()
    ]
    table = VectorTable(list(folders), np.array(means, np.float32), str(directory))
    return Enrolled(table, np.array([len(files) for files in folders.values()]))


def audio_files(folder: Path) -> list[Path]:
    """The recordings in a folder and the folders in it, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())


def write_enrolled(enrolled: Enrolled, directory: str | Path) -> None:
    """Writes spk_xvector.{ark,scp} and num_utts.ark, as steps/extract_xvectors.py does."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    counts = dict(zip(enrolled.table.ids, enrolled.counts.tolist(), strict=True))
    write_id_map(directory / SPEAKER_COUNTS, counts)
    with TableWriter(f"ark,scp:{directory}/spk_xvector.ark,{directory}/{SPEAKER_TABLE}", VECTOR) as writer:
        for speaker, vector in zip(enrolled.table.ids, enrolled.table.matrix, strict=True):
            writer.write(speaker, vector)


def read_enrolled(path: str | Path) -> Enrolled | None:
    """Speakers from a table (x.scp, x.ark) or a directory with spk_xvector.scp; None for a directory without one.

    The numbers of recordings come from num_utts.ark beside the table, where there is one.
    """
    if Path(path).is_dir():
        path = Path(path) / SPEAKER_TABLE
        if not path.exists():
            return None
    elif not is_table(str(path)) and not Path(path).exists():
        raise InputError(f"{path}: there is no such directory or table")
    rspecifier = table_specifier(str(path))
    table = load_vectors(rspecifier)
    counts_file = next((Path(file).with_name(SPEAKER_COUNTS) for file in table_file(rspecifier)), None)
    if counts_file is None or not counts_file.exists():
        return Enrolled(table, np.ones(len(table), int))
    return Enrolled(table, utterance_counts(table.ids, str(counts_file)))


def as_table(ids: Sequence[str], vectors: Sequence[np.ndarray], source: str) -> VectorTable:
    """Embeddings as a table, for scoring."""
    return VectorTable(list(ids), np.stack(vectors), source)
