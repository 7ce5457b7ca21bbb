#!/usr/bin/env python3
"""A picture of a recording: its waveform, its mel spectrogram, and where one or two label files find speech."""

import io
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.audio import read_audio
from spkid.audio.labels import Interval, frame_labels, intervals_of, read_labels, seconds_of
from spkid.features import FbankOptions, fbank
from spkid.jobs import Program
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.tables import VECTOR, open_table, read_script

WINDOW, HOP, MELS = 320, 160, 23  # samples and bands, those of the LSTM laboratory sheet
COMPARED_EVERY = 0.01  # seconds
COLOURS = ("#0072B2", "#D55E00")


class PlotAudio(Program):
    """Draws AUDIO into PICTURE (PNG) and says how long it is and how much speech each label track finds in it.

    Label files: .rttm, .lab, .txt (Audacity), .voz (0 or 1 a sample). With --vad a vad.scp is drawn as a track too;
    AUDIO is then an utterance's id in --data. Two tracks are also compared with each other, every 10 ms.
    """

    EXAMPLE = "utils/plot_audio.py --labels reference.lab --labels guess.rttm recording.wav recording.png"

    labels = cli.SwitchAttr("--labels", cli.ExistingFile, list=True, help="a label file; may be given twice")
    data = cli.SwitchAttr("--data", cli.ExistingDirectory, help="a data directory: AUDIO is an id in its wav.scp")
    vad = cli.SwitchAttr("--vad", cli.ExistingFile, list=True, help="a vad.scp, 10 ms a frame; may be given twice")
    names = cli.SwitchAttr("--name", str, list=True, help="of a track in the picture: label files first, then tables")
    start = cli.SwitchAttr("--start", float, default=0.0, help="draw from this second on")
    seconds = cli.SwitchAttr("--seconds", float, default=0.0, help="draw so many seconds (0: to the end)")

    def main(self, audio: str, picture: str) -> int:
        if len(self.labels) + len(self.vad) > len(COLOURS):
            raise InputError("at most two tracks fit into one picture: give --labels and --vad twice in all")
        name = read_script(Path(self.data) / "wav.scp").get(audio) if self.data else audio
        if name is None:
            raise InputError(f"{self.data}/wav.scp: has no entry for {audio}")
        wave, rate = read_audio(name)
        duration = len(wave) / rate
        if self.names and len(set(self.names)) != len(self.labels) + len(self.vad):
            raise InputError("give every track a --name of its own, or none of them")
        tracks = {path: read_labels(path, rate=rate) for path in self.labels}
        tracks |= {path: _vad_track(path, audio) for path in self.vad}
        if self.names:
            tracks = dict(zip(self.names, tracks.values(), strict=True))
        tracks = {path: [(a, min(b, duration)) for a, b in track if a < duration] for path, track in tracks.items()}
        if not 0 <= self.start < duration or self.seconds < 0:
            raise InputError(f"{audio} lasts {duration:.2f} s: --start must lie in it and --seconds be positive")
        end = min(duration, self.start + self.seconds) if self.seconds else duration
        drawing = io.BytesIO()
        draw(drawing, audio, wave, rate, tracks, (self.start, end))
        with atomic_write(picture, "wb") as stream:
            stream.write(drawing.getvalue())
        print(f"{audio}: {duration:.2f} s at {rate:g} Hz, drawn in {picture}")
        for path, track in tracks.items():
            spoken = seconds_of(track)
            print(f"{path}: {spoken:.2f} s of speech ({100 * spoken / duration:.1f}%) in {len(track)} pieces")
        if len(tracks) == 2:
            print(_comparison(tracks, duration))
        return 0


def draw(
    file: io.BytesIO, title: str, wave: np.ndarray, rate: int, tracks: dict[str, list[Interval]], span: Interval
) -> None:
    """Waveform with the tracks above and below it, and the mel spectrogram, between two times in seconds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first, last = (round(time * rate) for time in span)
    wave = wave[first:last]
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.1, 1))
    times, low, high = _envelope(wave, rate)
    upper.fill_between(times + span[0], low, high, color="#6b7280", linewidth=0.4)
    peak = max(float(np.abs(wave).max(initial=0.0)), 1.0e-4)
    for number, (path, track) in enumerate(tracks.items()):
        sign = 1.0 if number == 0 else -1.0
        label = f"{Path(path).name}: {seconds_of(track):.1f} s of speech"
        for start, end in track:
            upper.fill_between([start, end], 0, 1.12 * sign * peak, color=COLOURS[number], alpha=0.16, linewidth=0)
            upper.plot([start, start, end, end], np.array([0, 1.12, 1.12, 0]) * sign * peak, color=COLOURS[number],
                       linewidth=1.1, label=label)  # fmt: skip
            label = None
    upper.set(ylabel="amplitude", title=Path(title).name, ylim=(-1.3 * peak, 1.3 * peak))
    if tracks:
        upper.legend(loc="upper right", fontsize="small", framealpha=0.9)
    bands = _mel_spectrogram(wave, rate)
    if len(bands):
        floor = float(np.percentile(bands, 5))
        half = WINDOW / 2 / rate
        extent = (span[0] + half, span[0] + half + len(bands) * HOP / rate, 0.5, MELS + 0.5)
        lower.imshow(bands.T, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=floor)
    lower.set(xlabel="time, s", ylabel="mel band", xlim=span)
    figure.savefig(file, format="png", dpi=120)


def _envelope(wave: np.ndarray, rate: int, columns: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, lowest and highest samples of at most `columns` pieces: what can be seen, and quick to draw."""
    size = max(1, -(-len(wave) // columns))
    starts = np.arange(0, len(wave), size)
    return starts / rate, np.minimum.reduceat(wave, starts), np.maximum.reduceat(wave, starts)


def _mel_spectrogram(wave: np.ndarray, rate: int) -> np.ndarray:
    """Logarithmic mel bands, (frames, 23); none for a recording shorter than a window."""
    if len(wave) < WINDOW:
        return np.zeros((0, MELS), np.float32)
    options = FbankOptions(
        sample_frequency=rate, frame_length=1000 * WINDOW / rate, frame_shift=1000 * HOP / rate, num_mel_bins=MELS
    )
    return fbank(wave, options)


def _vad_track(path: str, utterance: str) -> list[Interval]:
    with open_table(f"scp:{path}", VECTOR) as table:
        if utterance not in table:
            raise InputError(f"{path}: has no decisions for {utterance}; give --data and an utterance's id")
        return intervals_of(table[utterance])


def _comparison(tracks: dict[str, list[Interval]], duration: float) -> str:
    first, second = (frame_labels(track, max(1, int(duration / COMPARED_EVERY))) > 0 for track in tracks.values())
    one, other = (Path(path).name for path in tracks)
    only = [COMPARED_EVERY * np.sum(mine & ~theirs) for mine, theirs in ((first, second), (second, first))]
    return (
        f"they agree in {100 * np.mean(first == second):.1f}% of the time; speech only in {one} {only[0]:.2f} s, "
        f"only in {other} {only[1]:.2f} s"
    )


if __name__ == "__main__":
    PlotAudio.run()
