"""What may happen to a crop of audio before the network sees it: noise, rooms, speed, level, bandwidth.

A configuration lists transforms, each with its own `probability`; they act one after another:

    augmentation:
      - {name: speed, factors: [0.9, 1.1], probability: 0.67}
      - name: one_of
        choices:
          - {name: none}
          - {name: reverberation, dir: data/rirs}
          - {name: noise, dir: data/musan_noise}
          - {name: music, dir: data/musan_music}
          - {name: babble, dir: data/musan_speech}

All that is drawn comes from the generator of the crop (`chunk_rng`), so that a crop is the same whatever the number of
processes. The signal keeps its length and stays in step with its frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from spkid.data.augment_band import limit_band
from spkid.data.augment_noise import NoiseFiles
from spkid.data.augment_room import Responses, SimulatedRooms
from spkid.data.sections import fill_options, nearest
from spkid.kaldi import InputError

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Options:
    """What every transform has; and but for `speed`, `build(rate)`: the transform of signals (samples,) float32.

    Building raises InputError for data that cannot be used.
    """

    probability: float = 1.0

    def check(self) -> None:
        """Raises InputError for values that cannot be."""
        if not 0 <= self.probability <= 1:
            raise InputError(f"probability must lie between 0 and 1, not {self.probability:g}")


# Transforms are functions and objects that can be pickled: reading processes may be started in any way.


@dataclass(frozen=True)
class Sometimes:
    """A transform that acts with a probability."""

    transform: Transform
    probability: float

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.transform(wave, rng) if rng.random() < self.probability else wave


@dataclass(frozen=True)
class OneOf:
    """One of several transforms, all equally likely."""

    choices: list[Transform]

    def __call__(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.choices[int(rng.integers(len(self.choices)))](wave, rng)


def unchanged(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The signal as it is."""
    return wave


def change_level(wave: np.ndarray, rng: np.random.Generator, db: Sequence[float]) -> np.ndarray:
    """The signal louder by a number of dB drawn from a range."""
    return wave * np.float32(10 ** (rng.uniform(*db) / 20))


def change_band(
    wave: np.ndarray, rng: np.random.Generator, rate: float, low: Sequence[float], high: Sequence[float]
) -> np.ndarray:
    """The signal limited to a band whose limits in Hz are drawn from two ranges."""
    return limit_band(wave, rate, rng.uniform(*low), rng.uniform(*high))


@dataclass(frozen=True)
class NoneOptions(Options):
    """Nothing: a choice of `one_of`."""

    def build(self, rate: float) -> Transform:
        return unchanged


@dataclass(frozen=True)
class NoiseOptions(Options):
    """Adds files of a data directory (its wav.scp), each at a ratio in dB of its own; a short file is repeated."""

    dir: str = ""
    snr: list[float] = field(default_factory=lambda: [0.0, 15.0])
    files: list[int] = field(default_factory=lambda: [1, 1])

    def check(self) -> None:
        super().check()
        _require_dir(self.dir)
        _check_range("snr", self.snr)
        _check_range("files", self.files, lowest=1)

    def build(self, rate: float) -> Transform:
        return NoiseFiles(self.dir, rate, tuple(self.snr), tuple(self.files))


@dataclass(frozen=True)
class MusicOptions(NoiseOptions):
    """Music, as `noise`."""

    snr: list[float] = field(default_factory=lambda: [5.0, 15.0])


@dataclass(frozen=True)
class BabbleOptions(NoiseOptions):
    """Several voices at once."""

    snr: list[float] = field(default_factory=lambda: [13.0, 20.0])
    files: list[int] = field(default_factory=lambda: [3, 7])


@dataclass(frozen=True)
class ReverberationOptions(Options):
    """A room: an impulse response measured in it, from a data directory; the delay of its peak is taken out."""

    dir: str = ""
    level: str = "response"  # scaled to unit energy (VoxCeleb trainer); or signal: the signal keeps its power (Kaldi)

    def check(self) -> None:
        super().check()
        _require_dir(self.dir)
        _check_level(self.level)

    def build(self, rate: float) -> Transform:
        return Responses(self.dir, rate, self.level == "signal")


