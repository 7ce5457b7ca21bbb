"""--layer: both embeddings of an x-vector from one training."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spkid.kaldi import InputError
from spkid.train.extraction import Extractor
from spkid.train.extraction_options import ExtractionOptions
from spkid.train.run import train_from_directory
from tests.train.test_training import config
from tests.train.toy import make_data

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    data = make_data(work / "train", speakers=3, utterances=6)
    for name in ("asv_xvector", "ecapa_tdnn"):
        model = {"name": name, "channels": 16, "pooled_channels": 48, "embedding_dim": 7}
        train_from_directory(replace(config(schedule={"epochs": 1}), model=model), data, work / name)
    return work


def vector(work, name, layer):
    extractor = Extractor(work / name, work / "train", ["spk00-utt00"], ExtractionOptions(layer=layer))
    return dict(extractor.embed([["spk00-utt00"]]))["spk00-utt00"]


def test_both_layers_of_one_training(work):
    near, far = vector(work, "asv_xvector", "near"), vector(work, "asv_xvector", "far")
    assert near.shape == far.shape == (7,)
    assert not np.allclose(near, far)
    np.testing.assert_array_equal(vector(work, "asv_xvector", ""), far)


def test_what_has_no_such_layer_is_refused(work):
    with pytest.raises(InputError, match="this network has one embedding"):
        vector(work, "ecapa_tdnn", "near")
    with pytest.raises(InputError, match="--layer must be near or far, not nearest"):
        ExtractionOptions(layer="nearest")
