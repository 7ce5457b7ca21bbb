"""Properties of the x-vector networks, of the poolings they use and of the classification losses."""

import pytest
import torch

from spkid.nnet import build_loss, build_model, build_pooling, count_parameters

torch.set_num_threads(1)
X_VECTORS = ["asv_xvector", "xvector"]
POOLINGS = ["attentive_statistics", "mean", "statistics"]
LOSSES = ["aam_softmax", "am_softmax", "softmax"]
SMALL = {"input_dim": 6, "embedding_dim": 5, "channels": 8, "pooled_channels": 12}


@pytest.mark.parametrize("name", X_VECTORS)
def test_embeddings_have_the_promised_shape(name):
    model = build_model(name, **SMALL).eval()
    assert model(torch.randn(3, 40, 6)).shape == (3, 5)
    assert model.embedding_dim == 5
    assert model(torch.randn(1, model.min_frames, 6)).isfinite().all()


@pytest.mark.parametrize("name", X_VECTORS)
def test_a_batch_is_what_its_members_are_alone(name):
    torch.manual_seed(0)
    model = build_model(name, **SMALL)
    model.train()
    model(torch.randn(16, 40, 6))  # running statistics that are not those of the start
    model.eval()
    x = torch.randn(4, 50, 6)
    torch.testing.assert_close(model(x), torch.cat([model(one[None]) for one in x]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", X_VECTORS)
def test_features_that_do_not_fit_are_refused_with_numbers(name):
    model = build_model(name, **SMALL).eval()
    with pytest.raises(ValueError, match=r"6\).*\(2, 40, 7\)"):
        model(torch.randn(2, 40, 7))
    with pytest.raises(ValueError, match=f"at least {model.min_frames} frames.*{model.min_frames - 1}"):
        model(torch.randn(2, model.min_frames - 1, 6))


@pytest.mark.parametrize(
    ("kind", "build"),
    [("network", lambda: build_model("xvektor", input_dim=3)), ("pooling", lambda: build_pooling("statistic", 3)),
     ("loss", lambda: build_loss("amsoftmax", embedding_dim=3, num_classes=2))],
)  # fmt: skip
def test_unknown_names_are_answered_with_the_nearest(kind, build):
    with pytest.raises(ValueError, match=f"unknown {kind} .*did you mean '(xvector|statistics|am_softmax)'"):
        build()


def test_unknown_options_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown option of network 'xvector' 'chanels' .*did you mean 'channels'"):
        build_model("xvector", input_dim=3, chanels=3)
    with pytest.raises(ValueError, match="needs the option input_dim"):
        build_model("xvector")


def test_near_and_far_are_two_outputs_of_one_network():
    torch.manual_seed(0)
    near, far = build_model("xvector", **SMALL, layer="near"), build_model("xvector", **SMALL, layer="far")
    far.load_state_dict(near.state_dict())
    near.eval(), far.eval()
    x = torch.randn(2, 40, 6)
    torch.testing.assert_close(far(x), far.segment7(far.norm6(torch.relu(near(x)))))
    torch.testing.assert_close(far.training_output(x), far(x))
    torch.testing.assert_close(near.training_output(x), near.norm7(torch.relu(far(x))))


def test_xvector_has_the_sizes_of_the_paper():
    model = build_model("xvector", input_dim=30)
    frames = (30 * 5 + 1) * 512 + 2 * (512 * 3 + 1) * 512 + (512 + 1) * 512 + (512 + 1) * 1500
    assert count_parameters(model) == frames + (3000 + 1) * 512 + (512 + 1) * 512
    assert model.min_frames == 15
    assert model.frame_level(torch.randn(2, 30, 100)).shape == (2, 1500, 86)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooling_of_constant_frames_has_finite_gradients(name, dtype):
    pooling = build_pooling(name, channels=4).to(dtype)
    x = torch.full((2, 4, 20), 300.0, dtype=dtype, requires_grad=True)
    y = pooling(x)
    assert y.shape == (2, pooling.output_dim)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"global_context": True}])
def test_attention_without_preference_is_plain_statistics(options):
    pooling = build_pooling("attentive_statistics", channels=4, **options)
    torch.nn.init.zeros_(pooling.score.weight)
    x = torch.randn(3, 4, 30)
    torch.testing.assert_close(pooling(x), build_pooling("statistics", channels=4)(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_losses_are_finite_at_cosine_one_and_minus_one(name, dtype, sign):
    loss = build_loss(name, embedding_dim=4, num_classes=3)
    with torch.no_grad():
        loss.weight.copy_(torch.eye(3, 4))
    embeddings = (sign * torch.eye(3, 4)).to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        value = loss(embeddings, torch.arange(3))
    value.backward()
    assert value.isfinite()
    assert embeddings.grad.isfinite().all()
    assert loss.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", ["am_softmax", "aam_softmax"])
def test_a_margin_makes_the_task_harder_but_not_the_accuracy(name):
    torch.manual_seed(0)
    x, labels = torch.randn(64, 8), torch.randint(0, 5, (64,))
    plain, margin = (build_loss(name, embedding_dim=8, num_classes=5, margin=m) for m in (0.0, 0.4))
    margin.load_state_dict(plain.state_dict())
    plain_loss, plain_correct = plain.loss_and_correct(x, labels)
    margin_loss, margin_correct = margin.loss_and_correct(x, labels)
    assert margin_loss > plain_loss
    assert torch.equal(plain_correct, margin_correct)


@pytest.mark.parametrize("name", ["am_softmax", "aam_softmax"])
def test_a_margin_grows_while_it_warms_up(name):
    torch.manual_seed(0)
    x, labels = torch.randn(64, 8), torch.randint(0, 5, (64,))
    loss = build_loss(name, embedding_dim=8, num_classes=5, margin=0.4, margin_warmup=0.5)
    values = []
    for done in (0.0, 0.25, 0.5, 0.9):
        loss.set_progress(done)
        values.append(loss(x, labels).item())
    assert values[0] < values[1] < values[2] == values[3]
    without = build_loss(name, embedding_dim=8, num_classes=5, margin=0.0)
    without.load_state_dict(loss.state_dict())
    assert values[0] == pytest.approx(without(x, labels).item(), rel=1e-5)


def test_aam_penalty_falls_with_the_angle():
    loss = build_loss("aam_softmax", embedding_dim=2, num_classes=2, margin=0.5)
    cosines = torch.linspace(-1, 1, 2001)
    penalised = loss.margin_logit(cosines)
    assert (penalised[1:] >= penalised[:-1] - 1e-6).all()
    assert (penalised <= cosines + 1e-6).all()


def test_loss_refuses_embeddings_of_another_size():
    with pytest.raises(ValueError, match=r"4 values but was given 5"):
        build_loss("softmax", embedding_dim=4, num_classes=3)(torch.randn(2, 5), torch.zeros(2, dtype=torch.long))
