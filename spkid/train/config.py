"""The training recipe: one YAML file, read into dataclasses.

    seed: 0
    features: {type: mfcc, cmn: sliding, cmn_window: 300, vad: true}
    model: {name: xvector, channels: 256}
    loss: {name: am_softmax, margin: 0.2, scale: 30}
    data: {chunk_frames: [200, 300], micro_batch: 64}
    optimizer: {name: adam, lr: 1e-3}
    schedule: {name: one_cycle, epochs: 20}

Every key has a default but `features.type`, and every unknown key is an error that names the nearest known one. The
sections `model`, `loss`, `optimizer` and `schedule` take a `name` and the options of what it names, checked against it.
`--set optimizer.lr=0.01` on a command line changes one value after the file is read.
"""

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spkid.data.audio_options import audio_options
from spkid.data.augmentation import check_augmentation, copies_of_speakers
from spkid.data.front_end import CMN_KINDS
from spkid.data.plan import SAMPLERS, HardNegativeOptions
from spkid.kaldi import InputError
from spkid.train import optimizers, schedules, yaml_text
from spkid.train.config_values import at_least_zero, check_named, fill, one_of, positive, set_value
from spkid.train.initialization import INITIAL
from spkid.train.patience import WATCHED

PRECISIONS = ("float32", "bf16")
DEVICES = ("auto", "cpu", "cuda")
BATCHES = ("chunks", "frames", "labelled_segments")
TRIPLET_SAMPLERS = ("triplets", "hard_negatives")


@dataclass(frozen=True)
class FeatureConfig:
    """What the network sees: the kind of features (checked against the data's feats.json) and what is done to them."""

    type: str
    cmn: str = "sliding"  # sliding, utterance or none; sliding is Kaldi's, centred
    cmn_window: int = 300  # frames, of sliding
    vad: bool = True  # only frames that vad.scp calls speech
    source: str = "files"  # feats.scp; or audio: computed of wav.scp while training, on the training device
    options: dict[str, Any] = field(default_factory=dict)  # of audio: those of compute-<type>-feats, in snake_case

    def check(self) -> None:
        one_of("features.cmn", self.cmn, CMN_KINDS)
        positive("features.cmn_window", self.cmn_window)
        one_of("features.source", self.source, ("files", "audio"))
        if self.source == "files" and self.options:
            raise InputError("features.options are for features.source: audio; those of feats.scp are made already")
        if self.source == "audio":
            audio_options(self.type, self.options)
            if self.type == "waveform" and self.cmn != "none":
                raise InputError("features.cmn must be none for waveforms, which have no mean to take away")
            if self.vad and self.cmn == "sliding":
                raise InputError(
                    "features.cmn: sliding is a mean over frames that features.vad leaves out; with features.source: "
                    "audio take cmn: utterance or none, or vad: false"
                )


@dataclass(frozen=True)
class SpecAugmentConfig:
    """Random bands of time and frequency replaced by 0, the mean of normalised features (Park et al., 2019)."""

    time_masks: int = 0
    time_width: int = 10  # frames, the widest mask
    frequency_masks: int = 0
    frequency_width: int = 8  # feature dimensions, the widest mask

    @property
    def masks(self) -> int:
        """How many a chunk gets."""
        return self.time_masks + self.frequency_masks

    def check(self) -> None:
        for key in ("time_masks", "time_width", "frequency_masks", "frequency_width"):
            at_least_zero(f"data.spec_augment.{key}", getattr(self, key))


