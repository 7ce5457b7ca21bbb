"""Importers: what is read, what is refused, and what is said about the rest."""

import pickle
import re
import warnings

import pytest
import torch

from spkid.nnet import build_model, count_parameters, pretrained
from tests.nnet.goldens import arrays, case_input, case_weights, deviation

torch.set_num_threads(1)

LITE = "vt_resnetse34l_sap_m40"
ASV = "asv_xvector_tap_d30"
XVEC = "ws_xvec"


def lite(**options):
    return {"source": "voxceleb_trainer", "amplitude": "unit", "n_mels": 40, **options}


def wave() -> torch.Tensor:
    return torch.from_numpy(arrays("inputs")["wave"].copy())[:, :16000]


def test_old_trainer_files_keep_their_loss_out_whatever_its_size(tmp_path):
    encoder = {f"__S__.{key}": value for key, value in case_weights(LITE).items()}
    outputs = []
    for classes in (40, 4953):
        path = tmp_path / f"{classes}.model"
        torch.save({**encoder, "__L__.W": torch.randn(512, classes)}, path)
        with pytest.warns(UserWarning, match=rf"the loss is left out: __L__\.W \(512, {classes}\)"):
            network = pretrained.load(path, **lite())
        assert list(network.import_report.loss_head) == ["__L__.W"]
        assert not network.training
        with torch.no_grad():
            outputs.append(network(wave()))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("container", ["model", "model_state_dict", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "module.__S__."])
def test_wrappers_are_seen_through(container, prefix):
    state = {f"{prefix}{key}": value for key, value in case_weights(LITE).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = pretrained.load({"epoch": 3, container: state, "optimizer": {"state": {}}}, **lite())
    torch.testing.assert_close(network.embedding.weight, case_weights(LITE)["fc.weight"])


def test_window_and_filter_bank_come_from_the_file_and_tell_the_number_of_bands():
    state = case_weights(LITE)
    state["torchfb.spectrogram.window"] = torch.full((400,), 0.5)
    state["torchfb.mel_scale.fb"] = torch.rand(257, 64)
    network = pretrained.load(state, "voxceleb_trainer", amplitude="int16")
    assert torch.equal(network.spectrogram.window, state["torchfb.spectrogram.window"])
    assert torch.equal(network.spectrogram.filter_bank, state["torchfb.mel_scale.fb"])
    assert network.import_report.guesses == []


def test_guesses_are_said():
    with pytest.warns(UserWarning, match="assumed") as said:
        network = pretrained.load(case_weights(LITE), "voxceleb_trainer")
    sentences = " ".join(str(warning.message) for warning in said)
    assert "n_mels=40 is assumed" in sentences
    assert "amplitude='unit' is assumed" in sentences
    assert len(network.import_report.guesses) == 2


def test_an_encoder_that_does_not_fit_is_an_error_that_names_the_keys():
    state = case_weights(ASV)
    del state["fc2.bias"]
    state["fc3.weight"] = torch.zeros(2, 3)
    state["bn1.bias"] = torch.zeros(7)
    with pytest.raises(ValueError, match="asv_beginner asv_xvector") as error:
        pretrained.load(state, "asv_beginner")
    for part in ("fc2.bias", "fc3.weight (2, 3)", "bn1.bias (7,), here (512,)", "partial=True"):
        assert part in str(error.value)
    with pytest.warns(UserWarning, match=r"2 keys of the file have no place"):
        network = pretrained.load(state, "asv_beginner", partial=True)
    assert network.import_report.missing == ["bn1.bias", "fc2.bias"]
    torch.testing.assert_close(network.fc1.weight, state["fc1.weight"])


def test_asv_checkpoints_are_read_whole():
    state = case_weights(ASV)
    content = {"epoch": 40, "state_dict": state, "criterion": {"weights": torch.zeros(3, 512)}, "optimizer": {}}
    network = pretrained.load(content, "asv_beginner")
    with torch.no_grad():
        assert deviation(network(case_input(ASV)), arrays(ASV)["hash_embedding"]) < 2e-5
    assert network.front_end["type"] == "mfcc"


def test_wespeaker_projections_are_left_out():
    state = {**case_weights(XVEC), "projection.weight": torch.zeros(5, 512)}
    with pytest.warns(UserWarning, match=r"the loss is left out: projection\.weight \(5, 512\)"):
        network = pretrained.load(state, "wespeaker")
    assert network.layer == "far"
    again = build_model(network.import_report.name, **network.import_report.options)
    again.load_state_dict(network.state_dict())
    with pytest.raises(ValueError, match="unknown embedding layer"):
        pretrained.load(state, "wespeaker", layer="middle")


def test_a_name_that_the_file_is_not_is_refused():
    with pytest.raises(ValueError, match=r"fit no 'campplus' of it .* known from wespeaker: ecapa_tdnn, xvector"):
        pretrained.load(case_weights(XVEC), "wespeaker", name="campplus")
    with pytest.raises(ValueError, match=r"fit none of its networks .* known from speechbrain: ecapa_tdnn"):
        pretrained.load(case_weights(XVEC), "speechbrain")
    with pytest.raises(ValueError, match=r"unknown source of checkpoints 'wespeakr' \(did you mean 'wespeaker'"):
        pretrained.load({}, "wespeakr")


def test_a_file_without_the_keys_that_tell_its_size_is_refused():
    state = case_weights(XVEC)
    del state["seg_2.weight"]
    with pytest.raises(ValueError, match=r"wespeaker xvector: the file lacks seg_2\.weight"):
        pretrained.load(state, "wespeaker")


class Harmful:
    def __reduce__(self):
        return print, ("code of the file was run",)


def test_files_that_are_no_checkpoints_are_refused_without_running_them(tmp_path, capsys):
    path = tmp_path / "harmful.pt"
    torch.save({"model": Harmful()}, path)
    sentence = r"harmful\.pt: cannot be read as a PyTorch checkpoint of tensors alone: "
    with pytest.raises(ValueError, match=sentence + r"it holds an object of \S*print; .* save the state_dict\(\)"):
        pretrained.load(path, "wespeaker")
    whole = path.read_bytes()
    for content in (pickle.dumps(Harmful()), b"", b"model: xvector\n", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=sentence) as refusal:
            pretrained.load(path, "wespeaker")
        assert "weights_only" not in str(refusal.value)  # torch advises to run the file's code
    assert "was run" not in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"nowhere\.pt: there is no such file"):
        pretrained.load(tmp_path / "nowhere.pt", "wespeaker")
    torch.save({"epoch": 3, "lr": 0.1}, path)
    with pytest.raises(ValueError, match=r"holds no tensors; its keys are epoch, lr"):
        pretrained.load(path, "wespeaker")
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds no state dictionary but list"):
        pretrained.load(path, "wespeaker")


