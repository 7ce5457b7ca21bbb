"""Tables: round trips in every form, random access, damage."""

import gzip
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spkid.kaldi import InputError
from spkid.kaldi.tables import (
    FLOAT,
    INT,
    INT_VECTOR,
    MATRIX,
    SHAPE,
    TOKEN,
    TOKENS,
    VECTOR,
    TableWriter,
    compressed_matrix,
    is_table,
    open_table,
    read_id_map,
    read_script,
    read_table,
    write_id_map,
)
from tests.shared import golden

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=8)
FINITE = st.floats(-1e6, 1e6, width=32)
MATRICES = arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=FINITE)
KINDS = {
    "matrix": (MATRIX, MATRICES),
    "vector": (VECTOR, arrays.arrays(np.float32, st.integers(0, 5), elements=FINITE)),
    "integers": (INT_VECTOR, st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5).map(np.array)),
    "token": (TOKEN, WORDS),
    "tokens": (TOKENS, st.lists(WORDS, max_size=4)),
    "float": (FLOAT, FINITE),
    "int": (INT, st.integers(-(2**31), 2**31 - 1)),
}
FORMS = ["ark:{0}", "ark,t:{0}", "ark,scp:{0},{1}", "ark,t,scp:{0},{1}", "ark,f:{0}", "ark:| cat > {0}"]


def write(specifier, holder, pairs):
    with TableWriter(specifier, holder) as writer:
        for key, value in pairs.items():
            writer.write(key, value)


def assert_same(found, expected, form):
    assert list(found) == list(expected)
    for key, value in expected.items():
        if isinstance(value, np.ndarray | float):
            np.testing.assert_allclose(found[key], value, rtol=1e-6 if ",t" in form else 0)
        else:
            assert found[key] == value


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=10)
def test_what_was_written_is_read(tmp_path_factory, kind, form, data):
    holder, values = KINDS[kind]
    pairs = data.draw(st.dictionaries(WORDS, values, max_size=4))
    folder = tmp_path_factory.mktemp("table")
    archive, script = folder / "a.ark", folder / "a.scp"
    write(form.format(archive, script), holder, pairs)
    sources = [f"ark:{archive}", f"ark:cat {archive} |"] + ([f"scp:{script}"] if "scp" in form else [])
    for source in sources:
        assert_same(dict(read_table(source, holder)), pairs, form)
        with open_table(source, holder) as table:
            backwards = dict(reversed(pairs.items()))
            assert_same({key: table[key] for key in backwards if key in table}, backwards, form)
            assert "not there" not in table
            with pytest.raises(KeyError):
                table["not there"]


def test_script_names_the_final_archive(tmp_path):
    archive, script = tmp_path / "a.ark", tmp_path / "a.scp"
    write(f"ark,scp:{archive},{script}", VECTOR, {"a": np.ones(2), "b": np.zeros(3)})
    assert script.read_text() == f"a {archive}:2\nb {archive}:22\n"


def test_scripts_to_write_by(tmp_path):
    script = tmp_path / "out.scp"
    script.write_text(f"a {tmp_path}/a.vec\nb | cat > {tmp_path}/b.vec\n")
    write(f"scp:{script}", VECTOR, {"a": np.ones(2), "b": np.zeros(3)})
    assert_same(dict(read_table(f"scp:sed 's/| cat >//' {script} |", VECTOR)), {"a": np.ones(2), "b": np.zeros(3)}, "")
    with pytest.raises(InputError, match="names no file for the id c"):
        write(f"scp:{script}", VECTOR, {"c": np.ones(2)})
    write(f"scp,p:{script}", VECTOR, {"c": np.ones(2)})


def test_nothing_appears_when_writing_fails(tmp_path):
    pairs = {"a": np.ones((20, 2), np.float32), "b": np.full((20, 2), np.nan, np.float32)}
    with pytest.raises(InputError, match="id b: a matrix with NaN"):
        write(f"ark,scp:{tmp_path}/a.ark,{tmp_path}/a.scp", compressed_matrix(1), pairs)
    assert list(tmp_path.iterdir()) == []


