#!/usr/bin/env python3
"""Speech with labels of where there is speech: the voice activity laboratory's files, and other kinds of labels.

    train.lst, *.mat          X (frames, 60): 20 MFCC and their derivatives, Y (frames, 1) of 0 and 1, at 100 Hz
    a.wav, a.voz              a recording and a 0 or a 1 for every sample, as text
    a.wav, a.lab              start, end, label (HTK: in units of 100 ns)
    a.wav, a.txt              Audacity's label track: start, end, label in seconds
    a.wav, a.rttm             NIST's SPEAKER lines; also one file for all recordings (--labels all.rttm)

The data directories hold feats.scp (from .mat) or wav.scp (recordings), and vad.scp: one 0/1 vector an utterance.
`noise` prepares noises at the same rate, to be mixed with speech.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.noises import TALKERS, VOICES, babble, synthetic_noises
from local.common.walking import File, LeftOut, files_below, folder, word
from local.common.writing import KNOWN_FILES, finish, preparation, write_data_dir
from spkid.audio import Recording, read_audio, resample, write_wav
from spkid.audio.labels import SUFFIXES, frame_labels, read_labels
from spkid.data.front_end import FeatureRecord, write_record, write_vad_record
from spkid.features.frames import num_frames
from spkid.features.mat import read_mat, read_mat_list
from spkid.features.options import FrameOptions
from spkid.jobs import Program, Step, boolean, progress
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_subset import remove_files
from spkid.kaldi.lists import write_id_map
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter

AUDIO = (".wav", ".flac")
HALVES = ("first", "second")


class VadLab(Program):
    """Speech with labels of where there is speech: data directories with vad.scp."""

    EXAMPLE = "local/vad_lab.py mat --list train.lst data/train"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `vad_lab.py mat`, `labels` or `noise` (--help says more)")


@VadLab.subcommand("mat")
class Mat(Program):
    """Writes feats.scp, utt2num_frames and vad.scp of the MATLAB files of a list; a damaged file is left out.

    An utterance is called as its file below the folder that all files of the list share.
    """

    EXAMPLE = VadLab.EXAMPLE

    list_file = cli.SwitchAttr("--list", str, mandatory=True, help="a .lst: names of .mat files, beside it or below")
    columns = cli.SwitchAttr("--columns", cli.Range(1, 10**4), default=20, help="of X that are used, from the first")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        data, left_out, names = Path(data_dir), LeftOut(), {}
        source = Path(self.list_file)
        files = read_mat_list(source)
        above = os.path.commonpath([path.parent for path in files])  # tells nothing apart
        for path in files:
            name = word("-".join(path.relative_to(above).with_suffix("").parts))
            if name in names:
                raise InputError(f"{source}: {path} and {names[name]} would both be utterance {name}")
            names[name] = path.resolve()
        sizes = [File(str(path), path.stat().st_size) for path in names.values()]
        options = {"columns": self.columns}
        outputs = ["utt2num_frames"]
        step = preparation(
            "vad_lab", data, ["."], sizes, inputs=[source], options=options, outputs=outputs, force=self.force,
            script="vad.scp",
        )  # fmt: skip
        with step:
            if step.is_done:
                return 0
            frames, speech = {}, 0
            data.mkdir(parents=True, exist_ok=True)
            with _table(data, "feats", MATRIX) as feats, _table(data, "vad", VECTOR) as vad:
                for name in progress(sorted(names), data.name, unit="files"):
                    try:
                        features, labels = read_mat(names[name], self.columns)
                    except InputError as error:
                        left_out.add("damaged", str(error))
                        continue
                    feats.write(name, features)
                    vad.write(name, labels.astype(np.float32))
                    frames[name] = len(labels)
                    speech += int(labels.sum())
            if not frames:
                raise InputError(f"none of the files of {source} could be used: {left_out.by_reason['damaged'][0]}")
            _publish(data, frames)
            write_record(data, FeatureRecord("mat", {"columns": self.columns}))
            write_vad_record(data, "labels", {"file": source.name})
            _finish(step, left_out, data, len(frames), speech, sum(frames.values()))
        return 0


@VadLab.subcommand("labels")
class Labels(Program):
    """Writes wav.scp, utt2dur and vad.scp of the recordings of a folder that have labels beside them, or in --labels.

    vad.scp has as many decisions as Kaldi's features have frames. A recording without labels, or with labels that
    cannot be understood, is left out and named.
    """

    EXAMPLE = "local/vad_lab.py labels --corpus speech --labels hand/labels data/train"

    corpus = cli.SwitchAttr("--corpus", str, mandatory=True, help="folder of recordings")
    labels = cli.SwitchAttr("--labels", str, default="", help="folder of labels in the same tree, or one .rttm for all")
    kind = cli.SwitchAttr("--kind", cli.Set(*(kind[1:] for kind in SUFFIXES)), help="take these of several")
    frame_shift = cli.SwitchAttr("--frame-shift", float, default=10.0, help="of the features, in milliseconds")
    frame_length = cli.SwitchAttr("--frame-length", float, default=25.0, help="of the features, in milliseconds")
    snip_edges = cli.SwitchAttr("--snip-edges", boolean, default=True, help="as of the features")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        root, data, left_out = folder(self.corpus, "--corpus names the recordings"), Path(data_dir), LeftOut()
        everything = files_below(root, (*AUDIO, *SUFFIXES), left_out)
        recordings = [file for file in everything if file.path.lower().endswith(AUDIO)]
        rttm = Path(self.labels) if self.labels.lower().endswith(".rttm") else None
        place = folder(self.labels, "--labels names them") if self.labels and rttm is None else root
        if rttm is not None and not rttm.is_file():
            raise InputError(f"{rttm}: no such file, which --labels names")
        marks = everything if place == root else files_below(place, SUFFIXES, left_out)
        kinds = (f".{self.kind}",) if self.kind else SUFFIXES
        found = {_stem(file.path): file for file in marks if file.path.lower().endswith(kinds)}
        files = [*recordings, *(File(f"labels/{file.path}", file.size) for file in found.values())]
        options = {name: getattr(self, name) for name in ("kind", "frame_shift", "frame_length", "snip_edges")}
        inputs = [rttm] if rttm is not None else []
        step = preparation(
            "vad_lab", data, ["."], files, inputs=inputs, options=options, outputs=["utt2dur"], force=self.force,
            script="vad.scp",
        )  # fmt: skip
        with step:
            if step.is_done:
                return 0
            wav_scp, durations, decisions = {}, {}, {}
            for file in progress(recordings, data.name, unit="recordings"):
                name = word(_stem(file.path).replace("/", "-"))
                label = rttm or (place / found[_stem(file.path)].path if _stem(file.path) in found else None)
                if label is None:
                    left_out.add("without labels", file.path)
                    continue
                try:
                    samples, rate = _length(str(root / file.path))
                    stem = Path(file.path).stem
                    speech = read_labels(label, rate=rate, recording=stem if label.suffix.lower() == ".rttm" else None)
                except InputError as error:
                    left_out.add("cannot be used", str(error))
                    continue
                frames = FrameOptions(
                    sample_frequency=rate,
                    frame_shift=self.frame_shift,
                    frame_length=self.frame_length,
                    snip_edges=self.snip_edges,
                )
                shift = self.frame_shift / 1000
                length = self.frame_length / 1000 if self.snip_edges else shift  # frames are then around their middles
                count = num_frames(samples, frames)
                if not count:
                    left_out.add("shorter than a frame", file.path)
                elif name in wav_scp:
                    left_out.add("a second file of one name", file.path)
                else:
                    wav_scp[name], durations[name] = f"{root}/{file.path}", f"{samples / rate:.4f}"
                    decisions[name] = frame_labels(speech, count, shift, length)
            if not wav_scp:
                why = "; ".join(f"{why} ({len(names)})" for why, names in left_out.by_reason.items())
                raise InputError(f"{root}: no recording with labels: {why or 'no recording at all'}")
            write_data_dir(data, wav_scp, {name: name for name in wav_scp}, utt2dur=durations)
            with _table(data, "vad", VECTOR) as vad:
                for name in sorted(decisions):
                    vad.write(name, decisions[name])
            write_vad_record(data, "labels", options)
            DataDir(data).check(needs=("wav.scp", "vad.scp", "utt2dur"))
            speech, total = sum(map(np.sum, decisions.values())), sum(map(len, decisions.values()))
            _finish(step, left_out, data, len(wav_scp), int(speech), total)
        return 0


@VadLab.subcommand("noise")
class NoiseRecordings(Program):
    """Writes recordings of noise at the rate of the speech, and wav.scp, utt2spk and utt2dur of them.

    They are the first channels of the recordings of --corpus in pieces. Where the name of that folder begins with
    `babble` they are voices, of which three to seven speak at a time. Without --corpus noises are synthetic: several
    colours whose level rises and falls. What is trained with and what is tested with are the two halves.
    """

    EXAMPLE = "local/vad_lab.py noise --corpus musan/noise --half first --rate 8000 data/noise_train"

    corpus = cli.SwitchAttr("--corpus", str, default="", help="folder of noises; without it they are synthesised")
    half = cli.SwitchAttr("--half", cli.Set("all", *HALVES), default="all", help="of the files, or of a single one")
    rate = cli.SwitchAttr("--rate", cli.Range(4000, 48000), default=8000, help="in samples per second")
    piece = cli.SwitchAttr("--piece", cli.Range(1, 3600), default=20, help="longest piece, in seconds")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        data, left_out = Path(data_dir), LeftOut()
        root = folder(self.corpus, "--corpus names the noises") if self.corpus else None
        files = files_below(root, AUDIO, left_out) if root else []
        options = {name: getattr(self, name) for name in ("half", "rate", "piece")}
        step = preparation(
            "vad_noise", data, ["."], files, inputs=[Path(__file__)], options=options, outputs=["utt2dur"],
            force=self.force,
        )  # fmt: skip
        with step:
            if step.is_done:
                return 0
            wav_scp, durations = {}, {}
            for name, samples in self._noises(root, files, left_out):
                path = data / "wav" / f"{name}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_wav(str(path), samples, self.rate)
                wav_scp[name], durations[name] = str(path), f"{len(samples) / self.rate:.4f}"
            if not wav_scp:
                raise InputError(f"{root}: no recording of noise that can be used")
            write_data_dir(data, wav_scp, {name: name for name in wav_scp}, utt2dur=durations)
            seconds = sum(map(float, durations.values()))
            finish(step, left_out, f"{data}: {len(wav_scp)} pieces of noise, {seconds:.0f} s", pieces=len(wav_scp))
        return 0

    def _noises(self, root: Path | None, files: list[File], left_out: LeftOut) -> Iterator[tuple[str, np.ndarray]]:
        size = self.piece * self.rate
        if root is None:
            seed = ("all", *HALVES).index(self.half)
            for number, samples in enumerate(synthetic_noises(self.rate, self.piece, seed)):
                yield f"synthetic-{number}", samples
        elif root.name.lower().startswith(VOICES):
            voices = [samples for _, samples in self._recordings(root, files, left_out)]
            if len(voices) < TALKERS[1]:
                half = "" if self.half == "all" else f" in the {self.half} half"
                raise InputError(f"{root}: {len(voices)} voices{half} are too few for babble")
            pieces = max(1, sum(map(len, voices)) // size)
            for number, samples in enumerate(babble(voices, pieces, size)):
                yield f"babble-{number:03d}", samples.astype(np.float32)
        else:
            for name, samples in self._recordings(root, files, left_out):
                for number, start in enumerate(range(0, len(samples), size)):
                    piece = samples[start : start + size]
                    if len(piece) >= self.rate or not start:
                        yield f"{name}-{number:03d}", piece

    def _recordings(self, root: Path, files: list[File], left_out: LeftOut) -> Iterator[tuple[str, np.ndarray]]:
        """The recordings of the half that is wanted, at the rate that is wanted."""
        middle = (len(files) + 1) // 2
        parts = {"all": files, "first": files[:middle], "second": files[middle:]}
        for file in files if len(files) == 1 else parts[self.half]:
            try:
                samples = resample(*read_audio(f"{root}/{file.path}", channel=0), self.rate)
            except InputError as error:
                left_out.add("cannot be used", str(error))
                continue
            if len(files) == 1 and self.half != "all":
                samples = np.array_split(samples, 2)[HALVES.index(self.half)]
            yield word(_stem(file.path).replace("/", "-")).replace(",", "_"), samples


def _length(path: str) -> tuple[int, float]:
    with Recording(path) as recording:
        return recording.num_samples, recording.rate


def _stem(path: str) -> str:
    return path.rpartition(".")[0]


def _table(data: Path, name: str, holder) -> TableWriter:
    return TableWriter(f"ark,scp:{(data / f'{name}.ark').resolve()},{data / f'{name}.scp'}", holder)


def _publish(data: Path, frames: dict[str, int]) -> None:
    """utt2spk, spk2utt and utt2num_frames of recordings whose speakers are not known: each is its own."""
    directory = DataDir(data)
    remove_files(directory.root, KNOWN_FILES - {"feats.scp", "vad.scp"})
    write_id_map(directory.path("utt2spk"), {name: name for name in frames})
    write_id_map(directory.path("spk2utt"), {name: name for name in frames})
    write_id_map(directory.path("utt2num_frames"), frames)
    directory.check(needs=("feats.scp", "vad.scp", "utt2num_frames"))


def _finish(step: Step, left_out: LeftOut, data: Path, utterances: int, speech: int, frames: int) -> None:
    told = f"{data}: {utterances} recordings, {frames} frames, {100 * speech / frames:.1f}% of them speech"
    finish(step, left_out, told, utterances=utterances, frames=frames, speech=speech)


if __name__ == "__main__":
    VadLab.run()
