#!/usr/bin/env python3
"""A trained or imported network as an ONNX file, checked against PyTorch with onnxruntime."""

from pathlib import Path

from plumbum import cli

from spkid.jobs import Program, Step
from spkid.train.experiment import DESCRIPTION, WEIGHTS, read_description


class ExportOnnx(Program):
    """Writes ONNX-FILE: the network of EXP-DIR for batches of any size and utterances of any length.

    Its input is `features` (batch, frames, dims), made as `front_end` in the file's metadata says, or `waveform`
    (batch, samples in +-1) where the network has a front end of its own; its output is `embedding`. onnxruntime and
    PyTorch compute several batches and lengths; where they differ by more than --tolerance, no file is written.
    """

    EXAMPLE = "steps/export_onnx.py exp/ecapa exp/ecapa/ecapa.onnx"

    tolerance = cli.SwitchAttr(
        "--tolerance", float, default=1.0e-4, help="largest difference over the root mean square of the embedding"
    )
    force = cli.Flag("--force", help="export again although nothing has changed")

    def main(self, exp_dir: str, onnx_file: str) -> int:
        exp, target = Path(exp_dir), Path(onnx_file)
        read_description(exp)
        inputs, record = [exp / WEIGHTS, exp / DESCRIPTION], target.parent / f".{target.name}.step"
        with Step("export_onnx", record, inputs, {"tolerance": self.tolerance}, [target], self.force) as step:
            if step.is_done:
                return 0
            from spkid.train.experiment import load_final  # torch: not where the step is done
            from spkid.train.export import export_onnx

            model = load_final(exp)
            deviation = export_onnx(model, target, self.tolerance)
            name = model.description["config"]["model"]["name"]
            size = target.stat().st_size / 1e6
            step.finish(f"{name} in {target}, {size:.1f} MB; onnxruntime differs by {deviation:.1e} from PyTorch")
        return 0


if __name__ == "__main__":
    ExportOnnx.run()
