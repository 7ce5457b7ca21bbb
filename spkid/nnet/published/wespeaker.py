"""WeSpeaker (wespeaker.models)."""

from typing import Any

from torch import nn

from spkid.nnet.published.base import Guesses, Published, Rules, Tensors, columns, count, rows
from spkid.nnet.redimnet import VARIANTS
from spkid.nnet.resnet import BLOCKS

# All of Kaldi's options of filter banks, so that features made with any other value of any of them can be refused.
KALDI_FBANK = {
    "sample_frequency": 16000.0,
    "frame_length": 25.0,
    "frame_shift": 10.0,
    "preemphasis_coefficient": 0.97,
    "remove_dc_offset": True,
    "dither": 0.0,
    "dither_seed": 0,
    "window_type": "povey",
    "blackman_coeff": 0.42,
    "round_to_power_of_two": True,
    "snip_edges": True,
    "allow_downsample": False,
    "allow_upsample": False,
    "max_feature_vectors": -1,
    "low_freq": 20.0,
    "high_freq": 0.0,
    "vtln_low": 100.0,
    "vtln_high": -500.0,
    "debug_mel": False,
    "use_energy": False,
    "energy_floor": 0.0,
    "raw_energy": True,
    "htk_compat": False,
    "use_log_fbank": True,
    "use_power": True,
}


def wespeaker_front_end(network: nn.Module) -> dict[str, Any]:
    """Kaldi's log mel filter banks of a Hamming window, without dither, minus the mean of the utterance.

    WeSpeaker scales waveforms to the range of int16, as Kaldi's features do.
    """
    return kaldi_front_end(network, "hamming")


def kaldi_front_end(network: nn.Module, window: str) -> dict[str, Any]:
    """Kaldi's log mel filter banks of this window, as many as the network takes, minus the mean of the utterance."""
    options = {**KALDI_FBANK, "window_type": window, "num_mel_bins": network.input_dim}
    return {"type": "fbank", "options": options, "transforms": ["cmn_utterance"], "dims": network.input_dim}


WESPEAKER_POOLING: Rules = (
    (r"^pool\.", "pooling."),
    (r"\bn_query\.", "queries."),
    (r"\bheads_att_trans\.", "heads."),
    (r"\b(att_0|linear1)\.", "hidden."),
    (r"\b(att_1|linear2)\.", "score."),
    (r"\battention\.0\.", "hidden."),
    (r"\battention\.2\.", "norm."),
    (r"\battention\.3\.", "score."),
    (r"\bprior_logprec", "prior_log_precision"),
    (r"\blin1_relu_bn\.0\.", "hidden."),
    (r"\blin1_relu_bn\.2\.", "norm."),
    (r"\blin2\.", "precision."),
)
ASTP = {"unbiased_context": True, "variance_floor": 1.0e-7, "context_epsilon": 1.0e-7}  # besides its sizes


def wespeaker_pooling(encoder: Tensors, epsilon: float = 1.0e-7) -> dict[str, Any]:
    """The options `pooling` and `pooling_options` of the module `pool`; without tensors it is mean and deviation."""
    if "pool.linear1.weight" in encoder:
        channels, hidden = rows(encoder, "pool.linear2.weight"), rows(encoder, "pool.linear1.weight")
        options = {
            "attention_dim": hidden,
            "per_channel": True,
            "global_context": columns(encoder, "pool.linear1.weight") > channels,
            **ASTP,
        }
        return {"pooling": "attentive_statistics", "pooling_options": options}
    queries, heads = count(encoder, r"pool\.n_query\.\d+"), count(encoder, r"pool\.(n_query\.0\.)?heads_att_trans\.\d+")
    if heads:
        first = "pool.n_query.0." if queries else "pool."
        options = {
            "num_heads": heads,
            "attention_dim": rows(encoder, f"{first}heads_att_trans.0.att_0.weight"),
            "per_channel": rows(encoder, f"{first}heads_att_trans.0.att_1.weight") > 1,
        }
        if queries:
            return {
                "pooling": "multi_query_attentive_statistics",
                "pooling_options": {"num_queries": queries, **options},
            }
        return {"pooling": "multi_head_attentive_statistics", "pooling_options": options}
    return {"pooling": "statistics", "pooling_options": {"unbiased": True, "epsilon": epsilon}}


