"""egs/voxceleb on miniatures in VoxCeleb's tree: Kaldi's path, the path on audio, published networks, every option."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from local import miniature
from spkid.backend.vectors import load_crops
from spkid.data.device_features import DeviceFeatures
from spkid.kaldi.tables import read_id_map
from spkid.nnet import count_parameters, pretrained
from spkid.train.config import load_config
from spkid.train.experiment import load_final
from spkid.train.show import show_model
from tests.nnet.goldens import arrays, case_weights, deviation
from tests.recipes.running import call, copy_recipe
from tests.shared import REPOSITORY, corpora

ORIGINAL = REPOSITORY / "egs" / "voxceleb"
LITE = "vt_resnetse34l_sap_m40"

torch.set_num_threads(1)


def make(*words: object) -> None:
    assert miniature.Miniature.run(["miniature.py", *map(str, words)], exit=False)[1] == 0


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """VoxCeleb, MUSAN and RIRS_NOISES of thirty speakers to train on and ten of the trials."""
    speech, noises, rirs = (corpora(name) for name in ("speechocean762", "noises", "rirs"))
    root = tmp_path_factory.mktemp("corpus")
    make("voxceleb", "--speech", speech, "--speakers", 40, "--utterances", 10, "--test-speakers", 10, root)
    make(
        "musan", "--speech", speech, "--noises", noises, "--speakers", 8, "--utterances", 5, "--test-speakers", 2, root
    )
    make("rirs_noises", "--rirs", rirs, "--noises", noises, root)
    return root


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The recipe in a directory of its own."""
    return copy_recipe(tmp_path_factory.mktemp("recipe"), "voxceleb")


def start(recipe: Path, *options: object) -> subprocess.CompletedProcess:
    return call("bash", recipe / "run.sh", "--nj", 1, *options)


