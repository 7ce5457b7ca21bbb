"""Training from audio: what the loop reads, and how a network trained so says its features are made."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from spkid.data.audio_batches import AudioBatch, AudioBatches, network_inputs
from spkid.data.audio_options import audio_options, feature_dims, recorded_options, wave_options
from spkid.data.audio_source import AudioSource, SpeechFrames
from spkid.data.augmentation import Chain, build_augmentation
from spkid.data.batches import SpecAugment
from spkid.data.crops import Cropper
from spkid.data.device_features import DeviceFeatures
from spkid.data.front_end import FrontEnd, read_vad_record, transforms
from spkid.data.plan import EpochPlan, EpochPlanner
from spkid.train.config import FeatureConfig, TrainConfig
from spkid.train.feeds import Feed


@dataclass
class AudioFeed(Feed):
    """A feed of crops, whose features are computed on the training device."""

    features: DeviceFeatures | None = None

    def prepare(self, batch: AudioBatch, device: torch.device) -> torch.Tensor:
        """The features of the crops, or the crops themselves where the network takes waveforms."""
        return network_inputs(batch, self.features, device)


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
    for section in config.data.augmentation:
        if section["name"] == "speed" and section.get("new_speakers"):
            factors = build_augmentation([section], 1.0).speed.factors
            return speakers + [f"sp{factor:g}-{speaker}" for factor in factors for speaker in speakers]
    return speakers


def audio_training_feed(config: TrainConfig, cropper: Cropper, labels: np.ndarray, planner: EpochPlanner) -> AudioFeed:
    """The feed of the training set. Raises InputError for an augmentation whose data cannot be used."""
    augmentation = build_augmentation(config.data.augmentation, cropper.options.sample_frequency)
    masks = SpecAugment(**vars(config.data.spec_augment))
    speakers = int(labels.max()) + 1  # every speaker has utterances that are not held out
    dims = feature_dims(cropper.options)

    def open_epoch(epoch: int) -> AudioBatches:
        plan = planner.plan(epoch)
        return AudioBatches(cropper, labels, speakers, plan, config.seed, epoch, augmentation, masks, dims)

    return AudioFeed(open_epoch, planner.batches, config.data.workers, DeviceFeatures(audio_front_end(config.features)))


def audio_validation_feed(config: TrainConfig, cropper: Cropper, labels: np.ndarray, plan: EpochPlan) -> AudioFeed:
    """The crops of a plan, neither augmented nor masked."""

    def open_epoch(epoch: int) -> AudioBatches:
        return AudioBatches(cropper, labels, 0, plan, 0, 0, Chain(), SpecAugment(), 0)

    features = DeviceFeatures(audio_front_end(config.features))
    return AudioFeed(open_epoch, len(plan), config.data.workers, features)
