"""A training that starts from another: weights taken over, heads kept or swapped, bodies frozen and released."""

import json
from pathlib import Path

import pytest
import torch

from spkid.data.front_end import FrontEnd
from spkid.kaldi import InputError
from spkid.nnet import build_loss, build_model
from spkid.nnet.published.speechbrain import speechbrain_front_end
from spkid.nnet.published.wespeaker import wespeaker_front_end
from spkid.train.audio_feed import audio_front_end
from spkid.train.config import config_from_dict
from spkid.train.experiment import read_description, save_final
from spkid.train.initialization import Freezer, InitialModel, initial_files, open_initial

torch.set_num_threads(1)

MODEL = {"name": "xvector", "embedding_dim": 6, "channels": 8, "pooled_channels": 10, "layer": "far"}
FRONT_END = FrontEnd("mfcc", {"num_ceps": 5}, ["cmn_sliding_300", "vad"], 5)
SPEAKERS = ["ann", "bob", "cleo", "dora"]
LOSS = {"name": "aam_softmax", "margin": 0.2}


def network(seed=1, **changes):
    torch.manual_seed(seed)
    options = {**MODEL, **changes}
    return build_model(options.pop("name"), input_dim=5, **options)


def loss(seed=1, classes=4, **section):
    torch.manual_seed(seed)
    options = {**LOSS, **section}
    return build_loss(options.pop("name"), embedding_dim=6, num_classes=classes, **options)


@pytest.fixture
def experiment(tmp_path):
    directory = tmp_path / "first"
    directory.mkdir()
    save_final(directory, network(), loss(), FRONT_END, {"model": MODEL, "loss": LOSS}, {})
    (directory / "speakers.txt").write_text("".join(f"{speaker}\n" for speaker in SPEAKERS), encoding="utf-8")
    return directory


def opened(experiment, section=None):
    return open_initial(str(experiment), "", section or {"name": "initial"}, experiment / "second")


def same(module, other):
    own = other.state_dict()
    return all(torch.equal(value, own[name]) for name, value in module.state_dict().items())


def test_network_and_head_are_taken_over(experiment):
    body, head = network(2), loss(2, margin=0.5)
    assert opened(experiment).load_into(body, head, SPEAKERS).endswith("head kept")
    assert same(body, network())
    assert same(head, loss())
    assert head.margin == 0.5  # the second recipe's


@pytest.mark.parametrize("centers", [1, 3])
def test_some_of_the_speakers_take_their_own_rows(experiment, centers):
    section = {"sub_centers": centers}
    save_final(experiment, network(), loss(**section), FRONT_END, {"model": MODEL, "loss": LOSS}, {})
    head = loss(2, classes=2, **section)
    assert "head kept for the speakers here" in opened(experiment).load_into(network(2), head, ["bob", "dora"])
    rows = loss(**section).weight.detach().unflatten(0, (4, centers))[[1, 3]].flatten(0, 1)
    assert torch.equal(head.weight.detach(), rows)


@pytest.mark.parametrize(
    ("speakers", "section", "reason"),
    [
        (["ann", "eve", "fred"], LOSS, "2 of the 3 speakers are not its own"),
        (SPEAKERS, {"name": "softmax"}, "its loss is of another kind"),
        (SPEAKERS, {**LOSS, "sub_centers": 2}, "has other sizes"),
        (SPEAKERS, {"name": "cosine_triplet", "margin": 0.1}, "this one has no weights"),
    ],
)
def test_a_head_that_does_not_fit_is_new_and_said_so(experiment, speakers, section, reason):
    def make():
        torch.manual_seed(2)
        return build_loss(section["name"], embedding_dim=6, num_classes=len(speakers), **options)

    options = {key: value for key, value in section.items() if key != "name"}
    head, body = make(), network(2)
    assert reason in opened(experiment).load_into(body, head, speakers)
    assert same(head, make())
    assert same(body, network())


def test_the_learned_scale_of_a_metric_loss_knows_no_speakers(experiment):
    trained = build_loss("angular_prototypical")
    with torch.no_grad():
        trained.scale.fill_(12.5)
    save_final(experiment, network(), trained, FRONT_END, {"model": MODEL, "loss": {}}, {})
    head = build_loss("angular_prototypical")
    assert opened(experiment).load_into(network(2), head, ["eve", "fred"]).endswith("head kept")
    assert head.scale.item() == 12.5


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"name": "ecapa_tdnn"}, "model.name is ecapa_tdnn, but .* holds the network xvector; write model: {name: ini"),
        ({"name": "xvector", "channels": 16}, "model.channels is 16, but the network in .* has 8"),
        ({"name": "initial", "pooling": "mean"}, "model.pooling is mean, but the network in .* has statistics"),
        ({"name": "initial", "chanels": 8}, "unknown key 'model.chanels'"),
    ],
)
def test_another_network_than_the_configuration_says_is_refused(experiment, section, sentence):
    with pytest.raises(InputError, match=sentence):
        opened(experiment, section)


