"""Data directories: what is wrong is found and named, what can be repaired is repaired, nothing is lost on the way."""

import os
import random
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.kaldi import DataDir, InputError
from spkid.kaldi.data_combine import combine_data_dirs, copy_data_dir
from spkid.kaldi.data_split import balanced_cuts
from spkid.kaldi.data_subset import choose_utterances, utterances_of_speakers
from spkid.kaldi.id_table import is_two_words_a_line, read_id_table
from spkid.kaldi.trials import all_pairs, balanced_pairs
from tests.kaldi.data_dirs import (
    BROKEN,
    BROKEN_SEGMENTS,
    SPEAKERS,
    UTTERANCES,
    edit,
    make_data_dir,
    with_segments,
    write,
)

NEEDS = ("wav.scp", "feats.scp")


@pytest.fixture
def data(tmp_path) -> DataDir:
    return DataDir(make_data_dir(tmp_path / "data"))


@pytest.fixture
def segmented(tmp_path) -> DataDir:
    return DataDir(with_segments(make_data_dir(tmp_path / "data")))


def data_path(data: DataDir) -> Path:
    return Path(data.root)


def lines(data: DataDir, name: str) -> list[str]:
    with open(data.path(name), encoding="utf-8") as stream:
        return stream.read().splitlines()


def contents(data: DataDir) -> dict[str, list[str]]:
    return {entry.name: lines(data, entry.name) for entry in os.scandir(data) if entry.is_file()}


def test_a_directory_says_what_it_holds(segmented):
    assert tuple(segmented.utterances) == UTTERANCES
    assert tuple(segmented.speakers) == SPEAKERS
    assert segmented.utt2spk["bob-1"] == "bob"
    assert segmented.spk2utt["bob"] == ["bob-0", "bob-1", "bob-2"]
    assert list(segmented.wav_scp) == ["r1", "r2"]
    assert segmented.segments["ann-1"] == ("r1", 1.0, 1.9, -1)
    assert segmented.read("text")["ann-0"] == "some  words\tof ünïcode"
    assert os.fspath(segmented) == segmented.root


def test_a_sound_directory_passes_without_a_word(data):
    assert data.check(NEEDS, speaker_order=True) == []
    assert data.check(NEEDS) == []


def test_a_sound_directory_with_segments_passes(segmented):
    assert segmented.check(NEEDS, speaker_order=True) == []


def test_no_directory(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such data directory"):
        DataDir(tmp_path / "nowhere").check()


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_wrong_is_named(data, kind):
    break_it, words, _ = BROKEN[kind]
    break_it(data_path(data))
    with pytest.raises(InputError) as caught:
        data.check(NEEDS, speaker_order=True)
    assert words in str(caught.value)
    assert data.root in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", BROKEN_SEGMENTS)
def test_what_is_wrong_with_segments_is_named(segmented, kind):
    break_it, words, _ = BROKEN_SEGMENTS[kind]
    break_it(data_path(segmented))
    with pytest.raises(InputError) as caught:
        segmented.check(NEEDS)
    assert words in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind, (_, _, repairable) in BROKEN.items() if repairable])
def test_what_can_be_repaired_is_repaired(data, kind):
    BROKEN[kind][0](data_path(data))
    before = contents(data)
    done = data.fix()
    assert done
    data.check(NEEDS, speaker_order=True)
    after = contents(data)
    for name, content in before.items():
        if after.get(name) != content:
            with open(os.path.join(data.path(".backup"), name), encoding="utf-8", newline="") as stream:
                assert stream.read().splitlines() == content
    assert data.fix() == []
    assert len(data.utterances) >= len(UTTERANCES) - 2


@pytest.mark.parametrize("kind", [kind for kind, (_, _, repairable) in BROKEN_SEGMENTS.items() if repairable])
def test_segments_that_can_be_repaired_are(segmented, kind):
    BROKEN_SEGMENTS[kind][0](data_path(segmented))
    assert segmented.fix()
    segmented.check(NEEDS)


