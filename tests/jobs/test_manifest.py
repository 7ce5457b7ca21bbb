"""Every step says what became of each id it was given, and which files it answers for."""

import ast
import hashlib
from pathlib import Path

import pytest

from spkid.jobs.manifest import manifest
from tests.shared import REPOSITORY

# Steps about one file, with no ids in them.
ABOUT_NO_IDS = {"import_model.py": "a checkpoint", "export_onnx.py": "a network"}
PROGRAMS = sorted(path for path in (REPOSITORY / "steps").rglob("*.py") if "Program" in path.read_text())


def calls(path: Path, name: str) -> list[ast.Call]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == name]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_every_step_leaves_a_manifest_and_names_its_outputs(path):
    made, finished = calls(path, "Step"), calls(path, "step.finish")
    assert made, f"{path.name} does not keep the contract of a step (spkid.jobs.Step)"
    assert finished
    for call in made:
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        outputs = named.get("outputs", call.args[4] if len(call.args) > 4 else None)
        assert outputs is not None, f"{path.name}: a rerun would not notice that an output changed"
        assert ast.unparse(outputs) not in ("[]", "()")
    for call in finished:
        ids = call.args[1] if len(call.args) > 1 else None
        said = ids is not None and ast.unparse(ids.func).rpartition(".")[2] in ("manifest", "trial_manifest")
        assert said or path.name in ABOUT_NO_IDS, f"{path.name}: step.finish(summary, manifest(expected, failed))"


def test_there_are_steps_to_look_at():
    assert len(PROGRAMS) >= 16
    assert {path.name for path in PROGRAMS} >= ABOUT_NO_IDS.keys()


def test_ids_are_counted_and_their_checksums_are_those_of_sorted_lists():
    found = manifest(["b", "é", "a", "c"], {"b": "no frames"})
    assert (found["expected"], found["done"], found["failed"]) == (4, 3, {"b": "no frames"})
    assert found["expected_sha256"] == hashlib.sha256("a\nb\nc\né\n".encode()).hexdigest()
    assert found["done_sha256"] == hashlib.sha256("a\nc\né\n".encode()).hexdigest()
    assert manifest(["c", "a", "é"])["expected_sha256"] == found["done_sha256"]
