"""Training from audio: what the loop reads, and how a network trained so says its features are made."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spkid.data.audio_batches import AudioBatches
from spkid.data.audio_options import audio_options, feature_dims, recorded_options, wave_options
from spkid.data.audio_source import AudioSource, SpeechFrames
from spkid.data.augmentation import Chain, build_augmentation, copies_of_speakers
from spkid.data.batches import MicroBatches, SpecAugment
from spkid.data.crops import Cropper
from spkid.data.front_end import FrontEnd, read_vad_record, transforms
from spkid.data.plan import EpochPlan
from spkid.train.config import FeatureConfig, TrainConfig


def open_training_audio(features: FeatureConfig, data_dir: Path) -> tuple[Cropper, FrontEnd]:
    """The audio of a training set and the front end of a network trained on it. Raises InputError."""
    front_end = audio_front_end(features, data_dir)
    options = audio_options(features.type, features.options)
    speech = SpeechFrames(data_dir) if features.vad else None
    return Cropper(AudioSource(data_dir, wave_options(options)), options, speech), front_end


def audio_front_end(features: FeatureConfig, data_dir: Path | None = None) -> FrontEnd:
    """The front end of a configuration; where a directory is given, with how its speech was found."""
    options = audio_options(features.type, features.options)
    wanted = transforms(features.cmn, features.cmn_window, features.vad)
    found = read_vad_record(data_dir) if features.vad and data_dir is not None else None
    return FrontEnd(features.type, recorded_options(options), wanted, feature_dims(options), found)


def speakers_and_copies(speakers: list[str], config: TrainConfig) -> list[str]:
    """The speakers, and behind them their copies at other speeds where these are speakers of their own."""
    factors = copies_of_speakers(config.data.augmentation)
    return speakers + [f"sp{factor:g}-{speaker}" for factor in factors for speaker in speakers]


def training_reader(
    config: TrainConfig, cropper: Cropper, labels: np.ndarray
) -> Callable[[EpochPlan, int], MicroBatches]:
    """What gives the micro-batches of a plan and an epoch. Raises InputError for an augmentation without its data."""
    augmentation = build_augmentation(config.data.augmentation, cropper.options.sample_frequency)
    masks = SpecAugment(**vars(config.data.spec_augment))
    speakers = int(labels.max()) + 1  # every speaker has utterances that are not held out
    dims = feature_dims(cropper.options)
    return lambda plan, epoch: AudioBatches(
        cropper, labels, speakers, plan, config.seed, epoch, augmentation, masks, dims
    )


def validation_reader(cropper: Cropper, labels: np.ndarray) -> Callable[[EpochPlan, int], MicroBatches]:
    """The same for crops that are neither augmented nor masked."""
    return lambda plan, epoch: AudioBatches(cropper, labels, 0, plan, 0, epoch, Chain(), SpecAugment(), 0)
