"""What decides the embeddings of a data directory. Free of torch: a step that is done already reads only this."""

from dataclasses import dataclass

import numpy as np

from spkid.data.audio_options import audio_options, crop_samples, frame_options
from spkid.data.division import WAVEFORM, Batching
from spkid.data.front_end import FrontEnd
from spkid.kaldi import InputError
from spkid.kaldi.options import option

PRECISIONS = ("float32", "tf32", "bf16")
LAYERS = ("", "near", "far")
# Frames computed together and the padding that pays, measured by benchmarks/extraction.py: on a CPU one utterance of a
# few seconds keeps a core busy, and what is larger than its caches is slower.
CPU_FRAMES, CPU_PADDING = 1000, 0.05
GPU_FRAMES, GPU_PADDING = 64000, 0.25


@dataclass(frozen=True)
class ExtractionOptions:
    """What decides an embedding, and where it is computed: the options of xvector-compute.

    A frame of waveforms is a hop of 10 ms. Raises InputError for values that contradict each other.
    """

    chunk_size: int = option(10000, "Utterances of more frames are cut into chunks of this size, and averaged")
    min_chunk_size: int = option(25, "The least number of frames that the network is given")
    pad_input: bool = option(
        True, "If true, repeat the first and last frame of shorter chunks (waveforms: all of it); if false, fail"
    )
    crops: int = option(0, "If not 0, embed so many crops at even distances instead, as the VoxCeleb trainer does")
    crop_frames: int = option(300, "Length of the crops")
    layer: str = option(
        "", "near or far: the first or second layer of an x-vector behind the pooling (empty: as configured)"
    )
    num_threads: int = option(1, "Threads of the matrix products; the last digits depend on it")
    use_gpu: bool = option(False, "Compute on the GPU")
    precision: str = option("float32", "float32; bf16: half the time where it is supported; tf32: on a GPU, in between")
    batch_frames: int = option(0, "Most frames that are computed together (0: what suits the device)")

    def __post_init__(self) -> None:
        if not 0 < self.min_chunk_size <= self.chunk_size:
            raise InputError(
                f"--min-chunk-size={self.min_chunk_size} must lie between 1 and --chunk-size={self.chunk_size}"
            )
        if self.num_threads < 1:
            raise InputError(f"--num-threads must be positive, not {self.num_threads}")
        if self.crops < 0 or self.crop_frames < 1 or self.batch_frames < 0:
            raise InputError("--crops and --batch-frames must be 0 or more, --crop-frames at least 1")
        if self.layer not in LAYERS:
            raise InputError(f"--layer must be near or far, not {self.layer}")
        if self.precision not in PRECISIONS:
            raise InputError(f"--precision must be one of {', '.join(PRECISIONS)}, not {self.precision}")
        if self.precision == "tf32" and not self.use_gpu:
            raise InputError("--precision=tf32 is of GPUs: add --use-gpu=true, or take bf16 or float32")

    @property
    def most_frames(self) -> int:
        """Frames computed together."""
        return self.batch_frames or (GPU_FRAMES if self.use_gpu else CPU_FRAMES)

    def batching(self, front_end: FrontEnd, takes_lengths: bool, utterances: int) -> Batching:
        """How a source's utterances are put together, at most `utterances` of them."""
        if self.crops:  # whatever the lengths of the utterances, their crops have one
            together = max(1, self.most_frames // (self.crops * self.crop_frames))
            return Batching(min(utterances, together), np.iinfo(np.int64).max, np.inf)
        padding = GPU_PADDING if self.use_gpu else CPU_PADDING
        return Batching(utterances, self.most_frames * rows_per_frame(front_end), padding if takes_lengths else 0.0)


def rows_per_frame(front_end: FrontEnd) -> int:
    """Samples in a hop of 10 ms for networks that take waveforms, 1 for those that take frames."""
    if front_end.type != WAVEFORM:
        return 1
    return frame_options(audio_options(front_end.type, front_end.options)).window_shift


def crop_rows(front_end: FrontEnd, frames: int) -> int:
    """Frames of a crop, or the samples behind so many frames for networks that take waveforms."""
    if front_end.type != WAVEFORM:
        return frames
    return crop_samples(audio_options(front_end.type, front_end.options), frames)