def test_fixing_what_is_sound_changes_nothing(data):
    before = contents(data)
    assert data.fix() == []
    assert contents(data) == before
    assert not os.path.exists(data.path(".backup"))


def test_fixing_what_cannot_be_leaves_it_as_it_was(data):
    write(data_path(data) / "feats.scp", ["other-1 a:1"])
    before = contents(data)
    with pytest.raises(InputError, match="no utterance is in all of its files"):
        data.fix()
    assert contents(data) == before


def test_fix_says_what_it_drops(data):
    edit("feats.scp", lambda x: x[:3] + x[4:])(data_path(data))
    edit("utt2dur", lambda x: [x[1], *x[5:], x[5]])(data_path(data))
    said = "; ".join(data.fix())
    assert "1 of 12 utterances dropped because some file lacks them, the first is bob-0" in said
    assert "utt2dur: 1 repeated line(s) left out" in said
    assert "utt2dur: lacks 3 of 11 ids; moved to .backup" in said
    assert not data.has("utt2dur")
    assert len(lines(data, "wav.scp")) == 11


@given(seed=st.integers(0, 10**6))
def test_fix_restores_any_order_and_repetition(tmp_path_factory, seed):
    data = DataDir(make_data_dir(tmp_path_factory.mktemp("fix") / "data"))
    before = contents(data)
    generator = random.Random(seed)
    for name in generator.sample(sorted(before), 4):
        shuffled = before[name] + generator.choices(before[name], k=generator.randrange(3))
        generator.shuffle(shuffled)
        write(data_path(data) / name, shuffled)
    data.fix()
    assert contents(data) == before


def test_warnings(tmp_path):
    folder = make_data_dir(tmp_path / "data")
    data = DataDir(folder)
    chosen = [u for u in UTTERANCES if u not in ("eve-1", "eve-2")]
    small = data.write_subset(tmp_path / "small", chosen)
    edit("spk2gender", lambda x: x[1:])(tmp_path / "small")
    warnings = " ".join(small.check(NEEDS))
    assert "1 speaker(s) with a single utterance, the first is eve" in warnings
    assert "spk2gender: lacks 1 speaker(s)" in warnings
    other = copy_data_dir(data, tmp_path / "other", rename_utterance=lambda u: u, rename_speaker=lambda s: b"x" + s)
    assert "not the beginning of the utterance's" in " ".join(other.check(NEEDS))


def test_a_command_that_is_not_installed_is_said_before_the_work(data):
    edit("wav.scp", lambda x: [x[0], "ann-1 cat a |", "ann-2 (sox2 a) |", *x[3:]])(data_path(data))
    edit("wav.scp", lambda x: ["ann-0 no-such-program a.sph |", *x[1:]])(data_path(data))
    (warning,) = data.check(NEEDS)
    assert "recording ann-0: there is no command no-such-program" in warning


def test_speaker_order_is_asked_for_where_kaldi_needs_it(tmp_path):
    data = DataDir(make_data_dir(tmp_path / "data"))
    reverse = copy_data_dir(
        data, tmp_path / "r", rename_utterance=lambda u: u, rename_speaker=lambda s: bytes([220 - s[0]])
    )
    with pytest.raises(InputError, match=r"not by speaker.*--no-spk-sort"):
        reverse.check(NEEDS, speaker_order=True)
    assert reverse.check(NEEDS)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "en_US.UTF-8", "tr_TR.UTF-8"])
