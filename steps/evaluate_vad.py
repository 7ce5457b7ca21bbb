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
from spkid.jobs.manifest import manifest
from spkid.jobs.step import versions
from spkid.kaldi import InputError
from spkid.kaldi.io import atomic_write
from spkid.kaldi.tables import VECTOR, read_table
from spkid.metrics.frames import FrameErrors, frame_errors
from spkid.metrics.plots import plot_confusion
from spkid.metrics.segments import SegmentErrors, segment_errors
from spkid.metrics.summary import finite


class EvaluateVad(Program):
    """Writes <out-dir>/{results.json,utterances.tsv,confusion.png}: accuracy, misses, false alarms, detection errors.

    Frame by frame, and for stretches of speech recall, precision and F-measure: a stretch is found where one of about
    the same beginning and end was decided (within --collar; ends also within half of its length). results.json has the
    accuracy of always saying what is more frequent, too: a detector must be better than that. Both
    tables hold a vector of 0 and 1 for every utterance, as compute-vad writes them (vad.scp).
    """

    EXAMPLE = "steps/evaluate_vad.py data/test/reference_vad.scp data/test/vad.scp exp/vad/results"

    tolerance = cli.SwitchAttr(
        "--tolerance",
        cli.Range(0, 1000),
        default=0,
        help="by so many frames two vectors may differ in length; the longer one is cut",
    )
    collar = cli.SwitchAttr(
        "--collar", cli.Range(0, 10**6), default=20, help="frames by which beginnings and ends of speech may be off"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, reference: str, vad: str, out_dir: str) -> int:
        out = Path(out_dir)
        tables = table_specifier(reference), table_specifier(vad)
        inputs = [name for table in tables for name in table_file(table)]
        outputs = [out / name for name in ("results.json", "utterances.tsv", "confusion.png")]
        options = {"tolerance": self.tolerance, "collar": self.collar}
        with Step("evaluate_vad", out, inputs, options, outputs, self.force) as step:
            if step.is_done:
                return 0
            errors = self._count(*tables)
            total = sum((one for one, _ in errors.values()), FrameErrors(0, 0, 0, 0))
            segments = sum((one for _, one in errors.values()), SegmentErrors(0, 0, 0))
            results = {
                "frames": total.num_frames,
                "utterances": len(errors),
                **{name: finite(value) for name, value in _rates(total).items()},
                "majority_class_accuracy": float(total.confusion.sum(axis=1).max() / total.num_frames),
                "confusion": total.confusion.tolist(),
                "segments": {
                    **vars(segments),
                    "collar_frames": self.collar,
                    **{name: finite(value) for name, value in _segment_rates(segments).items()},
                },
                "reference": reference,
                "vad": vad,
                "command": shlex.join(word for word in sys.argv if word != "--force"),
                "versions": versions(),
            }
            lines = ["\t".join(["utterance", "frames", *_rates(total), *_segment_rates(segments)]) + "\n"]
            for key, (found, stretches) in sorted(errors.items()):
                rates = {**_rates(found), **_segment_rates(stretches)}
                values = "\t".join(f"{value:.4f}" for value in rates.values())
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
            shown += f" | stretches F {100 * segments.f_measure:.1f}%"
            step.finish(f"{out}: {shown} | {total.num_frames} frames of {len(errors)} utterances", manifest(errors))
        return 0

    def _count(self, reference: str, vad: str) -> dict[str, tuple[FrameErrors, SegmentErrors]]:
        """Errors of every utterance of the reference."""
        truth = dict(read_table(reference, VECTOR))
        errors: dict[str, tuple[FrameErrors, SegmentErrors]] = {}
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
                pair = truth[key][:size], decided[:size]
                errors[key] = frame_errors(*pair), segment_errors(*pair, self.collar)
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


def _segment_rates(errors: SegmentErrors) -> dict[str, float]:
    return {
        "segment_recall": errors.recall,
        "segment_precision": errors.precision,
        "segment_f_measure": errors.f_measure,
    }


if __name__ == "__main__":
    EvaluateVad.run()
