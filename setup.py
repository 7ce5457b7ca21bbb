"""Packaging of spkid. Every module of spkid/bin becomes a console command of that name, with dashes."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
TOOLS = sorted(path.stem for path in (ROOT / "spkid" / "bin").glob("[a-z]*.py"))

setup(
    name="spkid",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "spkid" / "__init__.py").read_text(encoding="utf-8")).group(1),
    description="A Kaldi-style recipe pipeline for speaker recognition",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["spkid", "spkid.*"]),
    entry_points={"console_scripts": [f"{name.replace('_', '-')} = spkid.bin.{name}:main" for name in TOOLS]},
    # Names only: requirements.txt holds the versions everything was tested with.
    install_requires=[
        "numpy",
        "scipy",
        "pandas",
        "kaldiio",
        "soundfile",
        "array-api-compat",
        "torch",
        "torchaudio",
        "safetensors",
        "tensorboard",
        "plumbum",
        "PyYAML",
        "tqdm",
        "matplotlib",
    ],
    extras_require={"mini": ["espeakng-loader"], "export": ["onnx", "onnxruntime", "onnxscript"]},
)
