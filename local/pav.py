#!/usr/bin/env python3
"""The PAV laboratory's speaker identification data: lists of files `BLOCKnn/SESnnn/name`, features in `.mcp` files.

As in santi-pdp/pav_spkid_pytorch: the speaker is the second component; 157 speakers, 15 files each to train on and 5
to test with; an `.mcp` file is int32 rows, int32 columns, then float32 values; `spk2idx.json` numbers the speakers.

    <db-path>/BLOCK00/SES001/SA001S03.mcp        utterance SES001-BLOCK00-SA001S03; utt2path keeps the list's own line
"""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePosixPath

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed

from local.common.walking import File, LeftOut, folder, unusable, word
from local.common.writing import compared, finish, preparation, write_data_dir
from spkid.data.front_end import FeatureRecord, write_record
from spkid.features.mcp import read_mcp, write_mcp_table
from spkid.jobs import Program
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.lists import write_id_map

SPEAKERS = 157
UTTERANCES = {"train": 2355, "test": 785}
NOT_SPEAKERS = ("spk2idx", "idx2spk")  # keys that files of the original hold beside the speakers


def read_list(path: Path, left_out: LeftOut) -> dict[str, str]:
    """The lines of a list as utterance -> line. Raises InputError for a line of another form, or two of one name."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not text in UTF-8") from None
    names: dict[str, str] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line:
            continue
        parts = PurePosixPath(line).parts
        if len(parts) < 3 or parts[0] == "/":
            raise InputError(f"{path}, line {number}: expected 'BLOCKnn/SESnnn/name', got {line!r}")
        name = word("-".join([parts[1], parts[0], *parts[2:]]))
        if names.get(name) == line:
            left_out.add("on a second line of the list", line)
        elif name in names:
            raise InputError(f"{path}, line {number}: {line} and {names[name]} would both be utterance {name}")
        names[name] = line
    if not names:
        raise InputError(f"{path}: names no file")
    return names


def read_indices(path: Path) -> dict[str, int]:
    """spk2idx.json: speaker -> index, from 0 without gaps.

    The original also wrote the key `spk2idx` into it and then counted it as a speaker; it is passed over here.

    Raises:
        InputError: no JSON object of speakers and numbers.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values = values["spk2idx"] if isinstance(values.get("spk2idx"), dict) else values
        indices = {name: int(index) for name, index in values.items() if name not in NOT_SPEAKERS}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f'{path}: expected {{"SES000": 0, "SES001": 1, ...}} ({error})') from None
    if sorted(indices.values()) != list(range(len(indices))):
        raise InputError(f"{path}: the {len(indices)} speakers are not numbered from 0 to {len(indices) - 1}")
    return indices