def test_ranges_and_gzip_in_scripts(tmp_path):
    matrix = np.arange(40, dtype=np.float32).reshape(10, 4)
    write(f"ark,scp:{tmp_path}/a.ark,{tmp_path}/a.scp", MATRIX, {"a": matrix})
    (rxfilename,) = read_script(f"{tmp_path}/a.scp").values()
    (tmp_path / "a.ark.gz").write_bytes(gzip.compress((tmp_path / "a.ark").read_bytes()))
    script = tmp_path / "b.scp"
    script.write_text(f"x {rxfilename}[2:3]\ny {rxfilename}[0:9,1:2]\nz gunzip -c {tmp_path}/a.ark.gz | tail -c +3 |\n")
    expected = {"x": matrix[2:4], "y": matrix[:, 1:3], "z": matrix}
    assert_same(dict(read_table(f"scp:{script}", MATRIX)), expected, "")
    assert dict(read_table(f"scp:{script}", SHAPE)) == {"x": (2, 4), "y": (10, 2), "z": (10, 4)}
    assert_same(dict(read_table(f"ark:gunzip -c {tmp_path}/a.ark.gz |", MATRIX)), {"a": matrix}, "")


def test_permissive_scripts_leave_out_what_cannot_be_read(tmp_path, capsys):
    write(f"ark,scp:{tmp_path}/a.ark,{tmp_path}/a.scp", VECTOR, {"a": np.ones(2), "c": np.zeros(3)})
    lines = (tmp_path / "a.scp").read_text().splitlines()
    script = tmp_path / "b.scp"
    script.write_text("\n".join([lines[0], "b /nonexistent", lines[1]]) + "\n")
    with pytest.raises(InputError, match="id b: cannot read /nonexistent"):
        list(read_table(f"scp:{script}", VECTOR))
    assert [key for key, _ in read_table(f"scp,p:{script}", VECTOR)] == ["a", "c"]
    assert "id b: cannot read /nonexistent" in capsys.readouterr().err
    with open_table(f"scp,p:{script}", VECTOR) as table:
        assert [key in table for key in "abcd"] == [True, False, True, False]
    with open_table(f"scp:{script}", VECTOR) as table:
        assert [key in table for key in "abcd"] == [True, True, True, False]
        with pytest.raises(InputError, match="id b: cannot read"):
            table["b"]


def test_a_truncated_archive_is_named_with_the_id(tmp_path):
    path = tmp_path / "a.ark"
    write(f"ark:{path}", MATRIX, {"a": np.ones((3, 2)), "b": np.ones((4, 2))})
    whole = path.read_bytes()
    begin = whole.index(b"b ")
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        if size == begin:
            assert len(list(read_table(f"ark:{path}", MATRIX))) == 1
            continue
        for source in (f"ark:{path}", f"ark:cat {path} |"):
            with pytest.raises(InputError, match=r"a\.ark"):
                list(read_table(source, MATRIX))
        assert len(list(read_table(f"ark,p:{path}", MATRIX))) == (size > begin)


@pytest.mark.parametrize("content", [b"\0\1\2\3", b"\xff\xfe x\n", b"RIFF" + bytes(2000), bytes(9000), b"x" * 9000])
def test_junk_is_no_archive(tmp_path, content):
    path = tmp_path / "junk"
    path.write_bytes(content)
    for holder in (MATRIX, TOKEN, INT):
        with pytest.raises(InputError, match="junk"):
            list(read_table(f"ark:{path}", holder))