@dataclass(frozen=True)
class SimulatedRoomOptions(Options):
    """A room whose response is drawn: see `simulate_response`."""

    rt60: list[float] = field(default_factory=lambda: [0.2, 0.8])  # seconds
    direct_to_reverberant: list[float] = field(default_factory=lambda: [-3.0, 12.0])  # dB
    level: str = "response"

    def check(self) -> None:
        super().check()
        _check_range("rt60", self.rt60, lowest=0.01)
        _check_range("direct_to_reverberant", self.direct_to_reverberant)
        _check_level(self.level)

    def build(self, rate: float) -> Transform:
        keep_power = self.level == "signal"
        return SimulatedRooms(rate, self.rt60, self.direct_to_reverberant, keep_power)


@dataclass(frozen=True)
class GainOptions(Options):
    """Another level, in dB."""

    db: list[float] = field(default_factory=lambda: [-10.0, 10.0])

    def check(self) -> None:
        super().check()
        _check_range("db", self.db)

    def build(self, rate: float) -> Transform:
        return partial(change_level, db=self.db)


@dataclass(frozen=True)
class BandLimitOptions(Options):
    """Frequencies outside a band are taken away; its limits are drawn from these ranges, in Hz."""

    low: list[float] = field(default_factory=lambda: [0.0, 400.0])
    high: list[float] = field(default_factory=lambda: [3000.0, 7500.0])

    def check(self) -> None:
        super().check()
        _check_range("low", self.low, lowest=0.0)
        _check_range("high", self.high, lowest=1.0)
        if self.low[1] >= self.high[0]:
            raise InputError(f"low reaches up to {self.low[1]:g} Hz, above the beginning of high, {self.high[0]:g} Hz")

    def build(self, rate: float) -> Transform:
        return partial(change_band, rate=rate, low=self.low, high=self.high)


@dataclass(frozen=True)
class SpeedOptions(Options):
    """Another speed (and pitch), one of these factors. With `new_speakers` each factor makes speakers of its own."""

    factors: list[float] = field(default_factory=lambda: [0.9, 1.1])
    new_speakers: bool = False
    probability: float = 2 / 3

    def check(self) -> None:
        super().check()
        if not self.factors or len(set(self.factors)) < len(self.factors):
            raise InputError(f"factors must be one or more different numbers, not {self.factors}")
        for factor in self.factors:
            if not 0.5 <= factor <= 2 or factor == 1:
                raise InputError(f"factors: {factor:g} is none; numbers from 0.5 to 2 other than 1 are")


@dataclass(frozen=True)
class OneOfOptions(Options):
    """One of several transforms, all equally likely."""

    choices: list[dict[str, Any]] = field(default_factory=list)

    def check(self) -> None:
        super().check()
        if not self.choices:
            raise InputError("choices is empty: list at least one transform")
        for place, choice in enumerate(self.choices, 1):
            if isinstance(choice, dict) and choice.get("name") == "speed":
                raise InputError("speed cannot be a choice of one_of: list it by itself")
            _options_of(choice, f"choices, number {place}")

    def build(self, rate: float) -> Transform:
        return OneOf([_with_probability(_options_of(choice, "choices"), rate) for choice in self.choices])


AUGMENTATIONS: dict[str, type[Options]] = {
    "none": NoneOptions,
    "noise": NoiseOptions,
    "music": MusicOptions,
    "babble": BabbleOptions,
    "reverberation": ReverberationOptions,
    "simulated_room": SimulatedRoomOptions,
    "gain": GainOptions,
    "band_limit": BandLimitOptions,
    "speed": SpeedOptions,
    "one_of": OneOfOptions,
}


