"""What users are told works: the README's library example, and an installed wheel without the source tree."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]


def test_the_library_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands, but for fewer epochs and smaller batches."""
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    for full, short in (("range(100)", "range(2)"), ("batch_size=64", "batch_size=4")):
        assert full in block
        block = block.replace(full, short)
    generator = np.random.default_rng(0)
    (tmp_path / "photos" / "any").mkdir(parents=True)
    for number in range(9):
        pixels = generator.integers(0, 256, (64, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / "any" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), namespace)
    loss = namespace["loss"]
    assert 0 < float(loss.detach()) < 2  # type: ignore[attr-defined]
    weights = torch.load("encoder.pt", weights_only=True)
    assert weights.keys() == timm.create_model("resnet18", num_classes=0, global_pool="").state_dict().keys()


@pytest.mark.slow
def test_a_wheel_brings_its_configurations(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT], check=True, timeout=300)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", tmp_path / "site", wheel], check=True, timeout=300)
    program = (
        "import benchmark, sys; assert 'site' in benchmark.__file__, benchmark.__file__\n"
        "sys.argv = ['bench', 'list', 'experiments']\nfrom benchmark.cli.main import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "quickstart" in done.stdout