class Pav(Program):
    """Writes <data>/{train,dev,test} from the lists: features from `.mcp` files, or wav.scp for recordings.

    A file of a list that is not there, or is empty or damaged, is left out and named. train/spk2idx.json numbers the
    speakers: that of --spk2idx, else in the order of their names.
    """

    EXAMPLE = (
        "local/pav.py --db-path mcp --tr-list-file lists/train.list --va-list-file lists/valid.list "
        "--te-list-file lists/test.list data"
    )

    db_path = cli.SwitchAttr("--db-path", str, mandatory=True, help="folder that the lists' files are below")
    train_list = cli.SwitchAttr("--tr-list-file", str, default="", help="list of training files")
    dev_list = cli.SwitchAttr("--va-list-file", str, default="", help="list of validation files: becomes <data>/dev")
    test_list = cli.SwitchAttr("--te-list-file", str, default="", help="list of test files")
    ext = cli.SwitchAttr("--ext", str, default="mcp", help="of the files: mcp, or that of recordings (wav, flac)")
    spk2idx = cli.SwitchAttr("--spk2idx", str, default="", help="a file that numbers the speakers")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        root, data, left_out = folder(self.db_path, "--db-path names it"), Path(data_dir), LeftOut()
        lists = {"train": self.train_list, "dev": self.dev_list, "test": self.test_list}
        lists = {name: Path(path) for name, path in lists.items() if path}
        if not lists:
            raise InputError("give --tr-list-file, --va-list-file or --te-list-file")
        extension = f".{self.ext.lstrip('.')}"
        sets, found = {}, []
        for name, path in lists.items():
            sets[name], files = self._there(root, read_list(path, left_out), extension, left_out)
            found += files
            if not sets[name]:
                raise InputError(f"{path}: none of its files is below {root} with the ending {extension} (--ext)")
        indices = read_indices(Path(self.spk2idx)) if self.spk2idx else {}
        step = preparation(
            "pav",
            data,
            list(sets),
            sorted(found),
            inputs=[*lists.values(), *([self.spk2idx] if self.spk2idx else [])],
            options={"ext": extension},
            outputs=["train/spk2idx.json"] if "train" in sets else [],
            force=self.force,
            script="feats.scp" if extension == ".mcp" else "wav.scp",
        )
        with step:
            if step.is_done:
                return 0
            speakers: dict[str, set[str]] = {}
            for name, lines in sets.items():
                files = {utterance: f"{root}/{line}{extension}" for utterance, line in lines.items()}
                if extension == ".mcp":
                    files = _readable(files, left_out)
                utt2spk = {utterance: word(PurePosixPath(lines[utterance]).parts[1]) for utterance in files}
                speakers[name] = set(utt2spk.values())
                directory = write_data_dir(data / name, {} if extension == ".mcp" else files, utt2spk)
                write_id_map(directory.path("utt2path"), {utterance: lines[utterance] for utterance in files})
                if extension == ".mcp":
                    _write_features(directory, files)
                told = compared(len(speakers[name]), SPEAKERS if name in UTTERANCES else None, "speakers")
                step.say(f"{data / name}: {told}, {compared(len(files), UTTERANCES.get(name), 'utterances')}")
            if "train" in sets:
                _write_indices(data / "train/spk2idx.json", speakers["train"], indices, self.spk2idx)
                for name in speakers.keys() - {"train"}:
                    unknown = sorted(speakers[name] - speakers["train"])
                    if unknown:
                        step.say(f"warning: {len(unknown)} speakers of {name} are not in train, such as {unknown[0]}")
            finish(step, left_out, f"{sum(map(len, sets.values()))} files in {', '.join(sets)}")
        return 0

    def _there(
        self, root: Path, lines: dict[str, str], extension: str, left_out: LeftOut
    ) -> tuple[dict[str, str], list[File]]:
        """Those of the list's lines whose files are there and not empty, and the files."""
        kept, files = {}, []
        for utterance, line in lines.items():
            path = root / f"{line}{extension}"
            size = path.stat().st_size if path.is_file() else -1
            problem = unusable(str(path)) or {-1: "there is no such file", 0: "an empty file"}.get(size)
            if problem:
                left_out.add(problem, f"{line}{extension}")
            else:
                kept[utterance] = line
                files.append(File(str(path), size))
        return kept, files


def _readable(files: dict[str, str], left_out: LeftOut) -> dict[str, str]:
    """The `.mcp` files that hold features."""
    kept = {}
    for utterance, path in files.items():
        try:
            if len(read_mcp(path)):
                kept[utterance] = path
            else:
                left_out.add("without a frame", path)
        except InputError as error:
            left_out.add("damaged", f"{path} ({str(error).removeprefix(f'{path}: ')})")
    return kept


def _write_features(directory: DataDir, files: dict[str, str]) -> None:
    wspecifier = f"ark,scp:{Path(directory.path('feats.ark')).resolve()},{directory.path('feats.scp')}"
    frames = write_mcp_table(dict(sorted(files.items())), wspecifier)
    write_id_map(directory.path("utt2num_frames"), frames)
    dims = read_mcp(next(iter(files.values()))).shape[1]
    write_record(directory.root, FeatureRecord("mcp", {"dims": dims}))
    directory.check(needs=("feats.scp", "utt2num_frames"))


def _write_indices(path: Path, speakers: set[str], given: dict[str, int], source: str) -> None:
    missing = sorted(speakers - given.keys()) if given else []
    if missing:
        raise InputError(f"{source}: lacks {len(missing)} speakers of the training list, {missing[0]} among them")
    with atomic_write(path) as stream:
        json.dump(given or {name: index for index, name in enumerate(sorted(speakers))}, stream, indent=1)
        stream.write("\n")


if __name__ == "__main__":
    Pav.run()