def _wespeaker_ecapa(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    pooled = rows(encoder, "conv.weight")
    return {
        "layout": "wespeaker",
        "input_dim": columns(encoder, "layer1.conv.weight"),
        "embedding_dim": rows(encoder, "linear.weight"),
        "channels": rows(encoder, "layer1.conv.weight"),
        "pooled_channels": pooled,
        "attention_dim": rows(encoder, "pool.linear1.weight"),
        "global_context": columns(encoder, "pool.linear1.weight") > pooled,
        "se_dim": rows(encoder, "layer2.se_res2block.3.linear1.weight"),
        "scale": count(encoder, r"layer2\.se_res2block\.1\.convs\.\d+") + 1,
    }


WESPEAKER_ECAPA: Rules = (
    (r"\.3\.linear1\.", ".excitation.squeeze."),
    (r"\.3\.linear2\.", ".excitation.excite."),
    *WESPEAKER_POOLING,
    (r"^bn\.", "pooling_norm."),
    (r"\.bn\.", ".norm."),
    (r"\.bns\.", ".norms."),
    (r"^layer1\.", "first."),
    (r"^layer([234])\.se_res2block\.", lambda match: f"blocks.{int(match[1]) - 2}."),
    (r"^(blocks\.\d)\.0\.", r"\1.first."),
    (r"^(blocks\.\d)\.1\.", r"\1.res2."),
    (r"^(blocks\.\d)\.2\.", r"\1.last."),
    (r"^conv\.", "aggregation."),
    (r"^linear\.", "embedding."),
)


def xvector_sizes(encoder: Tensors) -> dict[str, Any]:
    """What x-vectors of WeSpeaker and 3D-Speaker share."""
    return {
        "input_dim": columns(encoder, "frame_1.conv_1d.weight"),
        "embedding_dim": rows(encoder, "seg_1.weight"),
        "channels": rows(encoder, "frame_1.conv_1d.weight"),
        "pooled_channels": rows(encoder, "frame_5.conv_1d.weight"),
        "norm_epsilon": 1.0e-5,
    }


def _wespeaker_xvector(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    if "seg_2.weight" not in encoder:
        raise KeyError("seg_2.weight")
    pooling = wespeaker_pooling(encoder)
    if columns(encoder, "seg_1.weight") == rows(encoder, "frame_5.conv_1d.weight"):
        guesses["pooling"] = "the file does not tell its pooling: pooling='mean' is assumed, it may be 'deviation'"
        pooling = {"pooling": "mean"}
    return {**xvector_sizes(encoder), "layer": "far", **pooling}


WESPEAKER_XVECTOR: Rules = (
    *WESPEAKER_POOLING,
    (r"^frame_(\d)\.", lambda match: f"frame_level.{int(match[1]) - 1}."),
    (r"\.conv_1d\.", ".affine."),
    (r"\.bn\.", ".norm."),
    (r"^seg_1\.", "segment6."),
    (r"^seg_2\.", "segment7."),
    (r"^seg_bn_1\.", "norm6."),
)


def wespeaker_resnet(encoder: Tensors, guesses: Guesses, epsilon: float = 1.0e-7) -> dict[str, Any]:
    """Sizes of a residual network; 3D-Speaker's statistics have another epsilon."""
    blocks = tuple(count(encoder, rf"layer{stage}\.\d+") for stage in (1, 2, 3, 4))
    bottleneck = "layer1.0.conv3.weight" in encoder
    depths = [depth for depth, layout in BLOCKS.items() if layout == blocks and (depth >= 50) == bottleneck]
    if not depths:
        raise ValueError(f"no residual network here has stages of {blocks} blocks")
    channels = rows(encoder, "conv1.weight")
    pooling = wespeaker_pooling(encoder, epsilon)
    options = pooling["pooling_options"]
    outputs = columns(encoder, "seg_1.weight")
    # Mean and deviation of every channel and frequency; other poolings tell their width themselves.
    pooled = outputs // (2 * options.get("num_queries", 1))
    width = channels * 8 * (4 if bottleneck else 1)
    input_dim = pooled // width * 8
    if input_dim == 40:
        guesses["pooling"] = (
            "the file has no name of its pooling: mean and deviation (TSTP) of 40 inputs is assumed; with a mean (TAP) "
            "of 80 inputs, input_dim=80 and pooling='mean' must be given"
        )
    return {
        "name": f"resnet{depths[0]}",
        "input_dim": input_dim,
        "embedding_dim": rows(encoder, "seg_1.weight"),
        "channels": channels,
        "second_layer": "seg_2.weight" in encoder,
        **pooling,
    }


WESPEAKER_RESNET: Rules = (
    *WESPEAKER_POOLING,
    (r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}."),
    (r"^seg_1\.", "embedding."),
    (r"^seg_bn_1\.", "second.1."),
    (r"^seg_2\.", "second.2."),
)


def eres2net(encoder: Tensors, guesses: Guesses, epsilon: float = 1.0e-7) -> dict[str, Any]:
    """Sizes of ERes2Net; 3D-Speaker's statistics have another epsilon."""
    channels = rows(encoder, "conv1.weight")
    return {
        "input_dim": columns(encoder, "seg_1.weight") // (2 * 16 * channels) * 8,
        "embedding_dim": rows(encoder, "seg_1.weight"),
        "channels": channels,
        **wespeaker_pooling(encoder, epsilon),
    }


ERES2NET: Rules = (
    (r"^layer(\d)_downsample\.", lambda match: f"reductions.{int(match[1]) - 1}."),
    (r"^layer(\d)\.", lambda match: f"stages.{int(match[1]) - 1}."),
    (r"\.fuse_models\.", ".fusions."),
    (r"^fuse_mode(\d+)\.", lambda match: f"fusions.{len(match[1]) - 2}."),
    (r"\.local_att\.", ".gate."),
    (r"^seg_1\.", "embedding."),
    *WESPEAKER_POOLING,
)
# WeSpeaker numbers the groups of a block with fusion from the second one on.
WESPEAKER_ERES2NET: Rules = (
    (r"^(layer[34]\.\d+\.(?:conv|bn)s)\.0\.", r"\1.1."),
    (r"^(layer[34]\.\d+\.(?:conv|bn))2_1\.", r"\1s.0."),
    *ERES2NET,
)


def campplus(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    """Sizes of CAM++; 3D-Speaker's files differ only in the statistics."""
    head_channels = rows(encoder, "head.conv2.weight")
    return {
        "input_dim": columns(encoder, "xvector.tdnn.linear.weight") // head_channels * 8,
        "embedding_dim": rows(encoder, "xvector.dense.linear.weight"),
        "channels": rows(encoder, "xvector.tdnn.linear.weight"),
        "growth": rows(encoder, "xvector.block1.tdnnd1.cam_layer.linear_local.weight"),
        **wespeaker_pooling(encoder),
    }


CAMPPLUS: Rules = (
    (r"\.batchnorm\.", "."),
    (r"^head\.layer([12])\.", lambda match: f"head.stages.{int(match[1]) - 1}."),
    (r"^xvector\.tdnn\.linear\.", "tdnn."),
    (r"^xvector\.tdnn\.nonlinear\.", "tdnn_norm."),
    (r"^xvector\.block(\d)\.tdnnd(\d+)\.", lambda match: f"dense.{int(match[1]) - 1}.{int(match[2]) - 1}."),
    (r"\.nonlinear([12])\.", r".norm\1."),
    (r"\.cam_layer\.linear_local\.", ".masking.local."),
    (r"\.cam_layer\.linear1\.", ".masking.squeeze."),
    (r"\.cam_layer\.linear2\.", ".masking.excite."),
    (r"^(dense\.\d\.\d+)\.linear1\.", r"\1.linear."),
    (r"^xvector\.transit(\d)\.nonlinear\.", lambda match: f"transitions.{int(match[1]) - 1}.0."),
    (r"^xvector\.transit(\d)\.linear\.", lambda match: f"transitions.{int(match[1]) - 1}.1."),
    (r"^xvector\.out_nonlinear\.", "last_norm."),
    (r"^xvector\.dense\.linear\.", "embedding."),
    (r"^xvector\.dense\.nonlinear\.", "embedding_norm."),
    *WESPEAKER_POOLING,
)


def _redimnet(encoder: Tensors, guesses: Guesses) -> dict[str, Any]:
    channels = rows(encoder, "backbone.stem.0.weight")
    first = "backbone.stage0.1.conv_block."
    convolution = f"{first}dwconvs.0.weight" if f"{first}dwconvs.0.weight" in encoder else f"{first}conv1.weight"
    group = columns(encoder, convolution)
    blocks = tuple(
        count(encoder, rf"backbone\.stage{index}\.\d+\.conv_block")
        for index in range(count(encoder, r"backbone\.stage\d+"))
    )
    for name, variant in VARIANTS.items():
        if (variant.channels, variant.group, tuple(stage.blocks for stage in variant.stages)) == (
            channels,
            group,
            blocks,
        ):
            return {
                "variant": name,
                "input_dim": encoder["backbone.inputs_weights.1"].shape[2] // channels,
                "embedding_dim": rows(encoder, "seg_1.weight"),
                **wespeaker_pooling(encoder),
            }
    raise ValueError(f"no redimnet here has {channels} channels, groups of {group} and stages of {blocks} blocks")


REDIMNET: Rules = (
    (r"^backbone\.", ""),
    (r"^inputs_weights\.", "mixing."),
    (r"^stem\.0\.", "stem."),
    (r"^stem\.1\.", "stem_norm."),
    (r"^stage(\d+)\.0\.", r"stages.\1.expand."),
    (r"^stage(\d+)\.(\d+)\.conv_block\.", lambda match: f"stages.{match[1]}.blocks.{int(match[2]) - 1}."),
    (r"^stage(\d+)\.\d+\.(?=red_dim_conv|tcm|exp_dim_conv)", r"stages.\1.context."),
    (r"^stage(\d+)\.\d+\.", r"stages.\1.squeeze."),
    (r"\.(conv[12])pw\.", lambda match: f".mix{match[1][-1]}."),
    (r"\.bn([12])\.", r".norm\1."),
    (r"\.se\.exitation\.", ".excitation.excite."),
    (r"\.se\.squeeze\.", ".excitation.squeeze."),
    (r"\.dwconvs\.0\.", ".conv."),
    (r"\.pwconv1\.", ".mix."),
    (r"\.red_dim_conv\.0\.", ".reduce."),
    (r"\.red_dim_conv\.1\.", ".norm."),
    (r"\.exp_dim_conv\.", ".expand."),
    (r"\.tcm\.([0123])\.", r".convs.\1."),
    (r"\.tcm\.4\.", ".attention."),
    (r"\.attention\.q_proj\.", ".query."),
    (r"\.attention\.k_proj\.", ".key."),
    (r"\.attention\.v_proj\.", ".value."),
    (r"\.attention\.out_proj\.", ".output."),
    (r"\.final_layer_norm\.", ".norm2."),
    (r"\.layer_norm\.", ".norm1."),
    (r"\.feed_forward\.intermediate_dense\.", ".feed1."),
    (r"\.feed_forward\.output_dense\.", ".feed2."),
    (r"^seg_1\.", "embedding."),
    *WESPEAKER_POOLING,
)

NETWORKS = (
    Published("ecapa_tdnn", (r"layer2\.se_res2block\.",), _wespeaker_ecapa, WESPEAKER_ECAPA, wespeaker_front_end),
    Published(
        "xvector",
        (r"frame_1\.conv_1d\.",),
        _wespeaker_xvector,
        WESPEAKER_XVECTOR,
        wespeaker_front_end,
        optional=r"^norm7\.",  # behind the embedding
    ),
    Published(
        "resnet34",
        (r"layer1\.0\.conv1\.", r"layer4\.0\.bn2\.", r"seg_1\."),
        wespeaker_resnet,
        WESPEAKER_RESNET,
        wespeaker_front_end,
    ),
    Published(
        "eres2net",
        (r"fuse_mode1234\.", r"layer3\.0\.conv2_1\."),
        eres2net,
        WESPEAKER_ERES2NET,
        wespeaker_front_end,
    ),
    Published("campplus", (r"xvector\.transit1\.",), campplus, CAMPPLUS, wespeaker_front_end),
    Published("redimnet", (r"backbone\.stage0\.",), _redimnet, REDIMNET, wespeaker_front_end),
)
