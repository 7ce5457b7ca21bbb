"""Small data directories of audio for tests."""

from pathlib import Path

import numpy as np

from spkid.audio import WAVE, Wave, write_wav
from spkid.features import FrameOptions, num_frames
from spkid.kaldi.tables import VECTOR, TableWriter, write_id_map

RATE = 16000


def voice(seed: int, seconds: float, rate: int = RATE) -> np.ndarray:
    """Noise of a colour of its own, some of it loud and some not, (samples,) float32."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * rate)
    colour = rng.normal(size=9)
    wave = np.convolve(rng.normal(size=samples), colour / np.abs(colour).sum(), "same")
    loudness = np.repeat(rng.uniform(0.02, 0.3, size=samples // 800 + 1), 800)[:samples]
    return (wave * loudness).astype(np.float32)


def make_audio(directory: Path, speakers: int = 3, utterances: int = 4, rate: int = RATE, durations: bool = True):
    """wav.scp of 16-bit files of 0.5 to 2 s, utt2spk, utt2dur where asked for; returns the directory."""
    directory.mkdir(parents=True)
    scripts, utt2spk, seconds = {}, {}, {}
    for speaker in range(speakers):
        for number in range(utterances):
            utterance = f"spk{speaker:02d}-utt{number:02d}"
            wave = voice(100 * speaker + number, 0.5 + 0.37 * ((speaker + 2 * number) % 5), rate)
            scripts[utterance] = str(directory / f"{utterance}.wav")
            write_wav(scripts[utterance], wave, rate)
            utt2spk[utterance], seconds[utterance] = f"spk{speaker:02d}", f"{len(wave) / rate:.2f}"
    write_id_map(directory / "wav.scp", scripts)
    write_id_map(directory / "utt2spk", utt2spk)
    members = {speaker: [one for one in utt2spk if utt2spk[one] == speaker] for speaker in utt2spk.values()}
    write_id_map(directory / "spk2utt", {speaker: " ".join(names) for speaker, names in members.items()})
    if durations:
        write_id_map(directory / "utt2dur", seconds)
    return directory


def write_vad(directory: Path, samples: dict[str, int], options: FrameOptions, share: float = 0.6) -> None:
    """vad.scp with decisions that change every few frames, for utterances of so many samples."""
    with TableWriter(f"ark,scp:{directory}/vad.ark,{directory}/vad.scp", VECTOR) as writer:
        for place, (utterance, length) in enumerate(samples.items()):
            frames = num_frames(length, options)
            rng = np.random.default_rng(place)
            runs = np.repeat(rng.random(frames // 3 + 1) < share, rng.integers(1, 9, size=frames // 3 + 1))
            decisions = np.resize(runs, frames).astype(np.float32)
            decisions[frames // 2] = 1.0
            writer.write(utterance, decisions)


def archive(directory: Path, waves: dict[str, np.ndarray], rate: int = RATE) -> None:
    """wav.scp whose lines are places in an archive."""
    directory.mkdir(parents=True, exist_ok=True)
    with TableWriter(f"ark,scp:{directory}/wav.ark,{directory}/wav.scp", WAVE) as writer:
        for name, wave in waves.items():
            writer.write(name, Wave(wave, rate))
