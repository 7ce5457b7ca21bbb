"""Options: Kaldi's forms, round trips, sentences."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spkid.kaldi import InputError
from spkid.kaldi.options import fill_from_config, option, parse_command_line


@dataclass(frozen=True)
class Inner:
    num_mel_bins: int = option(23, "Number of bins")
    low_freq: float = option(20.0, "Lowest frequency")


@dataclass(frozen=True)
class Outer:
    mel: Inner = field(default_factory=Inner)
    use_energy: bool = option(True, "Use energy")
    window_type: str = option("povey", "Window")


def parse(*arguments, positional=(0, None)):
    (outer,), rest = parse_command_line("usage", [Outer], arguments, positional)
    return outer, rest


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Z"]), max_size=12)


@given(st.integers(-(2**31), 2**31), st.floats(allow_nan=False), st.booleans(), NAMES)
def test_values_come_back(bins, low, energy, window):
    numbers = f"--num-mel-bins={bins}", f"--low-freq={low!r}"
    outer, rest = parse(*numbers, f"--use-energy={str(energy).lower()}", f"--window-type={window}", "a", "b")
    assert outer == Outer(Inner(bins, low), energy, window)
    assert rest == ["a", "b"]


def test_forms_of_names_and_bools():
    assert parse("--num_mel_bins=7")[0].mel.num_mel_bins == 7
    assert parse("--Num-Mel-Bins=7")[0].mel.num_mel_bins == 7
    assert parse("--use-energy=false")[0].use_energy is False
    assert parse("--use-energy=F")[0].use_energy is False
    assert parse("--use-energy=0", "--use-energy")[0].use_energy is True
    assert parse("--window-type=")[0].window_type == ""


def test_double_dash_ends_options():
    assert parse("--low-freq=1", "--", "--x")[1] == ["--x"]
    assert parse("-", "x")[1] == ["-", "x"]


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--num-mel-bin=3", "unknown option --num-mel-bin; did you mean --num-mel-bins"),
        ("--zzzz=3", "unknown option --zzzz; see --help"),
        ("--num-mel-bins=2.5", "--num-mel-bins takes a whole number, not '2.5'"),
        ("--num-mel-bins=1_0", "whole number"),
        ("--low-freq=low", "--low-freq takes a number, not 'low'"),
        ("--low-freq=nan", "--low-freq takes a number"),
        ("--low-freq", "--low-freq takes a value"),
        ("--use-energy=maybe", "--use-energy is true or false, not 'maybe'"),
        ("--config=/nonexistent", "cannot read the configuration /nonexistent"),
        ("--config=", "takes the name of a file"),
    ],
)
def test_mistakes_are_named(argument, sentence):
    with pytest.raises(InputError, match=sentence):
        parse(argument)


def test_numbers_of_arguments():
    with pytest.raises(InputError, match="1 arguments where 2 are needed"):
        parse("a", positional=(2, 2))
    with pytest.raises(InputError, match="3 arguments where 1 to 2"):
        parse("a", "b", "c", positional=(1, 2))
    with pytest.raises(InputError, match="move --low-freq=2 to the front"):
        parse("a", "b", "--low-freq=2", positional=(2, 2))


def test_config_and_command_line(tmp_path):
    config = tmp_path / "fbank.conf"
    config.write_text("# fbank\n--num-mel-bins=40  # many\n\n  --use_energy=false\n--low-freq = 30\n")
    assert parse("--low-freq=1", f"--config={config}")[0] == Outer(Inner(40, 1.0), False)
    assert fill_from_config(str(config), [Outer]) == [Outer(Inner(40, 30.0), False)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("--num-mel-bins=40\nlow-freq=2\n", "line 2: an option such as"),
        ("--num-mel-bens=40\n", "line 1: unknown option --num-mel-bens; did you mean --num-mel-bins"),
        ("--num-mel-bins=many", "line 1: --num-mel-bins takes a whole number"),
    ],
)
def test_mistakes_in_configurations_are_named(tmp_path, text, sentence):
    path = tmp_path / "x.conf"
    path.write_text(text)
    with pytest.raises(InputError, match=f"x.conf, {sentence}"):
        fill_from_config(str(path), [Outer])


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse("--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "--num-mel-bins" in text
    assert "Number of bins (int, default = 23)" in text
    assert 'Window (string, default = "povey")' in text
    assert "Use energy (bool, default = true)" in text
    assert "Standard options:" in text


def test_no_arguments_show_the_usage(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(positional=(1, 1))
    assert stopped.value.code == 1
    assert "--num-mel-bins" in capsys.readouterr().err


def test_the_command_line_is_echoed_so_that_it_can_be_pasted(capsys):
    parse("--window-type=a b", "ark:cat x |")
    assert "'--window-type=a b' 'ark:cat x |'" in capsys.readouterr().err
    parse("--print-args=false", "x")
    assert capsys.readouterr().err == ""


def test_an_option_defined_twice_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="twice"):
        parse_command_line("", [Inner, Outer], [])
