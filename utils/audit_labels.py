#!/usr/bin/env python3
"""Looks for wrong labels: utterances of another speaker, recordings kept twice, speakers in train and test."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from plumbum import cli

from spkid.backend.audit import directions, fit_to_speakers, indices_of, similar_pairs, speaker_sums
from spkid.backend.transforms import length_normalize
from spkid.backend.vectors import VectorTable, load_vectors
from spkid.jobs import Program, fraction, progress
from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import atomic_write

KINDS = {
    "same audio": "the recordings are identical, byte for byte",
    "near copy": "the embeddings are all but identical: perhaps one recording, cut or coded twice",
    "other speaker": "the utterance fits another speaker better than its own",
    "speaker in both": "a speaker of the training set has utterances in the test set",
    "one voice, two names": "a training and a test speaker sound like one person",
}


@dataclass(frozen=True)
class Finding:
    """One line of the table; the larger `doubt`, the further up it stands among those of its kind."""

    kind: str
    doubt: float
    utterance: str
    speaker: str
    other: str
    other_speaker: str


class AuditLabels(Program):
    """Ranks what looks wrong in the labels of DATA-DIR and writes <out-dir>/audit.tsv; it changes and deletes nothing.

    VECTORS are embeddings of the utterances (steps/extract_xvectors.py). With --test-data both sets are compared, too:
    speakers and recordings that are in both make a test worthless. Listen to what stands at the top of the table.
    """

    EXAMPLE = (
        "utils/audit_labels.py --test-data data/test --test-vectors exp/xvector/xvectors_test/xvector.scp "
        "data/train exp/xvector/xvectors_train/xvector.scp exp/audit"
    )

    test_data = cli.SwitchAttr("--test-data", cli.ExistingDirectory, help="data directory that must share nobody")
    test_vectors = cli.SwitchAttr("--test-vectors", str, help="embeddings of its utterances", requires=["--test-data"])
    excess = cli.SwitchAttr(
        "--excess", float, default=0.0, help="list an utterance if another speaker's cosine is larger by this much"
    )
    copy_cosine = cli.SwitchAttr(
        "--copy-cosine", fraction, default=0.98, help="from this cosine on two are near copies"
    )
    voice_cosine = cli.SwitchAttr(
        "--voice-cosine", fraction, default=0.8, help="from this cosine of their means on two speakers sound like one"
    )

    def main(self, data_dir: str, vectors: str, out_dir: str) -> int:
        train = _Set(data_dir, load_vectors(vectors))
        sets = [train]
        if self.test_data:
            sets.append(_Set(self.test_data, load_vectors(self.test_vectors) if self.test_vectors else None))
        findings = list(self._findings(sets))
        order = {kind: number for number, kind in enumerate(KINDS)}
        findings.sort(key=lambda one: (order[one.kind], -one.doubt, one.utterance, one.other))
        table = Path(out_dir) / "audit.tsv"
        table.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(table) as stream:
            stream.write("rank\tkind\tdoubt\tutterance\tspeaker\tother\tother_speaker\n")
            for rank, one in enumerate(findings, start=1):
                words = (one.utterance, one.speaker, one.other, one.other_speaker)
                stream.write(f"{rank}\t{one.kind}\t{one.doubt:.4f}\t" + "\t".join(words) + "\n")
        counts = Counter(one.kind for one in findings)
        for kind, meaning in KINDS.items():
            if counts[kind]:
                print(f"{counts[kind]:6d}  {kind}: {meaning}")
        utterances = sum(len(one.data.utt2spk) for one in sets)
        print(f"{len(findings)} doubts about {utterances} utterances in {table}; nothing was changed")
        return 0

    def _findings(self, sets: list["_Set"]) -> Iterator[Finding]:
        known = set()
        for finding in _same_audio(sets):
            known.add((finding.utterance, finding.other))
            yield finding
        with_vectors = [one for one in sets if one.vectors]
        for one, unit in zip(with_vectors, directions(*(one.vectors.matrix for one in with_vectors)), strict=True):
            one.unit = unit
        yield from self._misfits(sets[0])
        for left, right in [(sets[0], None)] + [(sets[0], one) for one in with_vectors[1:]]:
            pairs, cosines = similar_pairs(left.unit, right.unit if right else None, self.copy_cosine)
            for (first, second), cosine in zip(pairs, cosines, strict=True):
                ids = left.vectors.ids[first], (right or left).vectors.ids[second]
                if ids not in known and ids[::-1] not in known:
                    yield Finding("near copy", float(cosine), ids[0], left.speaker(ids[0]), ids[1],
                                  (right or left).speaker(ids[1]))  # fmt: skip
        if len(sets) > 1:
            yield from self._leaks(*sets)

    def _misfits(self, one: "_Set") -> Iterator[Finding]:
        speakers, labels = indices_of([one.speaker(utterance) for utterance in one.vectors.ids])
        try:
            fit = fit_to_speakers(one.unit, labels)
        except ValueError as error:
            raise InputError(f"{one.data.root}: {error}") from None
        for row in np.flatnonzero(fit.excess > self.excess):
            yield Finding("other speaker", float(fit.excess[row]), one.vectors.ids[row], speakers[labels[row]], "-",
                          speakers[fit.other_speaker[row]])  # fmt: skip

    def _leaks(self, train: "_Set", test: "_Set") -> Iterator[Finding]:
        counts = Counter(test.data.utt2spk.values())
        shared = sorted(set(train.data.utt2spk.values()) & set(counts))
        for speaker in shared:
            yield Finding("speaker in both", float(counts[speaker]), "-", speaker, "-", speaker)
        if not test.vectors:
            return
        names, means = zip(*(one.speaker_means() for one in (train, test)), strict=True)
        for (first, second), cosine in zip(*similar_pairs(*means, self.voice_cosine), strict=True):
            if names[0][first] != names[1][second]:
                yield Finding("one voice, two names", float(cosine), "-", names[0][first], "-", names[1][second])


class _Set:
    """A data directory and the embeddings of its utterances; those of utterances that it does not have are left out."""

    def __init__(self, path: str, vectors: VectorTable | None) -> None:
        self.data = DataDir(path)
        self.data.check(needs=("utt2spk",))
        self.vectors, self.unit = vectors, np.zeros((0, 0), np.float32)
        if vectors is not None:
            rows = [row for row, utterance in enumerate(vectors.ids) if utterance in self.data.utt2spk]
            if not rows:
                raise InputError(f"{vectors.source}: has no vector of an utterance of {path}")
            self.vectors = VectorTable([vectors.ids[row] for row in rows], vectors.matrix[rows], vectors.source)

    def speaker(self, utterance: str) -> str:
        return self.data.utt2spk[utterance]

    def speaker_means(self) -> tuple[list[str], np.ndarray]:
        """Names of the speakers and their means, of length 1."""
        names, labels = indices_of([self.speaker(utterance) for utterance in self.vectors.ids])
        return names, length_normalize(speaker_sums(self.unit, labels), scaleup=False).astype(np.float32)


def _same_audio(sets: list[_Set]) -> Iterator[Finding]:
    """Utterances whose audio is the same file, the same command and part of it, or the same bytes."""
    members: dict[tuple, list[tuple[_Set, str]]] = defaultdict(list)
    for one in sets:
        if not one.data.has("wav.scp"):
            continue
        parts = one.data.read("segments") if one.data.has("segments") else {}
        sources = one.data.read("wav.scp")
        for utterance in one.data.utt2spk:
            recording, _, part = parts.get(utterance, utterance).partition(" ")
            if recording in sources:
                members[sources[recording].strip(), part.strip()].append((one, utterance))
    by_size: dict[int, list[str]] = defaultdict(list)
    for source in {source for source, _ in members}:
        if os.path.isfile(source):
            by_size[os.path.getsize(source)].append(source)
    suspects = [source for same in by_size.values() if len(same) > 1 for source in same]
    digests = {source: _digest(source) for source in progress(suspects, "files of equal size", unit="files")}
    groups: dict[tuple, list[tuple[_Set, str]]] = defaultdict(list)
    for (source, part), same in members.items():
        groups[digests.get(source, source), part].extend(same)
    for same in groups.values():
        (first_set, first), *others = sorted(same, key=lambda member: (sets.index(member[0]), member[1]))
        for other_set, other in others:
            yield Finding("same audio", 1.0, first, first_set.speaker(first), other, other_set.speaker(other))


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()


if __name__ == "__main__":
    AuditLabels.run()
