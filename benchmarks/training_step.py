#!/usr/bin/env python3
"""A training step of ECAPA-TDNN C512 and of ResNet34, 32 x 200 frames x 80, against plain PyTorch.

    OMP_NUM_THREADS=1 PYTHONPATH=. benchmarks/training_step.py
    PYTHONPATH=. benchmarks/training_step.py --gpu

The plain networks below are written straight from the papers, layer by layer, with the published sizes; both of a pair
must have as many parameters and, with the same weights, are the same function (their outputs are compared). A step is
AAM-softmax over 1,000 speakers, its gradients, and Adam. The two alternate; the median of the ratios of neighbours
counts, of processor time on a CPU, because other work on the machine does not show in it. With --gpu also bf16 and
the share of the measured rate of matrix products.
"""

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.products import product_rate
from spkid.nnet import build_loss, build_model, count_parameters
from spkid.train.memory import keep_freed_memory

FRAMES, DIMS, SPEAKERS = 200, 80, 1000


class Unit(nn.Module):
    """Convolution over mirrored frames, ReLU, batch normalisation."""

    def __init__(self, input_dim: int, output_dim: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(
            input_dim, output_dim, kernel, dilation=dilation, padding=dilation * (kernel // 2), padding_mode="reflect"
        )
        self.norm = nn.BatchNorm1d(output_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(functional.relu(self.conv(x)))


class PlainBlock(nn.Module):
    """1x1, Res2Net of 8 groups, 1x1, squeeze and excitation, plus the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = Unit(channels, channels)
        self.groups = nn.ModuleList(Unit(channels // 8, channels // 8, 3, dilation) for _ in range(7))
        self.last = Unit(channels, channels)
        self.squeeze, self.excite = nn.Conv1d(channels, 128, 1), nn.Conv1d(128, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = torch.chunk(self.first(x), 8, dim=1)
        outputs = [parts[0]]
        for index, group in enumerate(self.groups):
            seen = parts[index + 1] if index == 0 else parts[index + 1] + outputs[-1]
            outputs.append(group(seen))
        hidden = self.last(torch.cat(outputs, dim=1))
        gate = self.excite(functional.relu(self.squeeze(hidden.mean(dim=2, keepdim=True))))
        return x + hidden * torch.sigmoid(gate)


class PlainEcapa(nn.Module):
    """ECAPA-TDNN as Desplanques et al. describe it."""

    def __init__(self) -> None:
        super().__init__()
        channels, pooled = 512, 1536
        self.first = Unit(DIMS, channels, 5)
        self.blocks = nn.ModuleList(PlainBlock(channels, dilation) for dilation in (2, 3, 4))
        self.aggregation = Unit(3 * channels, pooled)
        self.attention = Unit(3 * pooled, 128)
        self.score = nn.Conv1d(128, pooled, 1)
        self.norm = nn.BatchNorm1d(2 * pooled)
        self.embedding = nn.Conv1d(2 * pooled, 192, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x.transpose(1, 2))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = self.aggregation(torch.cat(outputs, dim=1))
        mean = x.mean(dim=2, keepdim=True)
        deviation = (x - mean).pow(2).mean(dim=2, keepdim=True).clamp(min=1e-12).sqrt()
        context = torch.cat([x, mean.expand_as(x), deviation.expand_as(x)], dim=1)
        weights = torch.softmax(self.score(torch.tanh(self.attention(context))), dim=2)
        mean = (weights * x).sum(dim=2, keepdim=True)
        deviation = (weights * (x - mean).pow(2)).sum(dim=2, keepdim=True).clamp(min=1e-12).sqrt()
        return self.embedding(self.norm(torch.cat([mean, deviation], dim=1))).squeeze(2)


class PlainResidual(nn.Module):
    """Two 3x3 convolutions, plus the input."""

    def __init__(self, input_dim: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_dim, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or input_dim != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(input_dim, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(hidden)) + self.shortcut(x))


class PlainResNet34(nn.Module):
    """ResNet34 of 32 to 256 channels over the plane of features, mean and deviation, 256 outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        layers, width = [], 32
        for channels, blocks, stride in ((32, 3, 1), (64, 4, 2), (128, 6, 2), (256, 3, 2)):
            for position in range(blocks):
                layers.append(PlainResidual(width, channels, stride if position == 0 else 1))
                width = channels
        self.layers = nn.Sequential(*layers)
        self.embedding = nn.Linear(2 * 256 * DIMS // 8, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.bn1(self.conv1(x.permute(0, 2, 1).unsqueeze(1))))
        x = self.layers(x).flatten(1, 2)
        return self.embedding(torch.cat([x.mean(dim=2), torch.sqrt(x.var(dim=2) + 1e-7)], dim=1))


PLAIN = {"ecapa_tdnn": PlainEcapa, "resnet34": PlainResNet34}
EMBEDDING = {"ecapa_tdnn": 192, "resnet34": 256}


class Step:
    """A network in training."""

    def __init__(self, network: nn.Module, embedding_dim: int, device: str, bf16: bool) -> None:
        self.network = network.to(device).train()
        self.loss = build_loss("aam_softmax", embedding_dim=embedding_dim, num_classes=SPEAKERS).to(device)
        self.optimizer = torch.optim.Adam([*network.parameters(), *self.loss.parameters()], lr=1e-3)
        self.device, self.bf16 = device, bf16

    def __call__(self, x: torch.Tensor, labels: torch.Tensor) -> float:
        """Seconds of one update: of the processor on a CPU, by the clock on a GPU."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        start = clock()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            loss = self.loss(self.network(x), labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return clock() - start


def same_function(name: str, ours: nn.Module, plain: nn.Module) -> None:
    """Ours with the weights of the plain one, layer by layer in the order of their sizes, gives its outputs."""
    assert count_parameters(ours) == count_parameters(plain), name
    values, x = layers(plain), torch.randn(2, 60, DIMS)
    for target in layers(ours):
        place = next(
            i
            for i, one in enumerate(values)
            if one.weight.numel() == target.weight.numel()
            and hasattr(one, "running_mean") == hasattr(target, "running_mean")
        )
        state = {key: value.view_as(target.state_dict()[key]) for key, value in values.pop(place).state_dict().items()}
        target.load_state_dict(state)
    with torch.no_grad():
        mine, other = ours.eval()(x), plain.eval()(x)
    assert (mine - other).norm() < 1e-4 * other.norm(), f"{name}: the two are different functions"


def layers(network: nn.Module) -> list[nn.Module]:
    """All modules with weights of their own."""
    return [module for module in network.modules() if isinstance(getattr(module, "weight", None), nn.Parameter)]


def compare(name: str, device: str, bf16: bool, batch: int, repeats: int) -> None:
    """Prints the median times and the median ratio of neighbouring steps."""
    torch.manual_seed(0)
    ours, plain = build_model(name, input_dim=DIMS), PLAIN[name]()
    same_function(name, ours, plain)
    x, labels = torch.randn(batch, FRAMES, DIMS, device=device), torch.randint(SPEAKERS, (batch,), device=device)
    steps = [Step(network, EMBEDDING[name], device, bf16) for network in (ours, plain)]
    times: list[list[float]] = [[], []]
    for repeat in range(repeats + 1):
        for turn in (0, 1) if repeat % 2 else (1, 0):
            seconds = steps[turn](x, labels)
            if repeat:  # the first one allocates
                times[turn].append(seconds)
    ratio = statistics.median(mine / other for mine, other in zip(*times, strict=True))
    mine, other = (statistics.median(one) for one in times)
    precision = "bf16" if bf16 else "float32"
    line = f"{name} {precision} batch {batch}: ours {mine:.3f} s, plain {other:.3f} s, ratio {ratio:.3f}"
    if device == "cuda":
        with FlopCounterMode(display=False) as counter:
            steps[0](x, labels)
        rate = product_rate(torch.bfloat16 if bf16 else torch.float32)
        achieved = counter.get_total_flops() / mine
        line += (
            f"; {batch / mine:.0f} utterances/s, {achieved / 1e12:.1f} TFLOP/s, {achieved / rate:.0%} of a product's"
        )
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--network", choices=sorted(PLAIN), action="append")
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args()
    if options.gpu and not torch.cuda.is_available():
        parser.exit(1, "training_step.py: torch finds no GPU here\n")
    if not options.gpu:
        torch.set_num_threads(1)
        keep_freed_memory()
    for name in options.network or sorted(PLAIN):
        for bf16 in (False, True) if options.gpu else (False,):
            compare(name, "cuda" if options.gpu else "cpu", bf16, options.batch, options.repeats)


if __name__ == "__main__":
    main()
