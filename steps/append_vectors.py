#!/usr/bin/env python3
"""One vector an utterance out of several: what one system knows beside what another knows."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.jobs import Program, Step, fraction
from spkid.kaldi import InputError
from spkid.kaldi.tables import VECTOR, TableWriter, open_table, read_script

SHOWN_FAILURES = 5


class AppendVectors(Program):
    """Writes OUT-DIR/vector.scp: for every id the vectors of all SCP-FILES, one behind the other in the order given.

    Nothing is scaled: LDA, which follows, gives the same scores whatever the scale of a part. An id that is not in all
    files is left out and counted.
    """

    EXAMPLE = "steps/append_vectors.py exp/joint/vectors_test exp/xvector/xvectors_test/xvector.scp exp/means/means.scp"

    min_fraction = cli.SwitchAttr(
        "--min-fraction", fraction, default=0.95, help="fail if fewer of all ids than this are in every file"
    )
    force = cli.Flag("--force", help="repeat the step even if nothing has changed")

    def main(self, out_dir: str, *scp_files: str) -> int:
        if len(scp_files) < 2:
            raise InputError("expected <out-dir> and at least two scp files of vectors (--help shows the usage)")
        out = Path(out_dir)
        outputs = [out / "vector.ark", out / "vector.scp"]
        with Step("append_vectors", out, scp_files, {}, outputs, self.force) as step:
            if step.is_done:
                return 0
            ids = [set(read_script(path)) for path in scp_files]
            everywhere, anywhere = sorted(set.intersection(*ids)), set.union(*ids)
            given = len(anywhere)
            for path, here in zip(scp_files, ids, strict=True):
                if lacking := sorted(anywhere - here):
                    shown = ", ".join(lacking[:SHOWN_FAILURES]) + (" ..." if lacking[SHOWN_FAILURES:] else "")
                    step.say(f"{path} lacks {len(lacking)} ids, which are left out: {shown}")
            if len(everywhere) < max(1, self.min_fraction * given):
                raise InputError(f"{len(everywhere)} of {given} ids are in all files, fewer than --min-fraction allows")
            dims = write_appended(scp_files, everywhere, outputs)
            step.finish(f"{len(everywhere)} vectors of {' + '.join(map(str, dims))} values", given=given)
        return 0


def write_appended(scp_files: tuple[str, ...], ids: list[str], outputs: list[Path]) -> list[int]:
    """Writes the vectors of `ids`, appended, to outputs (ark, scp); returns the length of each part.

    Raises:
        InputError: a vector cannot be read, is not finite, or differs in length from others of its file.
    """
    dims: list[int] = []
    with ExitStack() as stack:
        tables = [stack.enter_context(open_table(f"scp:{path}", VECTOR)) for path in scp_files]
        writer = stack.enter_context(TableWriter(f"ark,scp:{outputs[0]},{outputs[1]}", VECTOR))
        for key in ids:
            vectors = [np.asarray(table[key], dtype=np.float32) for table in tables]
            dims = dims or [vector.size for vector in vectors]
            for path, vector, size in zip(scp_files, vectors, dims, strict=True):
                if vector.size != size:
                    raise InputError(f"{path}: the vector of {key} has {vector.size} values, others have {size}")
                if not np.isfinite(vector).all():
                    raise InputError(f"{path}: the vector of {key} has NaN or infinite values")
            writer.write(key, np.concatenate(vectors))
    return dims


if __name__ == "__main__":
    AppendVectors.run()
