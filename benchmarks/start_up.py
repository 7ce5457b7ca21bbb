"""How long the small tools take on one short input, against importing the libraries they stand on.

    python benchmarks/start_up.py [tool ...]

Table tools are compared with `python -c 'import numpy, kaldiio'`, the others with `python -c 'import numpy,
scipy.linalg'`; the best of seven alternating runs, each a process of its own. Goal: at most 2. That no tool loads torch
is checked on the way.
"""

import os
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

from spkid.backend.plda import Plda
from spkid.features.cmvn_statistics import CMVN_STATISTICS
from spkid.kaldi.matrix import save_matrix, save_vector
from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter

ROUNDS = 7
# tool -> (whether it is a table tool, arguments); files are those of write_inputs
TOOLS = {
    "copy-feats": (True, ["scp:feats.scp", "ark,scp:out.ark,out.scp"]),
    "copy-matrix": (True, ["ark:feats.ark", "ark,t:out.txt"]),
    "copy-vector": (True, ["ark:vectors.ark", "ark,t:out.txt"]),
    "feat-to-dim": (True, ["scp:feats.scp", "out.dim"]),
    "feat-to-len": (True, ["scp:feats.scp", "ark,t:out.len"]),
    "matrix-sum": (True, ["ark:feats.ark", "ark:feats.ark", "ark:out.ark"]),
    "paste-feats": (True, ["ark:feats.ark", "ark:feats.ark", "ark:out.ark"]),
    "subsample-feats": (True, ["--n=2", "ark:feats.ark", "ark:out.ark"]),
    "vector-sum": (True, ["ark:vectors.ark", "out.vec"]),
    "compute-mfcc-feats": (False, ["scp:wav.scp", "ark:out.ark"]),
    "compute-fbank-feats": (False, ["scp:wav.scp", "ark:out.ark"]),
    "compute-spectrogram-feats": (False, ["scp:wav.scp", "ark:out.ark"]),
    "compute-vad": (False, ["scp:feats.scp", "ark:out.ark"]),
    "apply-cmvn-sliding": (False, ["scp:feats.scp", "ark:out.ark"]),
    "add-deltas": (False, ["scp:feats.scp", "ark:out.ark"]),
    "select-voiced-frames": (False, ["scp:feats.scp", "ark:vad.ark", "ark:out.ark"]),
    "wav-to-duration": (False, ["scp:wav.scp", "ark,t:out.txt"]),
    "wav-copy": (False, ["scp:wav.scp", "ark:out.ark"]),
    "extract-segments": (False, ["scp:wav.scp", "segments", "ark:out.ark"]),
    "ivector-mean": (False, ["ark:vectors.ark", "out.vec"]),
    "ivector-normalize-length": (False, ["ark:vectors.ark", "ark:out.ark"]),
    "ivector-subtract-global-mean": (False, ["one.vec", "ark:vectors.ark", "ark:out.ark"]),
    "ivector-transform": (False, ["square.mat", "ark:vectors.ark", "ark:out.ark"]),
    "transform-vec": (False, ["square.mat", "ark:vectors.ark", "ark:out.ark"]),
    "ivector-copy-plda": (False, ["--smoothing=0.1", "plda", "out.plda"]),
    "ivector-plda-scoring": (False, ["plda", "ark:vectors.ark", "ark:vectors.ark", "trials", "out.txt"]),
    "ivector-plda-scoring-dense": (False, ["plda", "ark:reco2utt", "ark:vectors.ark", "ark:out.ark"]),
    "ivector-compute-dot-products": (False, ["trials", "ark:vectors.ark", "ark:vectors.ark", "out.txt"]),
    "agglomerative-cluster": (False, ["ark:pair.ark", "ark:reco2utt", "ark,t:out.txt"]),
    "compute-eer": (False, ["labelled"]),
    "compute-min-dcf": (False, ["scores", "trials"]),
    "compute-cmvn-stats": (False, ["scp:feats.scp", "ark:out.ark"]),
    "apply-cmvn": (False, ["ark:stats.ark", "scp:feats.scp", "ark:out.ark"]),
    "wav-reverberate": (False, ["--impulse-response=a.wav", "a.wav", "out.wav"]),
}
BASES = {True: "import numpy, kaldiio", False: "import numpy, scipy.linalg"}


