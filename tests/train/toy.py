"""A small data directory whose speakers differ, to train on in seconds."""

import json
from pathlib import Path

import numpy as np

from spkid.kaldi.tables import MATRIX, VECTOR, TableWriter, write_id_map

OPTIONS = {"num_ceps": 8}


def make_data(
    directory: Path, speakers: int = 6, utterances: int = 10, frames: tuple[int, int] = (40, 90), dims: int = 8, seed=0
) -> Path:
    """`speakers` with own mean and colour; vad.scp says that about 80% of the frames are speech."""
    directory.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    utt2spk, lengths = {}, {}
    feats = f"ark,scp:{directory}/feats.ark,{directory}/feats.scp"
    vad = f"ark,scp:{directory}/vad.ark,{directory}/vad.scp"
    with TableWriter(feats, MATRIX) as feats_writer, TableWriter(vad, VECTOR) as vad_writer:
        for speaker in range(speakers):
            colour = rng.normal(size=(dims, dims))
            for number in range(utterances):
                utterance = f"spk{speaker:02d}-utt{number:02d}"
                length = int(rng.integers(*frames))
                features = (5.0 + rng.normal(size=(length, dims)) @ colour).astype(np.float32)
                feats_writer.write(utterance, features)
                vad_writer.write(utterance, (rng.random(length) < 0.8).astype(np.float32))
                utt2spk[utterance], lengths[utterance] = f"spk{speaker:02d}", length
    write_id_map(directory / "utt2spk", utt2spk)
    write_id_map(directory / "utt2num_frames", lengths)
    members = {speaker: [one for one in utt2spk if utt2spk[one] == speaker] for speaker in utt2spk.values()}
    write_id_map(directory / "spk2utt", {speaker: " ".join(utterances) for speaker, utterances in members.items()})
    record = {"type": "mfcc", "options": OPTIONS, "applied": []}
    (directory / "feats.json").write_text(json.dumps(record), encoding="utf-8")
    return directory


def write_trials(directory: Path) -> Path:
    """All pairs of a data directory as its `trials`."""
    lines = (directory / "utt2spk").read_text(encoding="utf-8").split("\n")[:-1]
    pairs = [line.split() for line in lines]
    with open(directory / "trials", "w", encoding="utf-8") as stream:
        for row, (left, left_speaker) in enumerate(pairs):
            for right, right_speaker in pairs[row + 1 :]:
                stream.write(f"{left} {right} {'target' if left_speaker == right_speaker else 'nontarget'}\n")
    return directory / "trials"


CONFIG = """
features: {type: mfcc, cmn: sliding, cmn_window: 30, vad: true}
threads: 1
device: cpu
model: {name: xvector, embedding_dim: 16, channels: 24, pooled_channels: 32, layer: far}
loss: {name: am_softmax, margin: 0.1, scale: 20}
data: {chunk_frames: [24, 32], micro_batch: 8, spec_augment: {time_masks: 1, frequency_masks: 1, frequency_width: 2}}
optimizer: {name: adam, lr: 5e-3}
schedule: {name: one_cycle, epochs: 4}
validation: {fraction: 0.1, trials_every: 2}
"""
