#!/usr/bin/env python3
"""Frame by frame: voice activity decisions against a reference."""

import io
import json
import shlex
import sys
from pathlib import Path

from plumbum import cli

from spkid.backend.vectors import first_ids, table_file, table_specifier
from spkid.jobs import Program, Step
from spkid.jobs.step import versions
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.tables import VECTOR, read_table
from spkid.metrics.frames import FrameErrors, frame_errors
from spkid.metrics.plots import plot_confusion
from spkid.metrics.summary import finite


class EvaluateVad(Program):
    """Writes <out-dir>/{results.json,utterances.tsv,confusion.png}: accuracy, misses, false alarms, detection errors.

    Both tables hold a vector of 0 and 1 for every utterance, as compute-vad writes them (vad.scp).
    """

    EXAMPLE = "steps/evaluate_vad.py data/test/reference_vad.scp data/test/vad.scp exp/vad/results"

    tolerance = cli.SwitchAttr(
        "--tolerance",
        cli.Range(0, 1000),
        default=0,
        help="by so many frames two vectors may differ in length; the longer one is cut",
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, reference: str, vad: str, out_dir: str) -> int:
        out = Path(out_dir)
        tables = table_specifier(reference), table_specifier(vad)
        inputs = [name for table in tables for name in table_file(table)]
        outputs = [out / name for name in ("results.json", "utterances.tsv", "confusion.png")]
        with Step("evaluate_vad", out, inputs, {"tolerance": self.tolerance}, outputs, self.force) as step:
            if step.is_done:
                return 0
            errors = self._count(*tables)
            total = sum(errors.values(), FrameErrors(0, 0, 0, 0))
            results = {
                "frames": total.num_frames,
                "utterances": len(errors),
                **{name: finite(value) for name, value in _rates(total).items()},
                "confusion": total.confusion.tolist(),
                "reference": reference,
                "vad": vad,
                "command": shlex.join(word for word in sys.argv if word != "--force"),
                "versions": versions(),
            }
            lines = ["utterance\tframes\t" + "\t".join(_rates(total)) + "\n"]
            for key, found in sorted(errors.items()):
                values = "\t".join(f"{value:.4f}" for value in _rates(found).values())
                lines.append(f"{key}\t{found.num_frames}\t{values}\n")
            picture = io.BytesIO()
            plot_confusion(picture, total.confusion, ("non-speech", "speech"), f"{out}: frames")
            with atomic_write(outputs[1]) as stream:
                stream.writelines(lines)
            with atomic_write(outputs[2], "wb") as stream:
                stream.write(picture.getvalue())
            with atomic_write(outputs[0]) as stream:
                json.dump(results, stream, indent=1, ensure_ascii=False, allow_nan=False)
                stream.write("\n")
            shown = " | ".join(f"{name.replace('_', ' ')} {100 * rate:.2f}%" for name, rate in _rates(total).items())
            step.finish(f"{out}: {shown} | {total.num_frames} frames of {len(errors)} utterances")
        return 0

    def _count(self, reference: str, vad: str) -> dict[str, FrameErrors]:
        """Errors of every utterance of the reference."""
        truth = dict(read_table(reference, VECTOR))
        errors: dict[str, FrameErrors] = {}
        for key, decided in read_table(vad, VECTOR):
            if key not in truth:
                continue
            difference = abs(truth[key].size - decided.size)
            if difference > self.tolerance:
                raise InputError(
                    f"{key}: {truth[key].size} frames in {reference} and {decided.size} in {vad}; where only the ends "
                    "differ, allow it with --tolerance"
                )
            size = min(truth[key].size, decided.size)
            try:
                errors[key] = frame_errors(truth[key][:size], decided[:size])
            except ValueError as error:
                raise InputError(f"{vad} against {reference}, utterance {key}: {error}") from None
        missing = sorted(truth.keys() - errors.keys())
        if missing or not truth:
            raise InputError(f"{vad}: {len(missing)} of the {len(truth)} utterances are missing: {first_ids(missing)}")
        return errors


def _rates(errors: FrameErrors) -> dict[str, float]:
    return {
        "accuracy": errors.accuracy,
        "miss_rate": errors.miss_rate,
        "false_alarm_rate": errors.false_alarm_rate,
        "detection_error_rate": errors.detection_error_rate,
    }


if __name__ == "__main__":
    EvaluateVad.run()
