#!/usr/bin/env python3
"""Turns the list files of VoxCeleb's trainer, train_list.txt and veri_test.txt, into data directories and trials."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from plumbum import cli

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # local lies beside utils, also where spkid is installed

from local.common.voxceleb_lists import read_training_list, read_verification_list
from local.common.walking import LeftOut, folder, unusable
from local.common.writing import write_data_dir
from spkid.jobs import Program, Step
from spkid.kaldi import InputError
from spkid.kaldi.trials import write_trials


class ImportVoxcelebLists(Program):
    """Writes <data>/train from `speaker path` lines and <data>/test, with its trials, from `label file1 file2` lines.

    The lists and paths are named as for the trainer (clovaai/voxceleb_trainer). id10270/x6uYqmx31kE/00001.wav becomes
    utterance id10270-x6uYqmx31kE-00001. A file that is not there is left out, and named; trials stay as they are, so
    that scoring says what it lacks.
    """

    EXAMPLE = (
        "utils/import_voxceleb_lists.py --train-list train_list.txt --train-path voxceleb2 "
        "--test-list veri_test.txt --test-path voxceleb1 data"
    )

    train_list = cli.SwitchAttr("--train-list", str, default="", help="lines: speaker path")
    train_path = cli.SwitchAttr("--train-path", str, default="", help="folder that the training list's paths are below")
    test_list = cli.SwitchAttr("--test-list", str, default="", help="lines: 1 or 0, file, file")
    test_path = cli.SwitchAttr("--test-path", str, default="", help="folder that the test list's paths are below")
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str) -> int:
        given = {"train": (self.train_list, self.train_path), "test": (self.test_list, self.test_path)}
        given = {name: pair for name, pair in given.items() if any(pair)}
        if not given:
            raise InputError("give --train-list with --train-path, --test-list with --test-path, or all four")
        for name, pair in given.items():
            if not all(pair):
                raise InputError(f"--{name}-list and --{name}-path go together: give both")
        data = Path(data_dir)
        roots = {name: folder(path, f"--{name}-path names it") for name, (_, path) in given.items()}
        lists = {name: path for name, (path, _) in given.items()}
        outputs = [data / name / file for name in given for file in ("wav.scp", "utt2spk", "spk2utt")]
        outputs += [data / "test/trials"] if "test" in given else []
        options = {f"{name}_path": str(root) for name, root in roots.items()}
        record = data / ".import_voxceleb_lists"
        with Step("import_voxceleb_lists", record, lists.values(), options, outputs, self.force) as step:
            if step.is_done:
                return 0
            left_out, told = LeftOut(), []
            for name, path in lists.items():
                if name == "train":
                    utterances = read_training_list(path)
                else:
                    trials, utterances = read_verification_list(path)
                wav_scp = _existing(roots[name], utterances, left_out)
                if not wav_scp:
                    raise InputError(f"{path}: none of its {len(utterances)} files is below {roots[name]}")
                utt2spk = {utterance: utterances[utterance][0] for utterance in wav_scp}
                write_data_dir(data / name, wav_scp, utt2spk)
                told.append(f"{len(set(utt2spk.values()))} speakers and {len(wav_scp)} files in {data / name}")
                if name == "test":
                    targets, nontargets = write_trials(data / "test/trials", trials)
                    told.append(f"{targets} target and {nontargets} nontarget trials over {len(utterances)} files")
            left_out.report(step.say)
            left_out.write(record / "left_out")
            step.finish("; ".join(told), left_out=len(left_out))
        return 0


def _existing(root: Path, utterances: dict[str, tuple[str, str]], left_out: LeftOut) -> dict[str, str]:
    """Utterance -> absolute path of the files that are there and hold something."""
    wav_scp = {}
    for utterance, (_, file) in utterances.items():
        path = os.path.join(root, file)
        try:
            problem = None if os.stat(path).st_size else "an empty file"
        except OSError:
            problem = "there is no such file"
        problem = problem or unusable(path)
        if problem:
            left_out.add(problem, file)
        else:
            wav_scp[utterance] = path
    return wav_scp


if __name__ == "__main__":
    ImportVoxcelebLists.run()
