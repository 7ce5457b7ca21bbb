"""What training tells: a progress bar, train.log, metrics.jsonl, TensorBoard events and curves.png."""

import json
import shlex
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spkid.kaldi.io import atomic_write

SECONDS_BETWEEN_LINES = 30.0


class Journal:
    """The record of one training in its directory.

    history: one dictionary an epoch, and all of metrics.jsonl. Of all `updates`, `done` are behind us.
    """

    def __init__(self, directory: Path, history: list[dict[str, Any]], updates: int, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.directory, self.history = directory, history
        self._drawn = time.monotonic()
        self._log = open(directory / "train.log", "a", encoding="utf-8", newline="\n")  # noqa: SIM115 (closed below)
        self._log.write(f"# {shlex.join(sys.argv)}\n# {socket.gethostname()} {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        self._events = SummaryWriter(str(directory / "tensorboard"), purge_step=done or None)
        self._write_history()
        self._bar = ProgressBar(self.say, updates, done)

    def say(self, text: str) -> None:
        """A line in train.log and on the terminal."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)  # above the bar
        else:
            print(text, file=sys.stderr, flush=True)
        self._log.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        self._log.flush()

    def scalars(self, update: int, values: dict[str, float]) -> None:
        """Values for TensorBoard."""
        for name, value in values.items():
            self._events.add_scalar(name, value, update)

    def epoch(self, values: dict[str, Any]) -> None:
        """The end of an epoch, `values` being the last of the history: metrics.jsonl, a line of text, the curves."""
        self._write_history()
        self.say("epoch {epoch}: ".format(**values) + _spell(values))
        shown = {name: value for name, value in values.items() if isinstance(value, float)}
        self.scalars(values["updates"], {f"epoch/{name}": value for name, value in shown.items()})
        self._events.flush()
        if time.monotonic() - self._drawn >= SECONDS_BETWEEN_LINES:
            self._draw()

    def progress(self, epoch: int, loss: float, accuracy: float, lr: float, utterances: float) -> None:
        """One more update of the weights; loss and accuracy are means over the epoch so far."""
        self._bar.update(epoch, loss, accuracy, lr, utterances)

    def _draw(self) -> None:
        draw_curves(self.history, self.directory / "curves.png")
        self._drawn = time.monotonic()

    def close(self) -> None:
        self._bar.close()
        if self.history:
            self._draw()
        self._events.close()
        self._log.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_history(self) -> None:
        with atomic_write(self.directory / "metrics.jsonl") as stream:
            stream.writelines(json.dumps(values) + "\n" for values in self.history)


class Silence:
    """The journal of a process that is not the first: it says and writes nothing."""

    def say(self, text: str) -> None: ...

    def scalars(self, update: int, values: dict[str, float]) -> None: ...

    def epoch(self, values: dict[str, Any]) -> None: ...

    def progress(self, epoch: int, loss: float, accuracy: float, lr: float, utterances: float) -> None: ...

    def __enter__(self) -> "Silence":
        return self

    def __exit__(self, *_: object) -> None: ...


class ProgressBar:
    """Loss, accuracy, learning rate, utterances a second and time left: a bar on a terminal, else a line at times."""

    def __init__(self, say: Callable[[str], None], updates: int, done: int) -> None:
        self._say, self._updates, self._done = say, updates, done
        self._start = self._last = time.monotonic()
        self._first, self._utterances = done, 0.0
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=updates, initial=done, unit="update", dynamic_ncols=True, leave=False)

    def update(self, epoch: int, loss: float, accuracy: float, lr: float, utterances: float) -> None:
        """One more update of the weights; loss and accuracy are means over the epoch so far."""
        self._done += 1
        self._utterances += utterances
        now = time.monotonic()
        rate = self._utterances / max(now - self._start, 1.0e-9)
        if self._bar is not None:
            self._bar.set_description(f"epoch {epoch}", refresh=False)
            self._bar.set_postfix_str(f"loss {loss:.3f} acc {accuracy:.3f} lr {lr:.2e} {rate:.0f} utt/s", refresh=False)
            self._bar.update()
        elif now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            left = (now - self._start) / (self._done - self._first) * (self._updates - self._done)
            self._say(
                f"epoch {epoch}: update {self._done} of {self._updates}, loss {loss:.3f}, accuracy {accuracy:.3f}, "
                f"lr {lr:.2e}, {rate:.0f} utterances/s, about {left:.0f} s left"
            )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _spell(values: dict[str, Any]) -> str:
    parts = [f"loss {values['train_loss']:.4f}, accuracy {values['train_accuracy']:.4f}", spell_evaluation(values)]
    parts.append(f"lr {values['lr']:.2e}, {values['utterances_per_second']:.0f} utterances/s")
    return ", ".join(filter(None, parts))


def spell_evaluation(values: dict[str, Any]) -> str:
    """What was measured on held-out utterances and development trials, as a line; empty where nothing was."""
    parts = []
    if "valid_loss" in values:
        parts.append(f"validation loss {values['valid_loss']:.4f}, accuracy {values['valid_accuracy']:.4f}")
    if "dev_eer" in values:
        parts.append(f"development EER {100 * values['dev_eer']:.2f}%")
    return ", ".join(parts)


def draw_curves(history: list[dict[str, Any]], path: Path) -> None:
    """Loss, accuracy, learning rate and (where there is one) development EER over the epochs, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels = [
        ("loss", {"train_loss": "training", "valid_loss": "held-out utterances"}, 1.0),
        ("accuracy without margin, %", {"train_accuracy": "training", "valid_accuracy": "held-out utterances"}, 100.0),
        ("learning rate", {"lr": "at the end of the epoch"}, 1.0),
        ("EER of cosine scores, %", {"dev_eer": "development trials"}, 100.0),
    ]
    panels = [panel for panel in panels if any(name in values for values in history for name in panel[1])]
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, curves, scale) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for name, label in curves.items():
            points = [(values["epoch"], scale * values[name]) for values in history if name in values]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=label)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    with atomic_write(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=110)