def features(dims: int = 80) -> torch.Tensor:
    return torch.from_numpy(arrays("inputs")[f"feat{dims}"].copy())[:, :60]


def embed(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(x)


def test_3d_speakers_ecapa_is_speechbrains_with_other_features():
    state = case_weights("sb_ecapa_c512_mfa1536")
    ours, speechbrains = pretrained.load(state, "3dspeaker"), pretrained.load(state, "speechbrain")
    assert torch.equal(embed(ours, features()), embed(speechbrains, features()))
    assert ours.front_end["type"] == "fbank"
    assert ours.front_end["options"]["window_type"] == "povey"
    assert speechbrains.front_end["type"] == "speechbrain_fbank"


def test_residual_networks_with_a_second_layer():
    state = case_weights("ws_resnet34")
    first = embed(pretrained.load(state, "wespeaker"), features())
    generator = torch.Generator().manual_seed(0)
    state["seg_bn_1.running_mean"] = torch.randn(256, generator=generator)
    state["seg_bn_1.running_var"] = torch.rand(256, generator=generator) + 0.5
    state["seg_2.weight"] = torch.randn(256, 256, generator=generator) / 16
    state["seg_2.bias"] = torch.randn(256, generator=generator)
    norm = (torch.relu(first) - state["seg_bn_1.running_mean"]) / (state["seg_bn_1.running_var"] + 1e-5).sqrt()
    expected = norm @ state["seg_2.weight"].T + state["seg_2.bias"]
    for source in ("wespeaker", "3dspeaker"):  # their statistics differ by 1e-7 under a root
        network = pretrained.load(state, source)
        torch.testing.assert_close(embed(network, features()), expected, rtol=1e-3, atol=1e-3)
        assert count_parameters(network) == 6_634_336 + 256 * 257
    assert network.pooling.epsilon == 1.0e-8


def test_3d_speakers_x_vector_ends_with_its_first_layer():
    state = case_weights(XVEC)
    near = embed(pretrained.load(state, "wespeaker", layer="near"), features())
    short = {key: value for key, value in state.items() if not key.startswith(("seg_2", "seg_bn"))}
    network = pretrained.load(short, "3dspeaker")
    torch.testing.assert_close(embed(network, features()), near, rtol=1e-3, atol=1e-3)  # the statistics differ
    with pytest.raises(ValueError, match=r"wespeaker xvector: the file lacks seg_2\.weight"):
        pretrained.load(short, "wespeaker")


def test_wespeakers_eres2net_numbers_the_groups_otherwise():
    state = case_weights("ds3_eres2net_base_192")
    renamed = {}
    for key, value in state.items():
        if key.startswith(("layer3.", "layer4.")):
            key = re.sub(r"\.(conv|bn)s\.0\.", r".\g<1>2_1.", key)
            key = re.sub(r"\.(conv|bn)s\.1\.", r".\1s.0.", key)
        renamed[key] = value
    assert any(".conv2_1." in key for key in renamed)
    expected = embed(pretrained.load(state, "3dspeaker"), features())
    torch.testing.assert_close(embed(pretrained.load(renamed, "wespeaker"), features()), expected, rtol=1e-3, atol=1e-3)


def test_pooling_that_a_file_does_not_tell():
    state = case_weights(XVEC)
    mean = {**state, "seg_1.weight": state["seg_1.weight"][:, :1500]}
    with pytest.warns(UserWarning, match="pooling='mean' is assumed, it may be 'deviation'"):
        network = pretrained.load(mean, "wespeaker")
    assert network.import_report.options["pooling"] == "mean"
    assert pretrained.load(mean, "wespeaker", pooling="deviation").import_report.options["pooling"] == "deviation"
    state = case_weights("ws_resnet34")
    state["seg_1.weight"] = state["seg_1.weight"][:, :2560]
    with pytest.warns(UserWarning, match="TSTP. of 40 inputs is assumed"):
        assert pretrained.load(state, "wespeaker").input_dim == 40
    network = pretrained.load(state, "wespeaker", pooling="mean", input_dim=80)
    assert embed(network, features()).shape == (2, 256)