@given(data=st.data())
@settings(max_examples=150)
@pytest.mark.parametrize("form", ["ark:{}", "ark,t:{}"])
def test_damaged_archives_give_values_or_a_sentence(tmp_path_factory, form, data):
    holder, values = KINDS[data.draw(st.sampled_from([*KINDS]))]
    path = tmp_path_factory.mktemp("damage") / "damaged.ark"
    write(form.format(path), holder, data.draw(st.dictionaries(WORDS, values, min_size=1, max_size=3)))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for read in (lambda name: list(read_table(name, holder)), lambda name: "x" in open_table(name, holder)):
        assert "damaged.ark" in sentence_of(read, f"ark:{path}", otherwise="damaged.ark was read")


def sentence_of(function, argument, otherwise):
    try:
        function(argument)
    except InputError as error:
        return str(error)
    return otherwise


def test_sorted_archives(tmp_path):
    pairs = {key: i for i, key in enumerate("bdfh")}
    write(f"ark:{tmp_path}/a", INT, pairs)
    for options in ("s", "s,cs", "cs", "o,s,cs"):
        with open_table(f"ark,{options}:{tmp_path}/a", INT) as table:
            assert [table[key] for key in "abcdhz" if key in table] == [0, 1, 3]
    with open_table(f"ark,s,cs:{tmp_path}/a", INT) as table:
        assert table["f"] == 2
        assert len(table._values) == 1  # those before are forgotten
        with pytest.raises(InputError, match="b was asked for after f"):
            table["b"]
    (tmp_path / "b").write_text("b 1\na 2\n")
    for read in (lambda name: list(read_table(name, INT)), lambda name: open_table(name, INT)["z"]):
        with pytest.raises(InputError, match="a follows b"):
            read(f"ark,s:{tmp_path}/b")
    with open_table(f"ark,o:{tmp_path}/a", INT) as table:
        assert table["f"] == 2
        assert "f" not in table._values


def test_an_id_given_twice_is_refused(tmp_path):
    (tmp_path / "a").write_text("a 1\nb 2\na 3\n")
    with open_table(f"ark:{tmp_path}/a", INT) as table, pytest.raises(InputError, match="id a is given twice"):
        table["c"]
    with pytest.raises(InputError, match="line 3: the id a is given a second time"):
        open_table(f"scp:{tmp_path}/a", INT)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x", "not an rspecifier"),
        ("ark", "not an rspecifier"),
        ("ark,q:x", "unknown option 'q'"),
        ("ark,scp:x,y", "not an rspecifier"),
        ("scp:/nonexistent", "cannot read /nonexistent"),
        ("ark:/nonexistent", "cannot read /nonexistent"),
        ("ark:x ", "ends with a blank"),
    ],
)
def test_bad_rspecifiers(text, sentence):
    with pytest.raises(InputError, match=sentence):
        list(read_table(text, MATRIX))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x", "not a wspecifier"),
        ("scp,ark:x,y", "not a wspecifier"),
        ("ark,scp:x", "not a wspecifier"),
        ("ark,scp:-,y", "a script can only point into a file"),
        ("ark,s:x", "unknown option 's'"),
    ],
)
def test_bad_wspecifiers(text, sentence):
    with pytest.raises(InputError, match=sentence):
        write(text, MATRIX, {})


def test_is_table():
    assert all(map(is_table, ["ark:x", "scp:x", "ark,t:-", "t,ark:x", "scp,p:x", "ark, s, cs:x", "ark,scp:a,b"]))
    assert not any(map(is_table, ["x", "-", "a.ark:12", "cat x |", "ark", "/ark:x", ""]))


def test_blanks_are_those_of_ascii(tmp_path):
    write(f"ark:{tmp_path}/a", TOKENS, {"a\u00a0b": ["c\u3000d", "e"]})
    assert dict(read_table(f"ark:{tmp_path}/a", TOKENS)) == {"a\u00a0b": ["c\u3000d", "e"]}
    assert read_id_map(tmp_path / "a") == {"a\u00a0b": "c\u3000d e"}


def test_floats_in_double_precision_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"a \0B\10" + np.float64(0.1).tobytes() + b"b \0B\4" + np.float32(0.5).tobytes())
    assert dict(read_table(f"ark:{tmp_path}/a", FLOAT)) == {"a": 0.1, "b": 0.5}