def test_a_network_that_the_configuration_says_again_is_accepted(experiment):
    assert opened(experiment, {"name": "xvector", "channels": 8, "pooling": "statistics"}).model == MODEL


@pytest.mark.parametrize(
    ("front_end", "sentence"),
    [
        (FrontEnd("fbank", {}, FRONT_END.transforms, 5), "the features are fbank, but the network was trained on mfcc"),
        (
            FrontEnd("mfcc", {"num_ceps": 6}, FRONT_END.transforms, 6),
            "made with num_ceps=6, .* trained with num_ceps=5",
        ),
        (FrontEnd("mfcc", {"num_ceps": 5}, ["vad"], 5), "asks for vad, but .* after cmn_sliding_300 then vad"),
        (FrontEnd("mfcc", None, FRONT_END.transforms, 7), "have 7 dimensions, those of .* 5"),
    ],
)
def test_features_of_another_front_end_are_refused(experiment, front_end, sentence):
    with pytest.raises(InputError, match=sentence):
        opened(experiment).check_front_end(front_end, "data/train")
    opened(experiment).check_front_end(FRONT_END, "data/train")


def test_options_of_the_configuration_are_not_blamed_on_a_file(experiment):
    other = FrontEnd("mfcc", {"num_ceps": 6}, FRONT_END.transforms, 6)
    with pytest.raises(InputError, match=r"^features\.options: the features were made with num_ceps=6"):
        opened(experiment).check_front_end(other, "data/train", from_audio=True)


@pytest.mark.parametrize(
    ("published", "section"),
    [
        (
            FrontEnd(**wespeaker_front_end(network())),
            {"type": "fbank", "cmn": "utterance", "options": {"window_type": "hamming", "num_mel_bins": 5}},
        ),
        (FrontEnd(**speechbrain_front_end(network())), {"type": "speechbrain_fbank", "options": {"n_mels": 5}}),
        (FrontEnd("waveform", {}, [], 1), {"type": "waveform", "cmn": "none"}),
    ],
)
def test_audio_is_made_into_the_features_of_published_networks(published, section):
    values = {"cmn": "utterance", "vad": False, "source": "audio", **section}
    own = audio_front_end(config_from_dict({"features": values}, "test").features)
    InitialModel(Path("exp/imported"), {"name": "xvector"}, published, None).check_front_end(own, "data/train")


def test_what_cannot_be_started_from_is_said(experiment, tmp_path):
    with pytest.raises(InputError, match=r"none: no such directory"):
        open_initial(str(tmp_path / "none"), "", {"name": "initial"}, tmp_path)
    (tmp_path / "avg.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"initial_model is the file .*avg\.pt: say with initial_source"):
        open_initial(str(tmp_path / "avg.pt"), "", {"name": "initial"}, tmp_path)
    initial = opened(experiment)
    (experiment / "final.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"final\.safetensors: cannot be loaded"):
        initial.load_into(network(), loss(), SPEAKERS)


def test_the_files_that_decide(experiment, tmp_path):
    assert all(path.exists() for path in initial_files(str(experiment), ""))
    assert initial_files(str(tmp_path / "x.pt"), "wespeaker") == [tmp_path / "x.pt"]
    assert initial_files("", "") == []


def test_a_damaged_description_is_said(experiment):
    description = json.loads((experiment / "final.json").read_text())
    (experiment / "final.json").write_text(json.dumps({**description, "config": {}}), encoding="utf-8")
    with pytest.raises(InputError, match="not the description of a trained network"):
        opened(experiment)


def test_a_frozen_body_keeps_every_bit_and_is_released():
    body, head = network(), loss()
    never = next(body.parameters())
    never.requires_grad_(False)  # some networks hold parameters that nobody learns
    optimizer = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=0.1, weight_decay=0.1)
    freezer = Freezer(body, 2)
    generator = torch.Generator().manual_seed(0)
    before = {name: value.clone() for name, value in body.state_dict().items()}
    for epoch in range(3):
        freezer.begin_epoch(epoch)
        frozen_head = head.weight.detach().clone()
        for _ in range(2):
            optimizer.zero_grad(set_to_none=True)
            embeddings = body(torch.randn(4, 30, 5, generator=generator))
            head(embeddings, torch.arange(4)).backward()
            optimizer.step()
        assert not torch.equal(head.weight, frozen_head)
        now = body.state_dict()
        changed = [name for name, value in before.items() if not torch.equal(now[name], value)]
        if epoch < 2:
            assert not changed
        else:
            learned = {name for name, parameter in body.named_parameters() if parameter.requires_grad}
            assert {name for name in changed if "running" not in name and "num_batches" not in name} == learned
            assert any("running_mean" in name for name in changed)
    assert not never.requires_grad


def test_what_is_no_directory_is_said(experiment, tmp_path):
    for other in (tmp_path / "nowhere", experiment / "final.safetensors"):
        with pytest.raises(InputError, match=r"no such directory; one with final\.json"):
            read_description(other)
