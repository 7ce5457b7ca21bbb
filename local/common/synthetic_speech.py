"""Synthetic speech for egs/mini: espeak-ng through ctypes, a small room, and a fresh process for every sentence.

espeak-ng comes from the PyPI package espeakng-loader (its library is GPL-3: the demonstration recipe alone loads it).
"""

from __future__ import annotations

import ctypes
import os
import select
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TypeVar

import numpy as np

from spkid.kaldi import InputError

# Values of espeak-ng's speak_lib.h.
AUDIO_OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
PARAMETER_RATE, PARAMETER_PITCH, PARAMETER_RANGE = 1, 3, 4
SYNTHESIS_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

Item = TypeVar("Item")


def load_espeak() -> ModuleType:
    """The module espeakng_loader, which knows where the library and its voices lie; InputError where it is missing."""
    try:
        import espeakng_loader

        ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError) as error:
        raise InputError(
            f"the synthetic voices need espeak-ng ({error}): install it with `pip install espeakng-loader`"
        ) from None
    return espeakng_loader


def speak(
    loader: ModuleType, text: str, voice: str, pitch: int, pitch_range: int, words_per_minute: int
) -> tuple[np.ndarray, int]:
    """Reads one sentence: (int16 samples, samples per second).

    Once in the life of a process: espeak-ng carries state into the next sentence, and its Terminate does not reset it.

    voice: accent and variant, `en-us+f2`; pitch and pitch_range: espeak's 0-100.
    """
    espeak = ctypes.CDLL(loader.get_library_path())
    data_path = loader.get_data_path()
    rate = espeak.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path.encode(), INITIALIZE_DONT_EXIT)
    if rate <= 0:
        raise InputError(f"espeak-ng cannot read its data in {data_path}; install espeakng-loader again")
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(1))  # of breath and roughness; otherwise the clock's
    pieces: list[bytes] = []

    def collect(samples, count, _events) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = SYNTHESIS_CALLBACK(collect)  # a name of its own: ctypes does not keep it alive
    espeak.espeak_SetSynthCallback(callback)
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        raise InputError(f"espeak-ng has no voice {voice}; this espeakng-loader is not the one in requirements.txt")
    settings = {PARAMETER_RATE: words_per_minute, PARAMETER_PITCH: pitch, PARAMETER_RANGE: pitch_range}
    for parameter, value in settings.items():
        espeak.espeak_SetParameter(parameter, value, 0)
    sentence = text.encode()
    status = espeak.espeak_Synth(sentence, ctypes.c_size_t(len(sentence) + 1), 0, 1, 0, CHARS_UTF8, None, None)
    espeak.espeak_Synchronize()
    if status != 0 or not pieces:
        raise InputError(f"espeak-ng ({voice}) made no sound of: {text}")
    return np.frombuffer(b"".join(pieces), dtype=np.int16), rate


def record(speech: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
    """Records clean speech in a small room: reverberation, microphone, coloured noise, level; (samples,) float, +-1.

    The room's response is the direct path and an exponentially decaying Gaussian tail (T60 0.1 to 0.5 s, 3 to 15 dB
    under the direct path). The microphone tilts the spectrum by up to 3 dB an octave, up or down. The noise's power
    falls as 1/f^0 to 1/f^2 and lies 5 to 20 dB under the speech. Up to half a second without speech at either end.
    """
    from scipy import fft

    speech = np.pad(speech, [round(seconds * rate) for seconds in random.uniform(0.15, 0.45, size=2)])
    decay_time = random.uniform(0.1, 0.5)
    time = np.arange(1, round(decay_time * rate)) / rate
    tail = random.standard_normal(len(time)) * 10 ** (-3 * time / decay_time)
    tail *= 10 ** (-random.uniform(3, 15) / 20) / np.sqrt(np.sum(tail**2))

    size = fft.next_fast_len(len(speech) + len(tail), real=True)
    # From 1 kHz. Below 50 Hz there is nothing to hear, and a steep slope would put all of the power there.
    octaves = np.log2(np.maximum(fft.rfftfreq(size, 1 / rate), 50) / 1000)
    microphone = 10 ** (random.uniform(-3, 3) * octaves / 20)
    room = fft.rfft(np.concatenate([[1.0], tail]), size) * microphone
    recording = fft.irfft(fft.rfft(speech, size) * room, size)[: len(speech)]

    colour = 2 ** (-random.uniform(0, 2) * octaves / 2)
    noise = fft.irfft(fft.rfft(random.standard_normal(size)) * colour, size)[: len(speech)]
    noise *= np.sqrt(np.mean(recording**2) / np.mean(noise**2)) * 10 ** (-random.uniform(5, 20) / 20)

    recording += noise
    recording *= 10 ** (random.uniform(-32, -20) / 20) / np.sqrt(np.mean(recording**2))
    return recording / max(1.0, np.max(np.abs(recording)) / 0.99)


def in_fresh_processes(work: Callable[[Item], None], items: Iterable[Item], nj: int) -> Iterator[Item]:
    """Calls `work` on each item in a process of its own, `nj` at a time; yields the items as they finish.

    A process is a fork of this one, 5 ms each, and ends with its item: none outlives a killed parent by more than that.
    Raises InputError with what the child said, once the children that still run have ended.
    """
    running: dict[int, tuple[int, Item]] = {}  # by the pipe that the child speaks into, closed when it ends

    def wait() -> Item:
        words = select.select(list(running), [], [])[0][0]
        process, item = running.pop(words)
        with os.fdopen(words, encoding="utf-8", errors="replace") as stream:
            reason = stream.read()
        _, status = os.waitpid(process, 0)
        if status != 0:
            raise InputError(f"{item}: {reason or f'the process that made it ended with status {status}'}")
        return item

    try:
        for item in items:
            if len(running) >= nj:
                yield wait()
            words, say = os.pipe()
            process = os.fork()
            if process == 0:
                _work_and_exit(work, item, say)
            os.close(say)
            running[words] = process, item
        while running:
            yield wait()
    finally:
        for words, (process, _) in running.items():
            os.waitpid(process, 0)
            os.close(words)


def _work_and_exit(work: Callable[[Item], None], item: Item, say: int) -> None:
    status = 1
    try:
        work(item)
        status = 0
    except BaseException as error:
        os.write(say, str(error).encode()[:4000])  # a pipe holds that much: nobody reads before this process has ended
    finally:
        os._exit(status)  # not sys.exit: what the parent has in its buffers is the parent's to write
