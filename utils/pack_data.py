#!/usr/bin/env python3
"""Copies a data directory together with its audio, features and decisions, packed into a few large archives."""

import random
import re
from pathlib import Path

from plumbum import cli

from spkid.data.shards import matrix_bytes, pack, vector_bytes, wave_bytes
from spkid.jobs import Program, Step, fraction
from spkid.jobs.failures import account_for
from spkid.jobs.manifest import manifest
from spkid.jobs.progress import progress
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.tables import read_script, write_id_map

PACKED = {"wav.scp": wave_bytes, "feats.scp": matrix_bytes, "vad.scp": vector_bytes}
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def size_in_bytes(text: str) -> int:
    """Bytes of `500M`, `1G`, ..."""
    found = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not found or not int(found[1]):
        raise InputError(f"--shard-size {text!r} will not do: a size such as 500M or 1G is needed")
    return int(found[1]) * UNITS[found[2]]


class PackData(Program):
    """Packs what wav.scp, feats.scp and vad.scp point to into archives of about --shard-size, for network file systems.

    The new directory has the same utterances and gives the same numbers: features and decisions keep their bytes, WAV
    files too; other audio becomes WAV (of 16 bits where that holds its samples exactly, else of floats). Everything
    reads it, as Kaldi does. Archives go to ARCHIVE-DIR (NEW-DIR/data).
    """

    EXAMPLE = "utils/pack_data.py --shard-size 1G data/train data/train_packed"

    shard_size = cli.SwitchAttr("--shard-size", str, default="1G", help="of an archive: a number with K, M or G")
    files = cli.SwitchAttr(
        "--files", str, help="only these, as wav.scp or feats.scp,vad.scp; the others stay as they are"
    )
    shuffle_seed = cli.SwitchAttr(
        "--shuffle-seed", int, help="lay the entries down in a random order, for programs that read archives in one go"
    )
    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this can be read"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, new_dir: str, archive_dir: str = "") -> int:
        data, new = DataDir(data_dir), DataDir(new_dir)
        names = [name for name in PACKED if data.has(name)] if self.files is None else self.files.split(",")
        unknown = next((name for name in names if name not in PACKED), None)
        if unknown is not None:
            raise InputError(f"--files: {unknown!r} is none of {', '.join(PACKED)}")
        data.check(needs=("utt2spk", *(names or ["wav.scp"])))
        shard_bytes = size_in_bytes(self.shard_size)
        if Path(new_dir).resolve() == Path(data_dir).resolve():
            raise InputError(f"{new_dir}: is the source itself: give another destination")
        archives = Path(archive_dir or Path(new_dir) / "data")
        name_of_set = Path(new_dir).resolve().name
        step = Step(
            "pack_data",
            archives / f"pack_data_{name_of_set}",
            inputs=[data.path(name) for name in ("utt2spk", "segments", *names) if data.has(name)],
            options={"shard_bytes": shard_bytes, "shuffle_seed": self.shuffle_seed, "names": names},
            outputs=[new.path(name) for name in ("utt2spk", *names)],
            force=self.force,
        )
        with step:
            if step.is_done:
                return 0
            for name in names:  # scripts that an earlier run left would point into new archives
                Path(new.path(name)).unlink(missing_ok=True)
            failed: dict[str, str] = {}
            scripts = {}
            for name in names:
                prefix = archives / f"{name.removesuffix('.scp')}_{name_of_set}"
                script, lost = read_script(data.path(name)), {}
                order = list(script)
                if self.shuffle_seed is not None:
                    random.Random(self.shuffle_seed).shuffle(order)
                order = progress(order, f"pack_data: {name}")
                scripts[name] = pack(script, PACKED[name], prefix, shard_bytes, lost, order)
                failed |= self._utterances_lost(data, name, lost)
            account_for(step, data.root, len(data.utterances), dict(sorted(failed.items())), self.min_fraction)
            kept = [utterance for utterance in data.utterances if utterance not in failed]
            data.write_subset(new.root, kept)
            self._point_to_shards(data, new, scripts, set(kept))
            shards = {entry.rpartition(":")[0] for script in scripts.values() for entry in script.values()}
            step.finish(
                f"{len(kept)} of {len(data.utterances)} utterances in {len(shards)} archives",
                manifest(data.utterances, failed),
            )
        return 0

    @staticmethod
    def _utterances_lost(data: DataDir, name: str, lost: dict[str, str]) -> dict[str, str]:
        """The utterances that need an entry that could not be read; of a recording, all of its segments."""
        if name == "wav.scp" and data.segments:
            return {key: lost[part.recording] for key, part in data.segments.items() if part.recording in lost}
        return lost

    @staticmethod
    def _point_to_shards(data: DataDir, new: DataDir, scripts: dict[str, dict[str, str]], kept: set[str]) -> None:
        for name, script in scripts.items():
            written = new.read(name)
            write_id_map(new.path(name), {key: script[key] for key in written})
        if data.has("utt2num_voiced"):
            counts = data.read("utt2num_voiced")
            write_id_map(new.path("utt2num_voiced"), {key: count for key, count in counts.items() if key in kept})


if __name__ == "__main__":
    PackData.run()
