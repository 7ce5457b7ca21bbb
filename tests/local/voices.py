"""Voices for tests of corpora: short noises, a different tone a speaker, made in no time."""

import http.server
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from local.common.layouts import Voice


def voices(number: int, utterances: int = 2, rate: int = 16000, seconds: float = 0.05) -> list[Voice]:
    """So many speakers, women and men in turn, with utterances of `seconds` and a little more each."""

    def read(speaker: int, utterance: int) -> np.ndarray:
        random = np.random.default_rng([speaker, utterance])
        time = np.arange(int(rate * (seconds + 0.01 * utterance))) / rate
        tone = np.sin(2 * np.pi * (100 + 10 * speaker) * time)
        return (0.1 * tone + 0.05 * random.standard_normal(len(time))).astype(np.float32)

    texts = [f"words number {utterance}" for utterance in range(utterances)]
    return [Voice("fm"[speaker % 2], texts, partial(read, speaker), rate) for speaker in range(number)]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@contextmanager
def serving(directory: Path):
    """A local server of a folder's files: yields its address; `.asked` of the server are the paths asked for."""
    handler = partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked = []
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