@dataclass(frozen=True)
class DataConfig:
    """How the training set becomes batches."""

    batches: str = "chunks"  # of utterances; or frames (each with its neighbours), or labelled_segments (by vad.scp)
    chunk_frames: list[int] = field(default_factory=lambda: [200])  # every micro-batch draws one of these lengths
    chunks_per_utterance: int = 1  # in an epoch; of "balanced": on average
    sampler: str = "shuffled"  # balanced: as many chunks of every speaker; speakers_by_utterances; triplets;
    # hard_negatives: triplets chosen by a table of embeddings
    utterances_per_speaker: int = 2  # K of speakers_by_utterances
    max_per_speaker: int = 0  # utterances of a speaker in an epoch, other ones each time; 0: all
    micro_batch: int = 64  # chunks that batch normalisation sees together
    micro_batches: int = 1  # accumulated for one update; a batch is micro_batch * micro_batches chunks
    global_batch: int = 0  # chunks of a batch, where micro_batches is to follow from it; 0: it is given
    workers: int = 0  # reading processes; changes the speed, never the batches
    memory_mb: int = 1024  # each set whose features fit is read once and kept; 0: always read from disk
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)
    augmentation: list[dict[str, Any]] = field(default_factory=list)  # of audio: spkid.data.augmentation
    hard_negatives: HardNegativeOptions = field(default_factory=HardNegativeOptions)

    def check(self) -> None:
        one_of("data.batches", self.batches, BATCHES)
        if not self.chunk_frames:
            raise InputError("data.chunk_frames is empty: give at least one length in frames")
        for frames in self.chunk_frames:
            positive("data.chunk_frames", frames)
        for key in ("chunks_per_utterance", "micro_batches"):
            positive(f"data.{key}", getattr(self, key))
        if self.utterances_per_speaker < 2:
            raise InputError(f"data.utterances_per_speaker must be at least 2, not {self.utterances_per_speaker}")
        if self.micro_batch < 2:
            raise InputError(f"data.micro_batch is {self.micro_batch}: batch normalisation needs at least 2 chunks")
        for key in ("workers", "memory_mb", "max_per_speaker"):
            at_least_zero(f"data.{key}", getattr(self, key))
        one_of("data.sampler", self.sampler, (*SAMPLERS, "hard_negatives"))
        if self.batches != "chunks" and self.sampler not in ("shuffled", "balanced"):
            raise InputError(f"data.sampler {self.sampler} takes utterances together: say data.batches: chunks")
        if self.global_batch and self.micro_batch * self.micro_batches != self.global_batch:
            raise InputError(
                f"data.global_batch is {self.global_batch}, but data.micro_batches ({self.micro_batches}) times "
                f"data.micro_batch ({self.micro_batch}) is another number; leave micro_batches out"
            )
        if self.sampler == "hard_negatives":
            self._check_hard_negatives()
        self.spec_augment.check()
        check_augmentation(self.augmentation)

    def _check_hard_negatives(self) -> None:
        for key, value in vars(self.hard_negatives).items():
            positive(f"data.hard_negatives.{key}", value)
        if self.hard_negatives.utterances < 2:
            raise InputError("data.hard_negatives.utterances must be at least 2: an anchor needs a positive")
        if len(self.chunk_frames) > 1:
            raise InputError("data.sampler hard_negatives compares chunks of one length: give one data.chunk_frames")
        if self.micro_batch != 3 * self.hard_negatives.triplets:
            raise InputError(
                f"data.sampler hard_negatives chooses {self.hard_negatives.triplets} triplets a round: "
                f"set data.micro_batch to {3 * self.hard_negatives.triplets}"
            )


@dataclass(frozen=True)
class ValidationConfig:
    """Utterances of the training speakers held out from training, and trials of other speakers where they are given."""

    fraction: float = 0.05  # of each speaker's utterances; every speaker keeps at least two thirds for training
    max_utterances: int = 1000
    every: int = 1  # epochs
    trials_every: int = 5  # epochs; the EER on the development trials; always after the last epoch; 0: never

    def check(self) -> None:
        if not 0 <= self.fraction <= 0.5:
            raise InputError(f"validation.fraction must lie in 0 to 0.5, not {self.fraction:g}")
        positive("validation.every", self.every)
        at_least_zero("validation.max_utterances", self.max_utterances)
        at_least_zero("validation.trials_every", self.trials_every)


@dataclass(frozen=True)
class CheckpointConfig:
    """When the state of training is written; the newest `keep` files stay."""

    minutes: float = 10.0  # between checkpoints inside an epoch; there is always one at its end
    keep: int = 2

    def check(self) -> None:
        if not self.minutes > 0:
            raise InputError(f"checkpoints.minutes must be positive, not {self.minutes:g}")
        positive("checkpoints.keep", self.keep)


@dataclass(frozen=True)
class MarginScheduleConfig:
    """The loss's margin while training goes on; see `spkid.train.schedules.margin_at`."""

    initial: float = 0.0  # up to start_epoch
    start_epoch: float = 0.0  # epochs behind us when the margin begins to grow
    full_epoch: float = 0.0  # and when it is full; 0: it is full from the beginning
    rise: str = "exponential"  # or linear

    def check(self) -> None:
        for key in ("initial", "start_epoch", "full_epoch"):
            at_least_zero(f"margin_schedule.{key}", getattr(self, key))
        if self.full_epoch and not self.start_epoch < self.full_epoch:
            raise InputError(
                f"margin_schedule.full_epoch ({self.full_epoch:g}) must lie behind start_epoch ({self.start_epoch:g})"
            )
        one_of("margin_schedule.rise", self.rise, schedules.RISES)


