#!/usr/bin/env python3
"""A back end adapted to unlabelled vectors of the domain in which it will be used."""

from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.backend import BackEnd
from spkid.backend.adaptation import coral_plda, coral_plus_plda
from spkid.backend.vectors import blaming, load_vectors, table_file, table_specifier
from spkid.jobs import Program, Step, fraction
from spkid.jobs.manifest import manifest
from spkid.kaldi import InputError

# what Kaldi's recipe (sre16/v2) gives ivector-adapt-plda, and what the paper of CORAL+ found best
DEFAULT_SCALES = {"kaldi": (0.75, 0.25), "coral+": (0.8, 0.8)}


class AdaptPlda(Program):
    """Writes <out-dir>/{mean.vec,transform.mat,plda} for --backend of steps/score_trials.py.

    The mean becomes that of the new vectors, LDA stays, and PLDA is adapted to them after mean, LDA and length
    normalisation: `kaldi` as ivector-adapt-plda, `coral` and `coral+` by correlation alignment.
    """

    EXAMPLE = (
        "steps/adapt_plda.py --method coral+ exp/xvector/backend exp/xvector/xvectors_unlabelled/xvector.scp "
        "exp/xvector/backend_adapted"
    )

    method = cli.SwitchAttr(
        "--method", cli.Set("kaldi", "coral", "coral+", case_sensitive=True), default="kaldi", help="how to adapt"
    )
    within_covar_scale = cli.SwitchAttr(
        "--within-covar-scale",
        fraction,
        help="share of the additional variance that the covariance within speakers receives (kaldi 0.75, coral+ 0.8)",
    )
    between_covar_scale = cli.SwitchAttr(
        "--between-covar-scale", fraction, help="likewise, between speakers (kaldi 0.25, coral+ 0.8)"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, backend_dir: str, vectors: str, out_dir: str) -> int:
        rspecifier, out = table_specifier(vectors), Path(out_dir)
        if self.method == "coral" and (self.within_covar_scale is not None or self.between_covar_scale is not None):
            raise InputError("CORAL has no scales: leave them out, or take coral+")
        names = ("mean.vec", "transform.mat", "plda")
        given = (self.within_covar_scale, self.between_covar_scale)
        defaults = DEFAULT_SCALES.get(self.method, (None, None))
        scales = [default if scale is None else scale for scale, default in zip(given, defaults, strict=True)]
        inputs = [*(Path(backend_dir) / name for name in names), *table_file(rspecifier)]
        options = {"method": self.method, "scales": scales, "vectors": rspecifier, "backend": backend_dir}
        with Step("adapt_plda", out, inputs, options, [out / name for name in names], self.force) as step:
            if step.is_done:
                return 0
            backend = BackEnd.read(backend_dir)
            table = load_vectors(rspecifier)
            mean = table.matrix.mean(axis=0, dtype=np.float64).astype(np.float32)
            with blaming(rspecifier):
                prepared = BackEnd(mean, backend.matrix, backend.plda).prepare(table.matrix)
                if self.method == "kaldi":
                    plda = backend.plda.adapt(prepared, *scales)
                elif self.method == "coral":
                    plda = coral_plda(backend.plda, prepared)
                else:
                    plda = coral_plus_plda(backend.plda, prepared, *scales)
            BackEnd(mean, backend.matrix, plda).write(out)
            summary = f"PLDA of {plda.dims} dimensions adapted to {len(table)} vectors by {self.method}"
            step.finish(summary, manifest(table.ids))
        return 0


if __name__ == "__main__":
    AdaptPlda.run()
