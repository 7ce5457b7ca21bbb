#!/usr/bin/env python3
"""Mean and standard deviation of each utterance's features, as one vector: the baseline that a network has to beat."""

from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.data.front_end import read_record
from spkid.features import select_voiced
from spkid.jobs import Program, Step, fraction, progress
from spkid.jobs.failures import account_for
from spkid.jobs.manifest import manifest
from spkid.kaldi import InputError
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, open_table, read_script


def statistics(features: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time, (frames, dims) -> (2 * dims,) float32. No frames: InputError."""
    if not len(features):
        raise InputError("no frame of speech is left")
    features = features.astype(np.float64)
    return np.concatenate([features.mean(axis=0), features.std(axis=0)]).astype(np.float32)


class ExtractStatistics(Program):
    """Writes <out-dir>/statistics.{ark,scp}: mean and standard deviation of each utterance's voiced frames.

    Reads feats.scp and vad.scp of the data directory, where the features are not yet those of the voiced frames alone.
    """

    EXAMPLE = "steps/extract_statistics.py data/test exp/statistics/test"

    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of the utterances than this could be done"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, data_dir: str, out_dir: str) -> int:
        data, out = Path(data_dir), Path(out_dir)
        outputs = [out / "statistics.ark", out / "statistics.scp"]
        is_selected = "vad" in read_record(data).applied
        inputs = [data / "feats.scp"] if is_selected else [data / "feats.scp", data / "vad.scp"]
        for path in inputs:
            if not path.is_file():
                maker = "steps/make_mfcc.py" if path.name == "feats.scp" else "steps/compute_vad_decision.py"
                raise InputError(f"{path} is missing: run {maker} on {data} first")
        with Step("extract_statistics", out, inputs, {}, outputs, self.force) as step:
            if step.is_done:
                return 0
            utterances, failed = write_statistics(step, inputs, outputs, self.min_fraction)
            given = len(utterances)
            step.finish(f"{given - len(failed)} of {given} utterances of {data}", manifest(utterances, failed))
        return 0


def write_statistics(
    step: Step, inputs: list[Path], outputs: list[Path], min_fraction: float
) -> tuple[list[str], dict[str, str]]:
    """Writes the vectors; returns the utterances, and why those that could not be done could not.

    Raises InputError, and leaves no files, where fewer than `min_fraction` of the utterances could be done.
    """
    utterances = read_script(str(inputs[0]))
    failed: dict[str, str] = {}
    tables = [open_table(f"scp:{path}", MATRIX if path.name == "feats.scp" else VECTOR) for path in inputs]
    with TableWriter(f"ark,scp:{outputs[0]},{outputs[1]}", VECTOR) as writer:
        for utterance in progress(utterances, "statistics", unit="utterances"):
            try:
                features, *decisions = (table[utterance] for table in tables)
                writer.write(utterance, statistics(select_voiced(features, *decisions) if decisions else features))
            except InputError as error:
                failed[utterance] = str(error)
            except KeyError:
                failed[utterance] = f"{inputs[-1]} has no such utterance"
        account_for(step, str(inputs[0]), len(utterances), failed, min_fraction)
    return list(utterances), failed


if __name__ == "__main__":
    ExtractStatistics.run()
