#!/usr/bin/env python3
"""MUSAN (OpenSLR 17): music, speech and noise for augmentation, 16 kHz, 109 hours.

Snyder et al., "MUSAN: a music, speech, and noise corpus", arXiv 1510.08484, 2015. CC BY 4.0 and the public domain.

    musan/noise/free-sound/noise-free-sound-0000.wav       930 noises
    musan/music/fma/music-fma-0000.wav, ANNOTATIONS        660 pieces; file, genres, vocals (Y or N), artist
    musan/speech/librivox/speech-librivox-0000.wav         426 recordings
"""

from __future__ import annotations

import sys
from pathlib import Path

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.downloads import OPENSLR, Archive, DownloadProgram
from local.common.media import at_rate
from local.common.walking import File, LeftOut, files_below, folder
from local.common.writing import compared, finish, preparation, write_data_dir
from spkid.audio.durations import recording_duration
from spkid.jobs import Program, boolean, progress
from spkid.kaldi import InputError

ARCHIVE = Archive(f"{OPENSLR}/17/musan.tar.gz", ("0c472d4fc0c5141eca47ad1ffeb2a7df",), "musan", 2016)
RECORDINGS = {"noise": 930, "music": 660, "speech": 426}
PIECE_SECONDS, PIECE_SHIFT = 5, 3


def pieces(name: str, seconds: float) -> dict[str, str]:
    """Lines of `segments`: pieces of 5 s that begin every 3 s, where the recording is longer than that.

    A piece is called `<recording>-<second it begins>` (the VoxCeleb trainer's `musan_split/.../00003.wav`).
    """
    starts = range(0, max(0, int(-(-(seconds - PIECE_SECONDS) // 1))), PIECE_SHIFT)
    return {f"{name}-{start:05d}": f"{name} {start} {start + PIECE_SECONDS}" for start in starts}


def sung(root: Path, files: list[File]) -> set[str]:
    """The pieces of music with vocals, by the files ANNOTATIONS."""
    names = set()
    for place in sorted({file.path.rpartition("/")[0] for file in files}):
        path = root / place / "ANNOTATIONS"
        if not path.is_file():
            raise InputError(f"{path}: no such file, which says where there are vocals; copy it, or use all music")
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if len(words) > 2 and words[2] == "Y":
                names.add(words[0])
    return names


class Musan(Program):
    """MUSAN (OpenSLR 17): download and data preparation."""

    EXAMPLE = "local/musan.py prepare --corpus downloads/musan data"

    def main(self, *words: str) -> None:
        if not self.nested_command:
            given = f"there is no command {words[0]}" if words else "say what to do"
            raise InputError(f"{given}: `musan.py download` or `musan.py prepare` (--help says more)")


@Musan.subcommand("download")
class Download(DownloadProgram):
    """Fetches MUSAN (11 GB) into <directory>/musan, going on where an earlier attempt broke off."""

    EXAMPLE = "local/musan.py download downloads"

    def main(self, directory: str) -> int:
        return self.get(directory, [ARCHIVE])


@Musan.subcommand("prepare")
class Prepare(Program):
    """Writes <data>/musan_noise, musan_music and musan_speech, with the durations that augmentation needs.

    Every recording is its own speaker. With --pieces an utterance is 5 s of a recording, one every 3 s, as the VoxCeleb
    trainer cuts MUSAN; no audio is written.
    """

    EXAMPLE = Musan.EXAMPLE

    corpus = cli.SwitchAttr("--corpus", str, mandatory=True, help="the folder musan")
    pieces = cli.Flag("--pieces", help="utterances of 5 s, one every 3 s, by a file `segments`")
    use_vocals = cli.SwitchAttr("--use-vocals", boolean, default=True, help="false: only music without singing")
    rate = cli.SwitchAttr("--rate", cli.Range(4000, 48000), default=16000, help="of the speech; needs --resampled")
    resampled = cli.SwitchAttr("--resampled", str, default="", help="where recordings at another --rate are written")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        root, data = folder(self.corpus, "--corpus names the folder musan"), Path(data_dir)
        left_out = LeftOut()
        found = files_below(root, (".wav",), left_out, ignore=("ANNOTATIONS", "LICENSE", "README"))
        kinds = {kind: [file for file in found if file.parts[0] == kind] for kind in RECORDINGS}
        for file in found:
            if file.parts[0] not in kinds:
                left_out.add("not below noise, music or speech", file.path)
        if not any(kinds.values()):
            raise InputError(f"{root}: has no recording below noise, music or speech; --corpus names the folder musan")
        if not self.use_vocals:
            with_vocals = sung(root, kinds["music"])
            kinds["music"] = [file for file in kinds["music"] if file.stem not in with_vocals]
        kinds = {kind: files for kind, files in kinds.items() if files}
        options = {"pieces": self.pieces, "use_vocals": self.use_vocals, "rate": self.rate, "resampled": self.resampled}
        names = [f"musan_{kind}" for kind in kinds]
        used = [file for files in kinds.values() for file in files]
        with preparation("musan", data, names, used, options=options, force=self.force) as step:
            if step.is_done:
                return 0
            total = 0
            for kind, files in kinds.items():
                total += self._write(root, data / f"musan_{kind}", files, left_out)
                published = RECORDINGS[kind] if self.use_vocals else None
                step.say(f"{data / f'musan_{kind}'}: {compared(len(files), published, 'recordings')}")
            finish(step, left_out, f"{total} utterances in {', '.join(names)}")
        return 0

    def _write(self, root: Path, directory: Path, files: list[File], left_out: LeftOut) -> int:
        wav_scp, durations, segments = {}, {}, {}
        for file in progress(files, directory.name, unit="recordings"):
            if file.stem in wav_scp:
                left_out.add("the name of another recording too", file.path)
                continue
            try:
                path = at_rate(root / file.path, self.rate, root, self.resampled)
                seconds = recording_duration(path)
            except InputError as error:
                left_out.add(f"cannot be read: {error}", file.path)
                continue
            if self.pieces:
                cut = pieces(file.stem, seconds)
                if not cut:
                    left_out.add(f"no longer than a piece of {PIECE_SECONDS} s", file.path)
                    continue
                segments |= cut
            wav_scp[file.stem], durations[file.stem] = path, f"{seconds:.4f}"
        utt2spk = {name: line.partition(" ")[0] for name, line in segments.items()} or {name: name for name in wav_scp}
        lengths = dict.fromkeys(segments, f"{PIECE_SECONDS:.4f}") or durations
        tables = {"utt2dur": lengths, "reco2dur": durations, "segments": segments}
        write_data_dir(directory, wav_scp, utt2spk, **tables)
        return len(utt2spk)


if __name__ == "__main__":
    Musan.run()
