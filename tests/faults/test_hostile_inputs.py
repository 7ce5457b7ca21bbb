"""Inputs from people one does not trust: damaged files, commands in scripts, pickles, names, pages."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from spkid.kaldi import DataDir, InputError
from spkid.kaldi.io import NO_PIPES, open_input, open_output
from spkid.kaldi.lists import read_id_map, write_id_map
from tests.faults.test_faults import MFCC, step
from tests.shared import REPOSITORY
from tests.steps.test_features_steps import write_corpus


def test_damaged_files_are_read_or_refused():
    """Over 2,000 of them, in 19 formats; more by hand: fuzz.py --number 5000."""
    words = [sys.executable, str(REPOSITORY / "tests/faults/fuzz.py"), "--number", "120"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    total, refused = [int(word) for word in done.stdout.split() if word.isdigit()][:2]
    assert total >= 2000
    assert total / 2 < refused < total


@pytest.fixture
def no_pipes(monkeypatch):
    monkeypatch.setenv(NO_PIPES, "1")


def test_no_command_is_run_where_pipes_are_forbidden(tmp_path, no_pipes):
    trap = tmp_path / "trap"
    with pytest.raises(InputError, match="--no-pipes"), open_input(f"touch {trap} |"):
        pass
    with pytest.raises(InputError, match="--no-pipes"), open_output(f"| cat > {trap}"):
        pass
    assert not trap.exists()


def test_steps_and_tools_without_pipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_corpus(tmp_path / "data/train")
    Path("conf").mkdir()
    Path("conf/mfcc.conf").write_text("--num-ceps=13\n")
    wav = read_id_map("data/train/wav.scp")
    victim = list(wav)[3]
    write_id_map("data/train/wav.scp", wav | {victim: f"touch trap; cat {wav[victim]} |"})
    said = step("make_mfcc", "--no-pipes", "--nj", 2, *MFCC, status=1)
    assert f"data/train/wav.scp: recording {victim} is a command, and --no-pipes forbids it" in said
    tools = Path(sys.executable).parent
    command = [str(tools / "wav-to-duration"), "--no-pipes", "scp:data/train/wav.scp", "ark,t:-"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "--no-pipes" in done.stderr
    assert victim not in done.stdout
    assert not Path("trap").exists()
    environment = {**os.environ, NO_PIPES: "1"}
    utility = [sys.executable, str(REPOSITORY / "utils/validate_data_dir.py"), "--no-feats", "data/train"]
    assert subprocess.run(utility, capture_output=True, env=environment).returncode == 1
    assert subprocess.run(utility, capture_output=True).returncode == 0


def test_what_wav_reverberate_does_inside_the_process_needs_no_pipe(tmp_path, no_pipes):
    write_corpus(tmp_path, 4)
    wav = read_id_map(str(tmp_path / "wav.scp"))
    lines = {key: f"wav-reverberate --shift-output=true {path} - |" for key, path in wav.items()}
    write_id_map(tmp_path / "wav.scp", lines)
    DataDir(tmp_path).check(needs=("wav.scp",))
    from spkid.audio import read_audio

    assert all(len(read_audio(line).samples) for line in lines.values())
    with pytest.raises(InputError, match="--no-pipes"):
        read_audio(f"wav-reverberate --shift-output=true {next(iter(wav.values()))} - | touch {tmp_path}/trap |")
    assert not (tmp_path / "trap").exists()


def test_nothing_is_unpickled_but_weights_and_no_shell_gets_a_name():
    """What may hold foreign bytes goes through weights_only; a shell is started in two places, for pipes alone."""
    sources = {path: path.read_text() for room in ("spkid", "steps", "utils", "local")
               for path in sorted((REPOSITORY / room).rglob("*.py"))}  # fmt: skip
    lines = [(path, line) for path, text in sources.items() for line in text.splitlines()]
    assert not [found for found in lines if "pickle.load" in found[1] or "allow_pickle=True" in found[1]]
    assert all("weights_only=True" in line for _, line in lines if "torch.load(" in line)
    shells = [path.name for path, line in lines if "shell=True" in line or "os.system(" in line]
    assert shells == ["io.py", "io.py"]
