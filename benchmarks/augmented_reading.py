"""Reading augmented copies: wav-reverberate lines of wav.scp inside the process against a shell for each.

    python benchmarks/augmented_reading.py

4 s of speech with one noise, with five repeated ones (babble), and in a room. The same bytes both ways; the best of
five alternating rounds, by the clock.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from spkid.audio import Recording, write_wav
from spkid.audio.corruption import AddedNoise, corruption_line

RATE, LINES, ROUNDS = 16000, 8, 5


def main() -> None:
    print(f"{'copy':<10} {'shell':>12} {'in process':>12} {'ratio':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, line in lines(Path(folder)).items():
            shell, ours = measure(line)
            print(f"{name:<10} {1000 * shell:>9.1f} ms {1000 * ours:>9.1f} ms {shell / ours:>7.1f}x", flush=True)


def lines(folder: Path) -> dict[str, str]:
    """A wav.scp entry of each kind."""
    random, paths = np.random.default_rng(0), {}
    for name, seconds in {"speech": 4, "noise": 3, "room": 0.4, **{f"voice{n}": 3 for n in range(5)}}.items():
        samples = 0.1 * random.standard_normal(round(RATE * seconds))
        if name == "room":
            samples *= np.exp(-np.arange(len(samples)) / 800)
        paths[name] = str(folder / f"{name}.wav")
        write_wav(paths[name], samples.astype(np.float32), RATE)
    babble = [AddedNoise(corruption_line(paths[f"voice{n}"], duration=4.0), 15) for n in range(5)]
    return {
        "noise": corruption_line(paths["speech"], noises=[AddedNoise(paths["noise"], 10)]),
        "babble": corruption_line(paths["speech"], noises=babble),
        "room": corruption_line(paths["speech"], response=paths["room"]),
    }


def measure(line: str) -> tuple[float, float]:
    """Seconds a line: by a shell, by the reader."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = line.removesuffix("|").strip()

    def by_shell() -> bytes:
        return subprocess.run(
            command, shell=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        ).stdout

    def by_reader() -> np.ndarray:
        with Recording(line) as recording:
            return recording.read()

    np.testing.assert_array_equal(Recording.from_bytes(by_shell(), "shell").read(), by_reader())
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for place, way in enumerate((by_shell, by_reader)):
            begin = time.perf_counter()
            for _ in range(LINES):
                way()
            best[place] = min(best[place], (time.perf_counter() - begin) / LINES)
    return best[0], best[1]


if __name__ == "__main__":
    main()