def main() -> int:
    """Prints a line a tool; returns 1 where one is slower than the goal."""
    chosen = sys.argv[1:] or list(TOOLS)
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder))
        for tool in chosen:
            is_table_tool, arguments = TOOLS[tool]
            check_modules(tool, arguments, folder)
            base = [sys.executable, "-c", BASES[is_table_tool]]
            ours = [*command(tool), "--print-args=false", *arguments]
            times = [(seconds(base, folder), seconds(ours, folder)) for _ in range(ROUNDS)]
            slow, fast = (min(column) for column in zip(*times, strict=True))
            worst = max(worst, fast / slow)
            against = f"{BASES[is_table_tool]:<28} {slow * 1e3:6.0f} ms {fast / slow:6.2f}x"
            print(f"{tool:<28} {fast * 1e3:6.0f} ms   {against}", flush=True)
    return 0 if worst <= 2 else 1


def command(tool: str) -> list[str]:
    """The installed command where there is one, else the module."""
    script = Path(sys.executable).with_name(tool)
    return [str(script)] if script.exists() else [sys.executable, "-m", f"spkid.bin.{tool.replace('-', '_')}"]


def seconds(arguments: list[str], folder: str) -> float:
    """Wall-clock time of a process that must end well."""
    begin = time.perf_counter()
    subprocess.run(arguments, cwd=folder, env=environment(), check=True, capture_output=True)
    return time.perf_counter() - begin


def environment() -> dict[str, str]:
    """One thread, and the package importable where it is not installed."""
    root = str(Path(__file__).resolve().parent.parent)
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": ""}


def check_modules(tool: str, arguments: list[str], folder: str) -> None:
    """Runs the tool once; torch must not be among the modules it leaves behind."""
    program = f"""
import sys
from spkid.bin.{tool.replace("-", "_")} import main
status = main({arguments!r})
sys.exit(3 if "torch" in sys.modules else status)
"""
    run = [sys.executable, "-c", program]
    done = subprocess.run(run, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{tool}: " + ("it imports torch" if done.returncode == 3 else f"failed: {done.stderr}"))


def write_inputs(folder: Path) -> None:
    """A second of noise as audio, and small tables of features, voice activity and vectors."""
    generator = np.random.default_rng(0)
    with wave.open(str(folder / "a.wav"), "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(16000)
        audio.writeframes(generator.integers(-1000, 1000, 16000).astype("<i2").tobytes())
    (folder / "wav.scp").write_text("utterance a.wav\n")
    (folder / "segments").write_text("segment utterance 0.1 0.9\n")
    with TableWriter(f"ark,scp:{folder}/feats.ark,{folder}/feats.scp", MATRIX) as writer:
        writer.write("utterance", generator.normal(size=(98, 30)) + 10)
    for name, vector in (("vad", np.ones(98)), ("vectors", generator.normal(size=512))):
        with TableWriter(f"ark:{folder}/{name}.ark", VECTOR) as writer:
            writer.write("utterance", vector)
            if name == "vectors":
                writer.write("other", generator.normal(size=512))
    save_vector(f"{folder}/one.vec", np.ones(512))
    save_matrix(f"{folder}/square.mat", np.eye(512))
    Plda.from_parameters(np.zeros(512), np.eye(512), np.linspace(4, 0, 512)).write(f"{folder}/plda")
    (folder / "trials").write_text("utterance utterance target\nutterance other nontarget\n")
    (folder / "scores").write_text("utterance utterance 2\nutterance other 1\n")
    (folder / "labelled").write_text("2 target\n1 nontarget\n")
    (folder / "reco2utt").write_text("recording utterance other\n")
    with TableWriter(f"ark:{folder}/pair.ark", MATRIX) as writer:
        writer.write("recording", np.eye(2))
    with TableWriter(f"ark:{folder}/stats.ark", CMVN_STATISTICS) as writer:
        writer.write("utterance", np.full((2, 31), 98.0))


if __name__ == "__main__":
    sys.exit(main())