def test_order_is_that_of_bytes_in_every_locale(tmp_path, locale):
    ids = ["B-1", "a-1", "a-10", "a-2", "z-1", "ä-1", "ı-1"]
    write(tmp_path / "utt2spk", [f"{key} {key[0]}" for key in reversed(ids)])
    code = f"from spkid.kaldi import DataDir; d = DataDir({str(tmp_path)!r})"
    code += "; d.fix(); d.check(); print(ascii(d.utterances))"
    environment = {**os.environ, "LC_ALL": locale, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == ascii(ids)
    assert ids == sorted(ids, key=str.encode)


@given(weights=st.lists(st.floats(0, 1000, allow_subnormal=False), min_size=1, max_size=60), number=st.integers(1, 60))
def test_cuts_are_balanced(weights, number):
    number = min(number, len(weights))
    cuts = balanced_cuts(weights, number)
    assert cuts[0] == 0
    assert cuts[-1] == len(weights)
    assert all(a < b for a, b in pairwise(cuts))
    if number * 4 < len(weights) and min(weights) > 0.1 * max(weights):
        sums = [sum(weights[a:b]) for a, b in pairwise(cuts)]
        assert max(sums) - min(sums) <= 2 * max(weights) + 1e-6


@pytest.mark.parametrize("per_utterance", [False, True])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_split_loses_nothing_and_keeps_the_order(segmented, number, per_utterance):
    parts = segmented.split(number, per_utterance=per_utterance)
    assert [part.root for part in parts] == [
        f"{segmented.root}/split{number}{'utt' * per_utterance}/{i + 1}" for i in range(number)
    ]
    for part in parts:
        part.check(NEEDS)
    for name in ("utt2spk", "segments", "feats.scp", "vad.scp", "utt2dur", "text", "utt2num_frames"):
        assert [line for part in parts for line in lines(part, name)] == lines(segmented, name)
    if not per_utterance:
        assert sorted(s for part in parts for s in part.speakers) == list(SPEAKERS)


def test_a_split_is_by_duration(data):
    write(data_path(data) / "utt2dur", [f"{u} {100 if u == 'ann-0' else 1}" for u in UTTERANCES])
    first, second = data.split(2, per_utterance=True)
    assert first.utterances == ["ann-0"]
    assert len(second.utterances) == 11


def test_a_split_does_not_depend_on_an_earlier_one(data):
    data.split(2)
    first = [contents(part) for part in data.split(2)]
    os.unlink(data.path("vad.scp"))
    without = [contents(part) for part in data.split(2)]
    assert [set(part) for part in without] == [set(part) - {"vad.scp"} for part in first]


def test_too_many_parts(data):
    with pytest.raises(InputError, match=r"4 speakers cannot be split into 5 parts: .*--per-utt"):
        data.split(5)
    assert len(data.split(5, per_utterance=True)) == 5
    with pytest.raises(InputError, match="12 utterances cannot be split into 13 parts"):
        data.split(13, per_utterance=True)


@pytest.mark.parametrize("how", ["random", "first", "last", "shortest", "speakers", "per-speaker"])
def test_subsets_are_sound_and_repeatable(segmented, tmp_path, how):
    number = 2 if how == "per-speaker" else 6
    chosen = choose_utterances(segmented, number, how, seed=3)
    assert chosen == choose_utterances(segmented, number, how, seed=3)
    subset = segmented.write_subset(tmp_path / "subset", map(bytes.decode, chosen))
    subset.check(NEEDS)
    assert len(subset.utterances) == (8 if how == "per-speaker" else 6)
    assert set(lines(subset, "feats.scp")) <= set(lines(segmented, "feats.scp"))


def test_ways_of_choosing(data):
    assert choose_utterances(data, 2, "first") == [b"ann-0", b"ann-1"]
    assert choose_utterances(data, 2, "last") == [b"eve-1", b"eve-2"]
    assert set(choose_utterances(data, 4, "shortest")) == {b"ann-0", b"bob-0", b"cid-0", b"eve-0"}
    assert len({u[:3] for u in choose_utterances(data, 4, "speakers")}) == 2
    assert len({tuple(choose_utterances(data, 3, seed=seed)) for seed in range(20)}) > 10
    assert utterances_of_speakers(data, {b"bob"}) == [b"bob-0", b"bob-1", b"bob-2"]
    with pytest.raises(InputError, match="has 12 utterances, 13 are asked for"):
        choose_utterances(data, 13)
    with pytest.raises(InputError, match="has no speaker zoe"):
        utterances_of_speakers(data, {b"zoe", b"bob"})
    with pytest.raises(InputError, match="would hold no utterance"):
        data.write_subset(data.root + "-none", ["zoe-1"])
    with pytest.raises(InputError, match="is the source itself"):
        data.write_subset(data.root, ["ann-0"])


def test_parts_combine_to_the_whole(segmented, tmp_path):
    parts = segmented.split(3)
    combined, said = combine_data_dirs(tmp_path / "combined", parts)
    assert said == []
    assert contents(combined) == contents(segmented)


def test_combining_leaves_out_what_not_all_have(data, tmp_path):
    first = data.write_subset(tmp_path / "a", UTTERANCES[:6])
    second = data.write_subset(tmp_path / "b", UTTERANCES[6:])
    os.unlink(second.path("vad.scp"))
    write(tmp_path / "b" / "segments", [f"{u} {u} 0 1" for u in UTTERANCES[6:]])
    combined, said = combine_data_dirs(tmp_path / "c", [first, second])
    assert said == [f"vad.scp: left out, {second.root} has none"]
    assert combined.segments["ann-0"] == ("ann-0", 0, -1, -1)
    assert combined.segments["eve-2"] == ("eve-2", 0, 1, -1)
    combined.check(NEEDS)


def test_combining_refuses_contradictions(data, tmp_path):
    copy = copy_data_dir(data, tmp_path / "copy", rename_utterance=lambda u: u, rename_speaker=lambda s: s)
    with pytest.raises(InputError, match=r"utt2spk: the id ann-0 stands in .*data and .*copy"):
        combine_data_dirs(tmp_path / "c", [data, copy])
    other = copy_data_dir(data, tmp_path / "other", rename_utterance=lambda u: u + b"-x", rename_speaker=lambda s: s)
    combined, _ = combine_data_dirs(tmp_path / "c", [data, other])
    assert len(combined.utterances) == 24
    assert combined.speakers == list(SPEAKERS)
    edit("spk2gender", lambda x: ["ann m", *x[1:]])(tmp_path / "other")
    with pytest.raises(InputError, match="spk2gender: the id ann has different values"):
        combine_data_dirs(tmp_path / "c", [data, other])
    edit("spk2gender", lambda x: ["ann f", *x[1:]])(tmp_path / "other")
    write(data_path(data) / "feats.json", ['{"type": "mfcc"}'])
    write(data_path(other) / "feats.json", ['{"type": "fbank"}'])
    with pytest.raises(InputError, match=r"feats.json: differs"):
        combine_data_dirs(tmp_path / "c", [data, other])


def test_facts_about_features_go_with_them(data, tmp_path):
    write(data_path(data) / "feats.json", ['{"type": "mfcc"}'])
    everywhere = [*data.split(2), data.write_subset(tmp_path / "s", ["ann-0"])]
    everywhere.append(combine_data_dirs(tmp_path / "c", everywhere[:2])[0])
    assert [part.has("feats.json") for part in everywhere] == [True] * 4


def test_a_copy_has_other_ids(segmented, tmp_path):
    copy = copy_data_dir(
        segmented, tmp_path / "copy", rename_utterance=lambda u: b"x-" + u, rename_speaker=lambda s: b"x-" + s
    )
    copy.check(NEEDS, speaker_order=True)
    assert copy.utt2spk == {f"x-{u}": f"x-{u[:3]}" for u in UTTERANCES}
    assert copy.wav_scp == segmented.wav_scp
    with pytest.raises(InputError, match="two ids become"):
        copy_data_dir(segmented, tmp_path / "c", rename_utterance=lambda u: u[:3], rename_speaker=lambda s: s)


def test_all_pairs(data, tmp_path):
    pairs = list(all_pairs(data))
    assert len(pairs) == 12 * 11 // 2
    assert len({frozenset(pair[:2]) for pair in pairs}) == 66
    assert sum(target for _, _, target in pairs) == 4 * 3
    assert all(target == (a[:3] == b[:3]) for a, b, target in pairs)
    enrolment = data.write_subset(tmp_path / "e", [u for u in UTTERANCES if u.endswith("0")])
    test = data.write_subset(tmp_path / "t", [u for u in UTTERANCES if not u.endswith("0")])
    models = list(all_pairs(enrolment, test, models=True))
    assert len(models) == 4 * 8
    assert models[0] == ("ann", "ann-1", True)
    assert [pair[1:] for pair in all_pairs(enrolment, test)] == [pair[1:] for pair in models]


def test_balanced_pairs(data):
    pairs = balanced_pairs(data, seed=1)
    assert pairs == balanced_pairs(data, seed=1)
    assert pairs != balanced_pairs(data, seed=2)
    assert pairs == sorted(pairs)
    assert sum(target for _, _, target in pairs) == 12
    assert len(pairs) == 24
    assert len(balanced_pairs(data, targets=5)) == 10
    with pytest.raises(InputError, match="12 target and 54 nontarget trials, 13 of each"):
        balanced_pairs(data, targets=13)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_a_directory_or_an_error(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / "utt2spk").write_bytes(content)
    (folder / "spk2utt").unlink(missing_ok=True)
    data = DataDir(folder)
    try:
        data.fix()
    except InputError:  # and no other exception
        return
    data.check()


def test_a_byte_order_mark_goes_and_its_utterance_stays(data):
    path = Path(data.path("utt2spk"))
    sound = path.read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + sound)
    with pytest.raises(InputError, match="does not print"):
        DataDir(data.root).check()
    assert "utt2spk: byte order mark of a Windows editor removed" in DataDir(data.root).fix()
    assert path.read_bytes() == sound
    assert DataDir(data.root).utterances == list(UTTERANCES)


