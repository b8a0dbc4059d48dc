"""What users are told works: the README's library example, and an installed wheel without the source tree."""

from __future__ import annotations

import os
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


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which this suite's wheel is installed, without its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder / "wheels", ROOT], check=True, timeout=300)
    (wheel,) = (folder / "wheels").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, timeout=300)
    return folder / "site"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with a package `methods` of the user's own, which says so when it is imported."""
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__init__.py").write_text("raise RuntimeError('the wrong methods')")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("start", [["bin/bench"], ["-m", "benchmark"]], ids=["bench", "python -m benchmark"])
def test_a_wheel_works_in_a_folder_with_another_methods(installed: Path, elsewhere: Path, start: list[str]) -> None:
    program = [str(installed / start[0])] if len(start) == 1 else start
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    for listed, name in (("experiments", "quickstart"), ("methods", "vicreg"), ("backbones", "resnet18")):
        done = subprocess.run(
            [sys.executable, *program, "list", listed],
            cwd=elsewhere, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert name in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["analysis/published.yaml", "records/invalidations.yaml", "runs/bands.yaml", "report/templates/index.html.j2"],
)
def test_a_wheel_has_the_files_that_modules_read(installed: Path, name: str) -> None:
    assert (installed / "benchmark" / name).is_file()


def test_another_methods_that_is_already_imported_is_named(elsewhere: Path) -> None:
    (elsewhere / "methods" / "__init__.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": f"{elsewhere}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", "import methods, benchmark"],
        cwd=elsewhere, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"another package named 'methods' ({elsewhere / 'methods'}) was imported before this suite's" in done.stderr