def check_augmentation(sections: Sequence[dict[str, Any]], source: str = "data.augmentation") -> None:
    """Raises InputError for the first section of a list of transforms that cannot be; opens no file."""
    speeds = 0
    for place, section in enumerate(sections, 1):
        speeds += isinstance(_options_of(section, f"{source}, number {place}"), SpeedOptions)
    if speeds > 1:
        raise InputError(f"{source}: speed stands in it more than once: give it all factors")


def copies_of_speakers(sections: Sequence[dict[str, Any]]) -> list[float]:
    """The speeds at which copies of the speakers are speakers of their own. Raises InputError as the check does."""
    found = [_options_of(section, "data.augmentation") for section in sections]
    return [factor for one in found if isinstance(one, SpeedOptions) and one.new_speakers for factor in one.factors]


def augmentation_directories(sections: Sequence[dict[str, Any]]) -> list[str]:
    """The data directories that these transforms read, in order, each once."""
    found: list[str] = []
    for section in sections:
        found += [section["dir"]] if section.get("dir") else []
        found += augmentation_directories(section.get("choices", []))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Chain:
    """Transforms one after another, and the speed that crops are read at before them."""

    transforms: tuple[Transform, ...] = ()
    speed: SpeedOptions | None = None

    def draw_speed(self, rng: np.random.Generator) -> tuple[float, int]:
        """The speed of a crop, and which copy of the speaker it belongs to (0: the speaker)."""
        if self.speed is None or rng.random() >= self.speed.probability:
            return 1.0, 0
        place = int(rng.integers(len(self.speed.factors)))
        return self.speed.factors[place], place + 1 if self.speed.new_speakers else 0

    def apply(self, wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(samples,) float32 -> the same length, which may leave +-1."""
        for transform in self.transforms:
            wave = transform(wave, rng)
        return wave


def build_augmentation(sections: Sequence[dict[str, Any]], rate: float) -> Chain:
    """The transforms of a configuration's list. Raises InputError, also for directories without usable audio."""
    check_augmentation(sections)
    speed, transforms = None, []
    for place, section in enumerate(sections, 1):
        options = _options_of(section, f"data.augmentation, number {place}")
        if isinstance(options, SpeedOptions):
            speed = options
        else:
            transforms.append(_with_probability(options, rate))
    return Chain(tuple(transforms), speed)


def _with_probability(options: Options, rate: float) -> Transform:
    transform = options.build(rate)
    return transform if options.probability == 1 else Sometimes(transform, options.probability)


def _options_of(section: Any, source: str) -> Options:
    """The options of one section, checked."""
    if not isinstance(section, dict) or not isinstance(section.get("name"), str):
        raise InputError(f"{source}: must be a section with a name, such as {{name: noise, dir: data/noise}}")
    name = section["name"]
    if name not in AUGMENTATIONS:
        raise InputError(f"{source}: unknown augmentation '{name}' ({nearest(name, AUGMENTATIONS)})")
    values = {key: value for key, value in section.items() if key != "name"}
    options = fill_options(AUGMENTATIONS[name], values, source, name)
    try:
        options.check()
    except InputError as error:
        raise InputError(f"{source}: {name}: {error}") from None
    return options


def _check_range(key: str, bounds: list[float], lowest: float = -math.inf) -> None:
    if len(bounds) != 2:
        raise InputError(f"{key} must be two numbers, the least and the greatest, not {bounds}")
    if bounds[0] > bounds[1]:
        raise InputError(f"{key}: {bounds} is the wrong way round: write [{bounds[1]:g}, {bounds[0]:g}]")
    if bounds[0] < lowest:
        raise InputError(f"{key} must not be less than {lowest:g}, not {bounds[0]:g}")


def _require_dir(path: str) -> None:
    if not path:
        raise InputError("dir is missing: name the data directory with the audio (its wav.scp)")


def _check_level(level: str) -> None:
    if level not in ("response", "signal"):
        raise InputError(f"level must be response or signal, not {level!r}")
