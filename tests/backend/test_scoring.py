"""Blocked scoring against one trial at a time; trial lists and score files."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spkid.backend import Plda, cosine_scores, length_normalize, score_trials
from spkid.backend import products as products_module
from spkid.backend.lines import Lines
from spkid.backend.products import dot_products
from spkid.backend.trials import (
    read_labelled_scores,
    read_scores,
    read_trials,
    repeated_pairs,
    self_comparisons,
    write_scores,
)
from spkid.kaldi import InputError
from tests.backend.corpus import drawn, golden_vectors
from tests.shared import golden


def golden_trials(name: str, scores: str):
    """Trials, and Kaldi's scores of them."""
    trials = read_trials(str(golden(f"kaldi/backend/{name}")))
    matched = read_scores(str(golden(f"kaldi/backend/{scores}")), trials)
    assert not matched.missing.any()
    return trials, matched.scores


class TestKaldi:
    @pytest.mark.parametrize(
        ("scores", "options"),
        [
            ("scores_plda", {}),
            ("scores_plda_nolennorm", {"normalize_length": False}),
            ("scores_plda_simplelen", {"simple_length_normalization": True}),
        ],
    )
    def test_plda_scores(self, scores, options):
        trials, theirs = golden_trials("trials", scores)
        table = golden_vectors("processed_test.ark")
        model = Plda.read(str(golden("kaldi/backend/plda")))
        vectors = model.transform(table.matrix, **options)
        ours = score_trials(vectors, vectors, *rows_of(trials, table, table), model)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)

    def test_models_of_several_utterances(self):
        trials, theirs = golden_trials("enroll_trials", "scores_plda_enroll")
        table = golden_vectors("processed_test.ark")
        model = Plda.read(str(golden("kaldi/backend/plda")))
        lines = golden("kaldi/backend/enroll_spk2utt").read_text(encoding="utf-8").splitlines()
        groups = {line.split()[0]: [table.rows[key] for key in line.split()[1:]] for line in lines}
        counts = [len(groups[key]) for key in trials.enroll_ids]
        enroll = np.stack([table.matrix[groups[key]].mean(axis=0) for key in trials.enroll_ids])
        rows = np.array([table.rows[key] for key in trials.test_ids])[trials.test]
        ours = score_trials(
            model.transform(enroll, counts), model.transform(table.matrix), trials.enroll, rows, model, counts
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-3)

    def test_cosine_scores(self):
        trials, theirs = golden_trials("trials", "scores_cosine")
        table = golden_vectors("xvector_test.ark")
        ours = score_trials(table.matrix, table.matrix, *rows_of(trials, table, table))
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def rows_of(trials, enroll, test):
    left = np.array([enroll.rows[key] for key in trials.enroll_ids])[trials.enroll]
    return left, np.array([test.rows[key] for key in trials.test_ids])[trials.test]


class TestBlocks:
    @settings(max_examples=60)
    @given(
        st.integers(1, 1200), st.integers(1, 60), st.integers(0, 4000), st.integers(0, 100),
        st.sampled_from([1 << 12, 1 << 16, 1 << 26]), st.sampled_from([0, 30, 10**9]),
    )  # fmt: skip
    def test_dot_products_of_any_list_in_any_blocks(self, num_left, num_right, num_pairs, seed, block_bytes, gain):
        random = np.random.default_rng(seed)
        left, right = random.normal(size=(num_left, 5)), random.normal(size=(num_right, 5))
        rows, other_rows = random.integers(0, num_left, num_pairs), random.integers(0, num_right, num_pairs)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(products_module, "BLOCK_BYTES", block_bytes)
            patch.setattr(products_module, "GATHERED_BYTES", block_bytes)
            patch.setattr(products_module, "PRODUCT_GAIN", gain)  # all gathered, as it comes, all from whole products
            products = dot_products(left, right, rows, other_rows)
        np.testing.assert_allclose(products, (left @ right.T)[rows, other_rows], atol=1e-12)

    def test_sparse_and_dense_lists_agree_with_the_whole_table(self):
        random = np.random.default_rng(0)
        model = Plda().fit(*drawn(30, (4,), 6))
        enroll, test = random.normal(size=(40, 6)), random.normal(size=(50, 6))
        counts = random.integers(1, 4, 40)
        left, right = model.transform(enroll, counts), model.transform(test)
        whole = model.log_likelihood_ratio(left, right, counts)
        rows, other_rows = (part.ravel() for part in np.indices((40, 50)))
        np.testing.assert_allclose(score_trials(left, right, rows, other_rows, model, counts), whole.ravel(), atol=1e-9)
        few = random.choice(2000, 30, replace=False)
        scores = score_trials(left, right, rows[few], other_rows[few], model, counts)
        np.testing.assert_allclose(scores, whole.ravel()[few], atol=1e-9)
        assert score_trials(left, right, [], [], model, counts).shape == (0,)

    def test_cosine(self):
        random = np.random.default_rng(0)
        a, b = random.normal(size=(3, 4)), random.normal(size=(5, 4))
        expected = [[x @ y / np.sqrt((x @ x) * (y @ y)) for y in b] for x in a]
        np.testing.assert_allclose(cosine_scores(a, b), expected)
        np.testing.assert_allclose(cosine_scores(7 * a, length_normalize(b)), expected)