def run(recipe: Path, *options: object) -> str:
    """What run.sh prints; it must succeed."""
    done = start(recipe, *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def results(recipe: Path, name: str) -> dict:
    assert (recipe / "exp" / Path(name).parent / "results" / Path(name).name / "det.png").stat().st_size > 1000
    text = (recipe / "exp" / Path(name).parent / "results" / Path(name).name / "results.json").read_text()
    return json.loads(text)


def test_kaldi_path(recipe, corpus):
    words = ["--corpus", corpus, "--config", "conf/xvector.yaml", "--lists", "o_cleaned"]
    said = run(recipe, *words)
    stages = re.findall(r"^Stage (\d+):", said, re.MULTILINE)
    assert stages == ["0", "1", "2", "3", "4", "5", "6", "7", "8", "10"]  # 9 needs development speakers: of the others
    assert "600 of 600 utterances and 30 of 30 speakers are left" in said
    ids = {name: list(read_id_map(recipe / f"data/kaldi/{name}/wav.scp")) for name in ("train", "train_aug")}
    kinds = [name.removeprefix(original + "-") for original in ids["train"] for name in ids["train_aug"]
             if name.startswith(original + "-")]  # fmt: skip
    assert {kind: kinds.count(kind) for kind in set(kinds)} == dict.fromkeys(
        ("reverb", "noise", "music", "babble"), 300
    )
    result = results(recipe, "xvector/o_cleaned_plda")
    assert result["trials"]["count"] == len((corpus / "voxceleb1/veri_test2.txt").read_text().splitlines())
    assert 0 < result["eer"] < 0.25
    again = run(recipe, *words)
    assert "runs again" not in again
    assert again.count("done already") >= 17


def test_path_on_audio_with_large_margin(recipe, corpus):
    words = ["--corpus", corpus, "--lists", "o_cleaned h_cleaned", "--qmf", "true"]
    run(recipe, *words)
    speakers = (recipe / "exp/ecapa_tdnn/speakers.txt").read_text().split()
    assert len(speakers) == 3 * 19  # and their copies at two other speeds
    for kind in ("cosine", "asnorm", "calibrated"):
        assert 0 < results(recipe, f"ecapa_tdnn/o_cleaned_{kind}")["eer"] < 0.5
        hard = results(recipe, f"ecapa_tdnn/h_cleaned_{kind}")["trials"]  # too few targets for a rate
        assert hard["count"] == len((corpus / "voxceleb1/list_test_hard2.txt").read_text().splitlines())
    assert results(recipe, "ecapa_tdnn/o_cleaned_cosine")["eer"] < 0.25
    model = json.loads((recipe / "exp/ecapa_tdnn/results/scores_o_cleaned_calibrated.model.json").read_text())
    assert "duration" in json.dumps(model)
    words += ["--config", "conf/ecapa_tdnn_lm.yaml", "--stage", "5", "--stop-stage", "5"]
    run(recipe, *words)
    log = (recipe / "exp/ecapa_tdnn_lm/train.log").read_text()
    assert "begins with exp/ecapa_tdnn" in log
    assert "head kept" in log


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A file like baseline_lite_ap.model, with the weights of the golden case."""
    encoder = case_weights(LITE)
    network = pretrained.load(encoder, "voxceleb_trainer", amplitude="unit", n_mels=40)
    state = {f"__S__.{key}": value for key, value in encoder.items()}
    state |= {
        key.replace("running_mean", "num_batches_tracked"): torch.tensor(100)
        for key in state
        if key.endswith("running_mean")
    }
    state["__S__.torchfb.spectrogram.window"] = network.spectrogram.window
    state["__S__.torchfb.mel_scale.fb"] = network.spectrogram.filter_bank
    state |= {"__L__.w": torch.tensor(10.0), "__L__.b": torch.tensor(-5.0)}
    path = tmp_path_factory.mktemp("published") / "baseline_lite_ap.model"
    torch.save(state, path)
    return path


def crops_of_the_original(path: Path, max_frames: int, number: int = 10) -> np.ndarray:
    """Crops of a file, (number, max_frames * 160 + 240), in the original's way: loadWAV with evalmode."""
    audio, _ = soundfile.read(path)
    size = max_frames * 160 + 240
    if len(audio) <= size:
        audio = np.pad(audio, (0, size - len(audio) + 1), "wrap")
    starts = np.linspace(0, len(audio) - size, number)
    return np.stack([audio[int(start) : int(start) + size] for start in starts]).astype(np.float32)


def test_a_published_network_is_evaluated_as_by_its_trainer(recipe, published, tmp_path, monkeypatch):
    assert len([key for key in torch.load(published, weights_only=True) if key.startswith("__S__.")]) == 287
    speech = corpora("speechocean762")
    make("voxceleb", "--speech", speech, "--speakers", 8, "--utterances", 3, "--test-speakers", 4, tmp_path)
    test = tmp_path / "voxceleb1/test/wav"
    (test / "id10270/golden").mkdir()
    soundfile.write(test / "id10270/golden/00001.wav", arrays("inputs")["wave"][0], 16000, subtype="FLOAT")
    words = ["--corpus", tmp_path, "--eval-only", "true", "--initial-model", published, "--source", "voxceleb_trainer"]
    words += ["--crop-frames", 300, "--lists", "o"]
    said = run(recipe, *words)
    assert not (tmp_path / "musan").exists()  # nor VoxCeleb2: an evaluation needs neither
    assert "Model has 1437080 parameters: network 1437078, loss 2" in said
    (speeds,) = re.findall(r"voxceleb: ([\d.]+) utterances/s, (\d+) trials/s", said)
    assert all(float(speed) > 0 for speed in speeds)

    exp = recipe / "exp/baseline_lite_ap"
    monkeypatch.chdir(recipe)  # the archives' names begin there
    table = load_crops(str(exp / "xvectors_test/xvector.scp"))
    matrices = dict(zip(table.ids, table.matrix, strict=True))
    golden = arrays(LITE)["hash_embedding"]
    for crop in matrices["id10270-golden-00001"][:9]:  # the wave is as long as a crop: all begin with it but the last
        assert deviation(torch.from_numpy(np.array(crop))[None], golden) < 1e-4

    with pytest.warns(UserWarning, match="the loss is left out"):
        network = pretrained.load(published, "voxceleb_trainer", amplitude="unit")
    trials = [line.split() for line in (tmp_path / "voxceleb1/veri_test.txt").read_text().splitlines()]
    scores = [float(line.split()[2]) for line in (exp / "results/scores_o_crops").read_text().splitlines()]
    assert len(scores) == len(trials) == 66
    embedded = {}
    for number in (0, 30, 65):
        pair = trials[number][1:]
        for file in pair:
            if file not in embedded:
                with torch.no_grad():
                    crops = network(torch.from_numpy(crops_of_the_original(test / file, 300)))
                embedded[file] = torch.nn.functional.normalize(crops, dim=1)
        distance = torch.cdist(embedded[pair[0]], embedded[pair[1]]).mean()
        assert scores[number] == pytest.approx(-distance.item(), abs=1e-4)

    is_target = np.array([trial[0] == "1" for trial in trials])
    thresholds = sorted({*scores, np.inf})
    rates = [
        (np.mean(np.array(scores)[is_target] < threshold), np.mean(np.array(scores)[~is_target] >= threshold))
        for threshold in thresholds
    ]
    misses, false_alarms = rates[int(np.argmin([abs(miss - false_alarm) for miss, false_alarm in rates]))]
    (eer,) = re.findall(r"voxceleb: o_crops: EER ([\d.]+)%", said)
    assert float(eer) == pytest.approx(100 * max(misses, false_alarms), abs=1e-3)


@pytest.fixture(scope="module")
def small_test_set(tmp_path_factory):
    """VoxCeleb1 alone has recordings in it: four speakers of the trials with three utterances each."""
    root = tmp_path_factory.mktemp("test_set")
    make(
        "voxceleb",
        "--speech",
        corpora("speechocean762"),
        "--speakers",
        8,
        "--utterances",
        3,
        "--test-speakers",
        4,
        root,
    )
    shutil.rmtree(root / "voxceleb2")
    return root


@pytest.mark.parametrize(
    ("case", "source"),
    [("ws_xvec", "wespeaker"), ("ds3_campplus_192", "3dspeaker"), ("sb_ecapa_c512_mfa1536", "speechbrain")],
)
def test_networks_of_other_sources_are_evaluated_by_cosine(recipe, small_test_set, tmp_path, case, source):
    """Files with the sources' own keys; the same cosine as of features and embeddings made one by one."""
    torch.save(case_weights(case), tmp_path / f"{case}.pt")
    words = ["--corpus", small_test_set, "--eval-only", "true", "--initial-model", tmp_path / f"{case}.pt"]
    said = run(recipe, *words, "--source", source, "--lists", "o")
    assert re.findall(r"^Stage (\d+):", said, re.MULTILINE) == ["0", "5", "6", "8", "10"]
    assert "is a miniature" not in said, "a network of others has the size that it has"
    model = load_final(recipe / "exp" / case)
    parameters = count_parameters(model.network)
    assert f"voxceleb: Model has {parameters} parameters: network {parameters}, loss 0" in said
    assert re.search(r"voxceleb: o_cosine: EER [\d.]+%", said)
    assert results(recipe, f"{case}/o_cosine")["trials"]["count"] == 12 * 11 // 2

    features = DeviceFeatures(model.front_end)
    lines = (recipe / "exp" / case / "results/scores_o_cosine").read_text().splitlines()
    paths = read_id_map(recipe / "data/eval/voxceleb1_test/wav.scp")
    for line in (lines[0], lines[-1]):
        first, second, score = line.split()
        with torch.no_grad():
            waves = (
                torch.from_numpy(soundfile.read(paths[name], dtype="float32")[0])[None] for name in (first, second)
            )
            embeddings = [model.network(features(wave)) for wave in waves]
        assert float(score) == pytest.approx(torch.cosine_similarity(*embeddings).item(), abs=1e-4)


CONFIGURATIONS = [  # parameters of network and loss: SYSTEMS.md, S1; ANCHORS.md for the rounded ones
    ("resnet_se34l", [], 5994, 1_437_078, 1_437_080),
    ("resnet_se34l_am", [], 5994, 1_437_078, 4_506_006),
    ("resnet_se34l_am", [], 4953, 1_437_078, 3_973_014),
    ("resnet_se34l_am", [], 40, 1_437_078, 1_457_558),
    ("resnet_se34v2", [], 5994, 8_028_492, 11_103_416),
    ("vggvox", [], 4953, 4_032_448, 6_568_384),
    ("vggvox", ["model.embedding_dim=256"], 4953, 3_901_120, 5_169_088),
    ("rawnet3", [], 5994, 16_280_322, 17_814_786),
    ("ecapa_tdnn", [], 17982, 6_190_720, 6_190_720 + 17982 * 192),
    ("resnet34", [], 17982, 6_634_336, 6_634_336 + 17982 * 256),
    ("campplus", [], 17982, 7_176_224, 7_176_224 + 17982 * 512),
]


@pytest.mark.parametrize(("name", "changes", "classes", "network", "total"), CONFIGURATIONS)
def test_configurations_have_the_published_sizes(tmp_path, name, changes, classes, network, total):
    (tmp_path / "utt2spk").write_text("a-1 a\n")
    config = load_config(ORIGINAL / f"conf/{name}.yaml", changes)
    config.check_names(name)
    shown = show_model(config, tmp_path, classes).splitlines()[-1]
    assert shown == f"Model has {total} parameters: network {network}, loss {total - network}"


@pytest.mark.parametrize("name", ["xvector", "ecapa_tdnn_lm", "resnet34_lm", "campplus_lm"])
def test_the_other_configurations_load(name):
    config = load_config(ORIGINAL / f"conf/{name}.yaml")
    config.check_names(name)
    if name.endswith("_lm"):
        first = load_config(ORIGINAL / f"conf/{name[:-3]}.yaml")
        assert config.initial_model == f"exp/{name[:-3]}"
        assert config.features == first.features


OPTIONS = (
    "config max_frames eval_frames batch_size max_seg_per_spk test_interval max_epoch trainfunc optimizer scheduler lr "
    "lr_decay weight_decay hard_prob hard_rank margin scale nPerSpeaker nClasses dcf_p_target dcf_c_miss dcf_c_fa "
    "initial_model save_path train_list test_list train_path test_path musan_path rir_path n_mels log_input model "
    "encoder_type nOut eval distributed mixedprec seed"
)


def test_the_readme_maps_every_option_of_the_trainer():
    rows = [line for line in (ORIGINAL / "README.md").read_text().splitlines() if line.startswith("| `")]
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert set(OPTIONS.split()) <= named


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--config", "conf/none.yaml"], "conf/none.yaml: no such file"),
        (["--eval-only", "true"], "--eval-only needs --initial-model"),
        (["--corpus", "/nowhere"], "/nowhere/voxceleb1"),
        (["3"], "options only"),
    ],
)
def test_mistakes_are_one_sentence(recipe, words, sentence):
    done = start(recipe, *words)
    assert done.returncode == 1
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_help_tells_the_options(recipe):
    said = run(recipe, "--help")
    for word in ("--corpus", "--config", "--eval-only", "--initial-model", "--source", "--stage", "--mini"):
        assert word in said