@dataclass(frozen=True)
class AveragingConfig:
    """Averages of weights, which validation and the final network use; see `spkid.train.averaging`."""

    ema_decay: float = 0.0  # of the exponential average over the updates, such as 0.999; 0: none
    last_epochs: int = 1  # the final weights are the mean of those after so many of the last epochs

    def check(self) -> None:
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"averaging.ema_decay must lie between 0 and 1, not {self.ema_decay:g}")
        positive("averaging.last_epochs", self.last_epochs)
        if self.ema_decay and self.last_epochs > 1:
            raise InputError("averaging takes ema_decay or last_epochs, not both")


@dataclass(frozen=True)
class PatienceConfig:
    """When training stops before its last epoch, and which epoch's weights are the final ones."""

    epochs: int = 0  # without a better value of `watch`; 0: never
    watch: str = "valid_loss"  # or valid_accuracy, dev_eer
    keep: str = "last"  # or best: the weights of the epoch with the best value

    def check(self) -> None:
        at_least_zero("patience.epochs", self.epochs)
        one_of("patience.watch", self.watch, WATCHED)
        one_of("patience.keep", self.keep, ("last", "best"))


@dataclass(frozen=True)
class TrainConfig:
    """One system."""

    features: FeatureConfig
    seed: int = 0
    threads: int = 2  # of one process; part of the recipe, because sums depend on it in the last digit
    device: str = "auto"
    precision: str = "float32"
    compile: bool = False  # the network by torch.compile: faster after the minutes that each chunk length takes once
    model: dict[str, Any] = field(default_factory=lambda: {"name": "xvector"})
    loss: dict[str, Any] = field(default_factory=lambda: {"name": "softmax"})
    initial_model: str = ""  # an experiment directory or a published checkpoint that training starts from
    initial_source: str = ""  # who wrote the checkpoint: wespeaker, speechbrain, ...; "": it is an experiment directory
    freeze_epochs: int = 0  # the first epochs, in which only the loss learns and the network stays as it is
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: dict[str, Any] = field(default_factory=lambda: {"name": "adam"})
    schedule: dict[str, Any] = field(default_factory=lambda: {"name": "one_cycle", "epochs": 20})
    margin_schedule: MarginScheduleConfig = field(default_factory=MarginScheduleConfig)
    clip_norm: float = 5.0  # the gradient is scaled down to this norm; 0: never
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    averaging: AveragingConfig = field(default_factory=AveragingConfig)
    patience: PatienceConfig = field(default_factory=PatienceConfig)
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)

    def check(self) -> None:
        """Raise InputError for the first value that cannot be right."""
        at_least_zero("seed", self.seed)
        positive("threads", self.threads)
        one_of("device", self.device, DEVICES)
        one_of("precision", self.precision, PRECISIONS)
        at_least_zero("clip_norm", self.clip_norm)
        at_least_zero("freeze_epochs", self.freeze_epochs)
        parts = (self.features, self.data, self.validation, self.margin_schedule, self.averaging, self.patience)
        for part in (*parts, self.checkpoints):
            part.check()
        if self.data.augmentation and self.features.source != "audio":
            raise InputError("data.augmentation acts on audio: say features.source: audio")
        if self.data.sampler not in ("shuffled", "balanced") and copies_of_speakers(self.data.augmentation):
            raise InputError(
                f"data.sampler {self.data.sampler} puts utterances of a speaker together, which speed with "
                "new_speakers would give different speakers: say new_speakers: false"
            )
        if self.features.type == "waveform" and self.data.spec_augment.masks:
            raise InputError("data.spec_augment masks features; waveforms have none")
        if self.data.batches != "chunks" and self.features.source == "audio":
            raise InputError(f"data.batches {self.data.batches} are made of features.source: files")
        if self.data.batches == "labelled_segments" and self.features.vad:
            raise InputError("data.batches labelled_segments are taken from all frames: say features.vad: false")
        if self.patience.keep == "best" and self.averaging.last_epochs > 1:
            raise InputError("patience.keep best and averaging.last_epochs exclude each other: choose one")
        if not self.initial_model:
            for key, given in {
                "initial_source": self.initial_source,
                "freeze_epochs": self.freeze_epochs,
                f"model.name {INITIAL}": self.model.get("name") == INITIAL,
            }.items():
                if given:
                    raise InputError(f"{key} is given, but there is no initial_model to start from")
        check_named("optimizer", self.optimizer, optimizers.OPTIMIZERS, optimizers.options)
        check_named("schedule", self.schedule, schedules.SCHEDULES, schedules.options)
        optimizers.check(self.optimizer)
        schedules.check(self.schedule)

    def check_names(self, source: str) -> None:
        """Raise InputError, naming the file, for a network, a loss or an option that does not exist. Starts torch."""
        from spkid.nnet import LOSSES, NETWORKS, loss_options, network_options
        from spkid.train.objective import compares

        try:
            if self.model.get("name") != INITIAL:  # of which the options are looked at when it is opened
                check_named("model", self.model, NETWORKS, network_options, given_elsewhere=("input_dim",))
                self._check_input("input_dim" in network_options(self.model["name"]))
            check_named("loss", self.loss, LOSSES, loss_options, given_elsewhere=("embedding_dim", "num_classes"))
            self._check_agreement(compares(self.loss["name"]))
            if self.margin_schedule.full_epoch and "margin_warmup" not in loss_options(self.loss["name"]):
                raise InputError(f"margin_schedule needs a loss with a margin that can grow, not {self.loss['name']}")
            if self.margin_schedule.full_epoch and self.loss.get("margin_warmup"):
                raise InputError("the margin grows by margin_schedule or by loss.margin_warmup, not by both")
        except InputError as error:
            raise InputError(f"{source}: {error}") from None

    def _check_input(self, takes_features: bool) -> None:
        """Raise InputError where the network does not take what it is given."""
        name, kind = self.model["name"], self.features.type
        if takes_features and kind == "waveform":
            raise InputError(f"the network {name} takes features, not waveforms: say features.type: fbank")
        if not takes_features and kind != "waveform":
            raise InputError(
                f"the network {name} takes waveforms, not {kind}: "
                "say features: {type: waveform, source: audio, cmn: none, vad: false}"
            )

    def _check_agreement(self, compares: bool) -> None:
        """Raise InputError where network, loss, batches and sampler do not go together."""
        network, loss, data = self.model.get("name"), self.loss["name"], self.data
        kinds = {"frames": ("frame_mlp", "nll"), "labelled_segments": ("lstm_vad", "bce")}
        for batches, (its_network, its_loss) in kinds.items():
            one = {f"data.batches {batches}": data.batches == batches, f"the network {its_network}":
                   network == its_network, f"the loss {its_loss}": loss == its_loss}  # fmt: skip
            missing = [name for name, given in one.items() if not given]
            if network == INITIAL and f"the network {its_network}" in missing and len(missing) == 1:
                missing = []
            if missing and len(missing) < len(one):
                given = next(name for name in one if name not in missing)
                raise InputError(f"{given} goes together with {' and '.join(missing)}")
        if data.sampler in TRIPLET_SAMPLERS and loss != "cosine_triplet":
            raise InputError(f"data.sampler {data.sampler} makes triplets for the loss cosine_triplet, not for {loss}")
        if compares and data.sampler not in ("speakers_by_utterances", *TRIPLET_SAMPLERS):
            raise InputError(f"the loss {loss} compares utterances: set data.sampler to speakers_by_utterances")
        pairs = loss in ("triplet", "cosine_triplet") and data.sampler == "speakers_by_utterances"
        if pairs and data.utterances_per_speaker != 2:
            raise InputError(f"the loss {loss} takes pairs: set data.utterances_per_speaker to 2")

    def what_decides(self) -> dict[str, Any]:
        """The values that the weights depend on: all but those that only change the time or the files kept."""
        values = self.to_dict()
        del values["checkpoints"], values["data"]["workers"], values["data"]["memory_mb"]
        del values["data"]["global_batch"]  # it is in micro_batches
        return values

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and YAML store them."""
        return dataclasses.asdict(self)


def load_config(path: str | Path, overrides: typing.Iterable[str] = ()) -> TrainConfig:
    """The recipe in the YAML file `path`, with `overrides` ("optimizer.lr=0.01") applied. Raises InputError.

    Names of networks, losses and their options are looked at by `TrainConfig.check_names`: that takes torch, and a
    finished experiment should be able to say so at once.
    """
    values = yaml_text.load(path)
    for override in overrides:
        set_value(values, override)
    return config_from_dict(values, str(path))


def config_from_dict(values: dict[str, Any], source: str) -> TrainConfig:
    """The recipe in a plain dictionary; `source` names it in errors. Raises InputError."""
    if "initial_model" in values and "model" not in values:
        values = {**values, "model": {"name": INITIAL}}
    config = fill(TrainConfig, values, source, "")
    try:
        config = _with_micro_batches(config)
        config.check()
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    return config


def _with_micro_batches(config: TrainConfig) -> TrainConfig:
    """The configuration with the micro-batches that its global batch asks for."""
    data = config.data
    if not data.global_batch or data.micro_batches != 1:
        return config
    if data.micro_batch < 1 or data.global_batch % data.micro_batch:
        raise InputError(f"data.global_batch {data.global_batch} is no multiple of data.micro_batch {data.micro_batch}")
    counted = dataclasses.replace(data, micro_batches=data.global_batch // data.micro_batch)
    return dataclasses.replace(config, data=counted)