class TestTrialLists:
    def write(self, tmp_path, text, name="trials"):
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return str(tmp_path / name)

    def test_kaldis_and_voxcelebs_lists_and_bare_pairs(self, tmp_path):
        kaldi = "a x target\na y nontarget\nb x nontarget\n"
        for text in (
            kaldi,
            "1 a x\n0 a y\n0 b x\n",
            "1 a.wav x.wav\n",
            "a\tx  target\r\na y nontarget\r\nb x nontarget",
        ):
            trials = read_trials(self.write(tmp_path, text))
            if ".wav" in text:
                assert trials.enroll_ids == ["a.wav"]
                continue
            assert (trials.enroll_ids, trials.test_ids) == (["a", "b"], ["x", "y"])
            np.testing.assert_array_equal(trials.enroll, [0, 0, 1])
            np.testing.assert_array_equal(trials.test, [0, 1, 0])
            np.testing.assert_array_equal(trials.is_target, [True, False, False])
            assert trials.md5 == hashlib.md5(text.encode()).hexdigest()
        assert read_trials(self.write(tmp_path, "a x\nb y\n")).is_target is None

    def test_paths_become_ids(self, tmp_path):
        trials = read_trials(self.write(tmp_path, "1 id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav\n"))
        assert trials.pair(0) == "id10270-x6uYqmx31kE-00001 id10270-8jEAjG6SegY-00008"

    def test_an_id_may_hold_what_only_unicode_calls_a_blank(self, tmp_path):
        trials = read_trials(self.write(tmp_path, "a\u00a0b\u3000c x\u2028y target\n"))
        assert trials.pair(0) == "a\u00a0b\u3000c x\u2028y"

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "trial list .*trials is empty"),
            ("a x target\na y\n", "line 2: 3 fields are expected, found 2"),
            ("a x target\n\na y nontarget\n", "line 2: 3 fields are expected, found 0"),
            ("a x target\na y maybe\n", "line 2: the label is 'maybe', not target or nontarget"),
            ("a x target\na y\nb x nontarget b\n", "line 2: 3 fields are expected, found 2"),
            ("a x target\nb x nontarget b\ny target\n", "line 2: 3 fields are expected, found 4"),
            ("1 a x\n2 a y\n", "line 2: the label is '2', not 1 or 0"),
            ("a x yes\n", "line 1: a trial is"),
            ("a x target\na x nontarget\n", "1 pairs are target as well as nontarget, the first is a x"),
            (b"a x target\n\xff y target\n", "not UTF-8"),
        ],
    )
    def test_bad_lists_are_named(self, tmp_path, text, sentence):
        with pytest.raises(InputError, match=sentence):
            read_trials(self.write(tmp_path, text))

    @settings(max_examples=60)
    @given(
        st.lists(st.lists(st.sampled_from(["a", "b", "\u00a0"]), max_size=4), min_size=1), st.integers(1, 20), st.data()
    )
    def test_columns_are_those_of_each_line_split_alone(self, tmp_path_factory, rows, block_bytes, data):
        blanks = st.sampled_from([" ", "\t", "  ", "\x0b", "\r"])
        lines = ["".join(data.draw(blanks) + field for field in row) + data.draw(blanks) for row in rows]
        path = tmp_path_factory.mktemp("lines") / "file"
        path.write_bytes("\n".join(lines).encode())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spkid.backend.lines.BLOCK_BYTES", block_bytes)
            reader = Lines(str(path), "file")
            bad = [index for index, row in enumerate(rows) if len(row) != 2]
            if bad:
                with pytest.raises(
                    InputError, match=f"line {bad[0] + 1}: 2 fields are expected, found {len(rows[bad[0]])}"
                ):
                    [reader.columns(block, 2, number) for number, block in reader]
                return
            parts = [reader.columns(block, 2, number) for number, block in reader]
        for column in range(2):
            found = [field for part in parts for field in part[column]]
            assert found == [row[column].encode() for row in rows]

    def test_a_score_that_is_not_finite_is_never_written(self, tmp_path):
        trials = read_trials(self.write(tmp_path, "a x target\na y nontarget\n"))
        for bad in (np.nan, np.inf):
            with pytest.raises(InputError, match=r"1 scores are not finite, the first is that of a y"):
                write_scores(str(tmp_path / "scores"), trials, np.array([1.0, bad]))
        assert not (tmp_path / "scores").exists()

    def test_repeats_and_self_comparisons_are_found(self, tmp_path):
        trials = read_trials(self.write(tmp_path, "a x target\nx x target\na x target\nb a nontarget\na a target\n"))
        assert repeated_pairs(trials) == 1
        np.testing.assert_array_equal(self_comparisons(trials), [1, 4])

    @settings(max_examples=40)
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.floats(-1e6, 1e6)), min_size=1, max_size=40))
    def test_scores_find_their_trials_in_any_order(self, tmp_path_factory, rows):
        folder = tmp_path_factory.mktemp("scores")
        rows = {(f"e{a}", f"t{b}"): score for a, b, score in rows}
        (folder / "trials").write_text("".join(f"{a} {b} target\n" for a, b in rows), encoding="utf-8")
        trials = read_trials(str(folder / "trials"))
        write_scores(str(folder / "scores"), trials, np.array(list(rows.values())))
        lines = (folder / "scores").read_text(encoding="utf-8").splitlines()
        assert [tuple(line.split()[:2]) for line in lines] == list(rows)
        (folder / "scores").write_text("\n".join([*reversed(lines), "other pair 1.5", ""]), encoding="utf-8")
        matched = read_scores(str(folder / "scores"), trials)
        np.testing.assert_allclose(matched.scores, list(rows.values()), rtol=1e-6)
        assert matched.num_unused == 1
        assert not matched.missing.any()

    def test_missing_repeated_and_damaged_scores(self, tmp_path):
        trials = read_trials(self.write(tmp_path, "a x target\na y nontarget\nb x nontarget\n"))
        matched = read_scores(self.write(tmp_path, "b x 2\na x 1\na x 1\n", "scores"), trials)
        np.testing.assert_array_equal(matched.missing, [False, True, False])
        np.testing.assert_array_equal(matched.scores, [1, np.nan, 2])
        for text, sentence in {
            "a x 1\na x 2\n": "a x has two different scores",
            "a x 1\na y nan\n": "line 2: the score 'nan' is not a number",
            "a x one\n": "line 1: the score 'one' is not a number",
            "a x\n": "3 fields are expected, found 2",
            "": "is empty",
        }.items():
            with pytest.raises(InputError, match=sentence):
                read_scores(self.write(tmp_path, text, "scores"), trials)

    def test_lists_longer_than_a_block(self, tmp_path, monkeypatch):
        monkeypatch.setattr("spkid.backend.trials.BLOCK_LINES", 7)
        monkeypatch.setattr("spkid.backend.lines.BLOCK_BYTES", 100)
        pairs = [(f"e{k % 11}", f"t{k}") for k in range(100)]
        text = "".join(f"{a} {b} {'target' if k % 3 else 'nontarget'}\n" for k, (a, b) in enumerate(pairs))
        trials = read_trials(self.write(tmp_path, text))
        assert [trials.pair(k) for k in range(100)] == [f"{a} {b}" for a, b in pairs]
        assert trials.md5 == hashlib.md5(text.encode()).hexdigest()
        write_scores(str(tmp_path / "scores"), trials, np.arange(100.0))
        np.testing.assert_array_equal(read_scores(str(tmp_path / "scores"), trials).scores, np.arange(100))
        with pytest.raises(InputError, match="line 80: the label"):
            read_trials(self.write(tmp_path, text.replace("e2 t79 target", "e2 t79 tar")))

    def test_labelled_scores(self, tmp_path):
        targets, nontargets = read_labelled_scores(self.write(tmp_path, "1.5 target\n-2 nontarget\n3e-1 target\n"))
        assert (targets.tolist(), nontargets.tolist()) == ([1.5, 0.3], [-2.0])
