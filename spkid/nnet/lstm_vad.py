"""Voice activity detection by LSTM, after a laboratory sheet of which no code is public: the counts are the proof.

LSTM(20 MFCC, 256), affine, sigmoid: 284,929 parameters; bidirectional 569,857; two layers 811,265; two bidirectional
layers 2,146,817.
"""

import torch
from torch import nn

from spkid.nnet.tdnn import check_frames


class LstmVad(nn.Module):
    """(batch, frames, input_dim) -> probability of speech (batch, frames); speech is what exceeds 0.5.

    channels: width of a layer, in each direction.
    """

    def __init__(
        self, input_dim: int = 20, channels: int = 256, num_layers: int = 1, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.min_frames = 1
        self.lstm = nn.LSTM(input_dim, channels, num_layers, batch_first=True, bidirectional=bidirectional)
        self.output = nn.Linear(channels * (2 if bidirectional else 1), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_frames(x, self.input_dim, self.min_frames)
        return torch.sigmoid(self.output(self.lstm(x)[0])).squeeze(2)