def test_bad_keys_are_refused(tmp_path):
    for key in ("", "a b", "a\n", "a\udcff"):
        with pytest.raises(InputError, match="cannot be an id"):
            write(f"ark:{tmp_path}/a", INT, {key: 1})


@given(st.dictionaries(WORDS, WORDS, max_size=5))
@settings(max_examples=50)
def test_id_maps_come_back_sorted_by_bytes(tmp_path_factory, mapping):
    path = str(tmp_path_factory.mktemp("map") / "utt2spk")
    write_id_map(path, mapping)
    back = read_id_map(path)
    assert back == mapping
    assert [key.encode() for key in back] == sorted(key.encode() for key in mapping)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a 1\n\nb 2\n", "line 2: empty line"),
        (b"a 1\nb\n", "line 2: nothing follows the id b"),
        (b"a 1\nb \xff\n", "line 2: not UTF-8"),
        (b"a 1\na 2\n", "line 2: the id a is given a second time"),
    ],
)
def test_bad_id_maps(tmp_path, content, sentence):
    path = tmp_path / "wav.scp"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"wav.scp, {sentence}"):
        read_id_map(str(path))


def test_scripts_with_impossible_names(tmp_path):
    (tmp_path / "s.scp").write_text("a cat x | sox\n")
    with pytest.raises(InputError, match=r"s\.scp, id a: .*must end with"):
        read_script(f"{tmp_path}/s.scp")


def test_values_in_pipes_without_a_name(tmp_path):
    write(f"ark:{tmp_path}/a.ark", VECTOR, {"a": np.ones(2)})
    program = """
from spkid.kaldi.tables import VECTOR, read_table
print(len(list(read_table("scp:/dev/stdin", VECTOR))))
"""
    script = f"mkfifo {tmp_path}/p && (tail -c +3 {tmp_path}/a.ark > {tmp_path}/p &) && echo a {tmp_path}/p"
    done = subprocess.run(f"({script}) | {sys.executable} -c '{program}'", shell=True, capture_output=True, check=True)
    assert done.stdout == b"1\n"


@pytest.mark.parametrize("offset", ["1000", "9" * 18, "9" * 25])
def test_offsets_outside_the_file(tmp_path, offset):
    write(f"ark:{tmp_path}/a.ark", MATRIX, {"a": np.ones((2, 2))})
    (tmp_path / "s").write_text(f"a {tmp_path}/a.ark:2\nb {tmp_path}/a.ark:{offset}\n")
    with pytest.raises(InputError, match=r"id b: .*a\.ark"):
        list(read_table(f"scp:{tmp_path}/s", MATRIX))


def test_large_claims_of_integers_take_no_memory(tmp_path):
    (tmp_path / "a").write_bytes(b"a \0B\4\xff\xff\xff\x7f" + bytes(100))
    for source in (f"ark:{tmp_path}/a", f"ark:cat {tmp_path}/a |"):
        with pytest.raises(InputError, match="claims 2147483647 integers"):
            list(read_table(source, INT_VECTOR))


def test_golden_script_and_archive_agree(monkeypatch):
    monkeypatch.chdir(golden("kaldi"))
    from_script = dict(read_table("scp:feats/mfcc_voxceleb.scp", MATRIX))
    from_archive = dict(read_table("ark:feats/mfcc_voxceleb.ark", MATRIX))
    assert from_script.keys() == from_archive.keys()
    assert len(from_script) >= 13
    for key, matrix in from_script.items():
        np.testing.assert_array_equal(matrix, from_archive[key])


def test_importing_is_light():
    heavy = {"scipy", "torch", "pandas", "matplotlib", "kaldiio", "soundfile"}
    program = "import sys, spkid.kaldi.tables, spkid.kaldi.options; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not heavy & set(loaded.split())
    program = "import sys, spkid.kaldi; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "numpy" not in loaded.split()
