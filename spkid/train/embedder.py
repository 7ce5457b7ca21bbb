"""Embeddings of single recordings, straight from audio: what the command `spkid` works with."""

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spkid.audio import read_audio, resample
from spkid.data.audio_options import AudioOptions, audio_options, compute_features, frame_options, wave_options
from spkid.data.audio_source import AudioSource, ComputedFeatures, SpeechAudio, SpeechFrames
from spkid.data.detector_input import at_frames, detector_waves, vad_record
from spkid.data.division import WAVEFORM
from spkid.data.front_end import MODEL_DIR, FrontEnd
from spkid.features import FrameOptions, VadOptions, compute_vad, num_frames
from spkid.kaldi import InputError
from spkid.train.embed import DEFAULT_CHUNK_FRAMES, DEFAULT_MIN_FRAMES, embed_utterance
from spkid.train.experiment import WEIGHTS, load_final
from spkid.train.extraction_options import rows_per_frame
from spkid.train.speech_detection import SpeechDetector

CPU = torch.device("cpu")


class Embedder:
    """Embeds recordings by the network of an experiment directory, trained or imported.

    Features and the choice of speech are those of the network's training, so that a recording gets the vector that
    the steps of a recipe would give it; longer ones are averaged over chunks, as steps/extract_xvectors.py does.

    Args:
        exp_dir: with final.safetensors and final.json.
        vad: options of the energy-based choice of speech, where the network was trained on speech and nobody recorded
            how it was found.

    Raises InputError where the network's features cannot be computed from audio.
    """

    def __init__(self, exp_dir: str | Path, vad: VadOptions | None = None) -> None:
        self._exp = Path(exp_dir)
        self._model = load_final(exp_dir)
        front_end = self._model.front_end
        if front_end.options is None:
            raise InputError(
                f"{self._exp}: nobody recorded how the features of this network were made, so none can be made of "
                "audio; import it again with --mfcc-config or --fbank-config, or train on features with a feats.json"
            )
        self._options = audio_options(front_end.type, front_end.options, f"{self._exp / 'final.json'}, front_end")
        self._speech = _speech(front_end, self._options, vad, self._exp) if "vad" in front_end.transforms else None

    @property
    def rate(self) -> float:
        """Samples per second that the network expects; other recordings are resampled."""
        return float(wave_options(self._options).rate)

    def embed(self, recording: str) -> np.ndarray:
        """The embedding (embedding_dim,) float32 of a file, or of anything that may stand in wav.scp.

        Raises InputError for audio that cannot be read, is too short, or holds no speech.
        """
        samples, _ = read_audio(recording, rate=self.rate, resample=True)
        failed: dict[str, str] = {}
        source: AudioSource | SpeechAudio | ComputedFeatures = _OneWave(recording, samples, self.rate)
        speech = self._speech.of(samples) if self._speech is not None else None
        if speech is not None and not isinstance(self._options, FrameOptions):
            source, speech = SpeechAudio(source, speech, frame_options(self._options), failed), None
        if self._model.front_end.type != WAVEFORM and not failed:
            source = ComputedFeatures(self._model.front_end, source, speech, failed)
        if failed:
            raise InputError(f"{recording}: {failed[recording]}")
        return self._embed(source, recording)

    def _embed(self, source: AudioSource | SpeechAudio | ComputedFeatures, recording: str) -> np.ndarray:
        network, count = self._model.network, int(source.num_frames[0])
        if count < 1:
            raise InputError(f"{recording}: is too short: not a single frame fits in it")
        rows = rows_per_frame(self._model.front_end)
        needed = getattr(network, "min_samples" if self._model.front_end.type == WAVEFORM else "min_frames")
        least = max(DEFAULT_MIN_FRAMES * rows, needed)
        vector = embed_utterance(network, partial(source.rows, 0), count, CPU, DEFAULT_CHUNK_FRAMES * rows, least)
        if not np.isfinite(vector).all():
            raise InputError(f"{recording}: the network's output is not finite")
        return vector