def test_fixing_writes_again_what_only_looks_as_long(tmp_path):
    """A tab for a blank, other blanks, lines in another order: as many bytes as the repaired file has."""
    (tmp_path / "utt2spk").write_bytes(b"a s\nb\ts\nc s\n")
    (tmp_path / "utt2dur").write_bytes(b"b 2\na 1\nc 3\n")
    (tmp_path / "text").write_bytes(b"a one\nb  two\nc x")
    (tmp_path / "utt2lang").write_bytes(b"a x\nb x\nc x ")
    DataDir(tmp_path).fix()
    assert (tmp_path / "utt2spk").read_bytes() == b"a s\nb s\nc s\n"
    assert (tmp_path / "utt2dur").read_bytes() == b"a 1\nb 2\nc 3\n"
    assert (tmp_path / "text").read_bytes() == b"a one\nb two\nc x\n"
    assert (tmp_path / "utt2lang").read_bytes() == b"a x\nb x\nc x\n"
    before = {path.name: path.stat().st_ino for path in tmp_path.iterdir()}
    DataDir(tmp_path).fix()
    assert {path.name: path.stat().st_ino for path in tmp_path.iterdir()} == before


@given(st.text(alphabet="ab \n\t\x0b", max_size=12))
def test_two_words_a_line_are_told_from_all_else(text):
    content = text.encode()
    expected = re.fullmatch(rb"(\S+ \S+\n)+", content) is not None
    assert is_two_words_a_line(content, content.count(b"\n")) == expected


@pytest.mark.parametrize("content", ["a \nb \n", "a x\nb", " a\n b\n", "a \nb y\n"])
def test_an_id_without_a_value_is_named(tmp_path, content):
    (tmp_path / "utt2spk").write_text(content)
    with pytest.raises(InputError, match="nothing behind it"):
        read_id_table(tmp_path / "utt2spk")
