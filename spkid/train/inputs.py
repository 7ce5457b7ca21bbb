"""The files that a training depends on; free of torch, so that a finished step can say so at once."""

from pathlib import Path

from spkid.data.augmentation import augmentation_directories
from spkid.data.front_end import audio_files, feature_files, training_files
from spkid.train.config import TrainConfig
from spkid.train.initialization import initial_files


def input_files(
    config: TrainConfig,
    data_dir: Path,
    dev_dir: Path | None,
    dev_trials: Path | None,
    valid_dir: Path | None = None,
) -> list[Path]:
    """Those of the data, of both kinds of validation, of augmentation and of the network that is started from."""
    is_audio, noises = config.features.source == "audio", augmentation_directories(config.data.augmentation)
    files = training_files(data_dir, dev_dir, dev_trials, is_audio, noises)
    if valid_dir is not None:
        files += (audio_files if is_audio else feature_files)(valid_dir)
    return files + initial_files(config.initial_model, config.initial_source)