class _OneWave(AudioSource):
    """One recording in memory, as a source of audio."""

    def __init__(self, recording: str, samples: np.ndarray, rate: float) -> None:
        self.ids, self.num_frames, self.rate = [recording], np.array([len(samples)]), rate
        self._samples = samples

    def length(self, index: int) -> int:
        return len(self._samples)

    def rows(self, index: int, start: int, stop: int) -> np.ndarray:
        return self._samples[start:stop]

    def whole(self, index: int) -> np.ndarray:
        return self._samples


class _EnergySpeech:
    """Finds speech as compute-vad does, in features of its own."""

    def __init__(self, options: VadOptions, kind: str, feature_options: dict[str, Any]) -> None:
        self._vad, self._features = (
            options,
            audio_options(kind, feature_options, "the features that speech is found in"),
        )

    def of(self, samples: np.ndarray) -> "_SpeechOf":
        """The speech of one recording (samples,)."""
        return _SpeechOf(compute_vad(compute_features(samples, self._features), self._vad))


class _ModelSpeech:
    """Finds speech as vad-compute does, by the network that found it for the training; on the frames of `wanted`."""

    def __init__(self, record: dict[str, Any], wanted: AudioOptions, exp: Path) -> None:
        place = record[MODEL_DIR]
        if not (Path(place) / WEIGHTS).exists():
            raise InputError(
                f"{exp}: the speech of its training was found by the network in {place}, which is not there any more"
            )
        if vad_record(place, record["threshold"], record["smoothing"])["weights"] != record["weights"]:
            raise InputError(f"{exp}: the speech of its training was found by other weights than {place} has now")
        self._detector = SpeechDetector(place, record["threshold"], record["smoothing"])
        self._wanted, self._rate = frame_options(wanted), wave_options(wanted).rate
        self._own_rate = detector_waves(self._detector.front_end, place).rate
        if self._own_rate > self._rate:
            raise InputError(f"{place}: finds speech at {self._own_rate:g} Hz, but {exp} takes {self._rate:g} Hz")

    def of(self, samples: np.ndarray) -> "_SpeechOf":
        """The speech of one recording (samples,)."""
        front_end = self._detector.front_end
        source = _OneWave("", resample(samples, self._rate, self._own_rate), self._own_rate)
        decisions = self._detector.decide(ComputedFeatures(front_end, source, None, {}).whole(0))
        own = frame_options(audio_options(front_end.type, front_end.options))
        return _SpeechOf(at_frames(decisions, own, self._wanted, num_frames(len(samples), self._wanted)))


class _SpeechOf(SpeechFrames):
    """The decisions on one recording."""

    def __init__(self, decisions: np.ndarray) -> None:
        self._decisions = decisions

    def decisions(self, utterance: str, *frames: int) -> np.ndarray:
        if not frames[0]:
            raise InputError("is too short: not a single frame fits in it")
        if len(self._decisions) not in frames:
            raise InputError(
                f"speech is found in {len(self._decisions)} frames, but the network's features have {frames[0]}: give "
                "--vad-config, and train on features of the same frames"
            )
        if not self._decisions.any():
            raise InputError("no frame of it was judged speech")
        return self._decisions


def _speech(
    front_end: FrontEnd, options: AudioOptions, given: VadOptions | None, exp: Path
) -> _EnergySpeech | _ModelSpeech:
    record = front_end.vad
    if record is None:
        if given is None:
            raise InputError(
                f"{exp}: the network was trained on speech alone, but nobody recorded how it was found; give the "
                "options of compute-vad with --vad-config conf/vad.conf"
            )
        return _EnergySpeech(given, front_end.type, front_end.options)
    if record["method"] == "model":
        return _ModelSpeech(record, options, exp)
    if record["method"] != "energy":
        raise InputError(
            f"{exp}: the speech of its training was found by {record['method']}, which single recordings cannot go "
            "through; make a data directory and use the steps of that recipe"
        )
    energy = VadOptions(**{field.name: record[field.name] for field in fields(VadOptions)})
    if given not in (None, energy):
        raise InputError(f"{exp}: final.json says how speech was found for the training, otherwise than --vad-config")
    if record["feature_type"] is None or record["feature_options"] is None:
        return _EnergySpeech(energy, front_end.type, front_end.options)
    return _EnergySpeech(energy, record["feature_type"], record["feature_options"])
