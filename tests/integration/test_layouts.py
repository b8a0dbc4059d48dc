"""`bench run cpu --data ANYTHING`: every layout, what is said of it, what is recorded; and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import made_layouts
import pytest
from made_layouts import CLASSES, LAYOUTS, encoded, images, put, split, table, tiny_imagenet, unsplit

from benchmark.data.datasets import load_dataset
from benchmark.data.spec import DatasetSpec
from benchmark.errors import UserError
from benchmark.records.folder import find_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_QUICK = (
    "--methods",
    "random_init",
    "--set",
    "batch_size=8",
    "--set",
    "evaluation.images=null",
    "--set",
    "backbone.width=8",
)


def _made(name: str, folder: Path) -> Path:
    if LAYOUTS[name].needs_arrow:
        pytest.importorskip("pyarrow", reason="needs the extra arrow")
    return LAYOUTS[name].make(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_one_command_runs_on_any_layout_and_records_what_it_found(bench: Any, tmp_path: Path, name: str) -> None:
    path = _made(name, tmp_path / name)
    code, printed = bench("run", "cpu", "--data", path, "--out", tmp_path / "out", *_QUICK)
    assert code == 0, printed
    assert LAYOUTS[name].says in printed
    assert "train_images is 20,000; there are 5" in printed
    ((_, record),), _ = find_records([tmp_path / "out"])
    assert record.dataset.layout and record.dataset.layout in LAYOUTS[name].says + printed
    assert str(tmp_path) not in record.model_dump_json()  # no paths of this machine
    assert record.metrics is not None and max(s.linear_top1 for s in record.metrics.encoders.values()) > 50


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_is_described_without_training(bench: Any, tmp_path: Path, name: str) -> None:
    path = _made(name, tmp_path / name)
    if name == "hdf5":
        path = path.with_name("photos-train.h5")
    code, printed = bench("data", "inspect", path)
    assert code == 0, printed
    assert (LAYOUTS[name].says if name != "hdf5" else "ant 20, bee 20, cat 20") in printed


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"hdf5"}))
def test_files_that_a_layout_is_converted_to_are_the_same_dataset(bench: Any, tmp_path: Path, name: str) -> None:
    path = _made(name, tmp_path / name)
    code, printed = bench("data", "convert", path, tmp_path / "x.h5")
    assert code == 0, printed
    whole = load_dataset(DatasetSpec(name="folder", size=32), path)
    file = load_dataset(DatasetSpec(name="folder", size=32), tmp_path / "x.h5")
    assert whole.manifest == file.manifest


@pytest.mark.parametrize("name", sorted(set(LAYOUTS) - {"hdf5"}))
def test_a_bad_image_is_named_in_any_layout_and_may_be_skipped(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spec, sound, whole = DatasetSpec(name="folder", size=32), made_layouts.encoded, made_layouts.images

    def truncated(label: int, number: int, *shape: Any, **kind: Any) -> bytes:
        return sound(label, number, *shape, **kind)[: 200 if (label, number) == (1, 3) else None]

    monkeypatch.setattr(made_layouts, "encoded", truncated)
    path = _made(name, tmp_path / name)
    with pytest.raises(UserError, match="1 of 78 images cannot be used") as refused:
        load_dataset(spec, path)
    line = str(refused.value).splitlines()[1]
    assert ": not a readable image (" in line and str(tmp_path) not in line
    code, printed = bench("data", "verify", path)
    total = 78 + (name in ("split", "tiny-imagenet", "ilsvrc"))  # an image of a test split without labels
    assert code == 1 and f"{total - 1} of {total} images are sound" in printed, printed
    assert f"bad: {line.strip()}" in printed
    skipped = load_dataset(spec, path, skip_bad=True)
    assert [f"  {image}" for image in skipped.left_out] == [line]
    assert str(tmp_path) not in skipped.record().model_dump_json()
    code, printed = bench("data", "convert", path, tmp_path / "x.h5", "--on-error", "skip")
    assert code == 0, printed
    assert load_dataset(spec, tmp_path / "x.h5").manifest == skipped.manifest
    monkeypatch.setattr(made_layouts, "encoded", sound)

    def fewer(split: str, *shape: Any, **kind: Any) -> Iterator[tuple[int, str, bytes]]:
        left_out = sound(1, 3, *shape, **kind)
        return (image for image in whole(split, *shape, **kind) if image[2] != left_out)

    monkeypatch.setattr(made_layouts, "images", fewer)
    assert load_dataset(spec, _made(name, tmp_path / "again")).manifest == skipped.manifest


@pytest.mark.parametrize("test", ["test", "val", "validation", "valid"])
def test_the_test_splits_name_changes_no_digest(tmp_path: Path, test: str) -> None:
    data = load_dataset(DatasetSpec(name="folder"), split(tmp_path, test=test, kind="BMP"))
    # As it was before other layouts were read.
    assert data.manifest.digest == "511aa45a1ccb2ca755c6f185e6a0b7ad6c5bafb05fdcf909753348131a2ee118"
    assert data.manifest.counts == {"train": 54, "validation": 6, "test": 18}


def _single(root: Path) -> Path:
    put(root / "ant" / "0.png", encoded(0, 0))
    return root


def _missing_paths(root: Path) -> Path:
    path = table(root)
    (root / "images" / "train-3.png").unlink()
    (root / "images" / "test-1.png").unlink()
    return path


def _changed(old: str, new: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        path = table(root)
        path.write_text(path.read_text().replace(old, new, 1))
        return path

    return make


def _two_layouts(root: Path) -> Path:
    table(unsplit(root) / "more")
    put(root / "labels.csv", "path,label\nant/0.png,ant\nbee/20.png,bee\n")
    return root


def _no_annotations(root: Path) -> Path:
    (tiny_imagenet(root) / "val" / "val_annotations.txt").unlink()
    return root


def _less_annotated(root: Path) -> Path:
    path = tiny_imagenet(root) / "val" / "val_annotations.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[2:]))
    return root


def _one_level_too_high(root: Path) -> Path:
    unsplit(root / "photos")
    put(root / "papers" / "notes.txt")
    return root


def _flat(root: Path) -> Path:
    put(root / "0.png", encoded(0, 0))
    return root


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root.mkdir() or root, "has nothing; expected images in one of these layouts\n  class folders: "),
        (lambda root: root, "images: no such folder or file"),
        (_single, "has a single class ('ant'); at least 2"),
        (_missing_paths, "images/train-3.png: cannot be read (No such file or directory)"),
        (_changed("train-1.png", "train-0.png"), "row 3: 'train-0.png' appears twice (first in "),
        (_changed("train-1.png,ant,", "train-1.png,,"), "row 3 ('images/train-1.png') has no label"),
        (_changed("train-1.png,ant,train", "train-1.png,ant,trian"), "row 3 has the split 'trian'; choices: train"),
        (_changed("label,split", "lable,part"), "labels.csv has no column of labels (label, labels, class"),
        (_changed("test-0.png,ant", "test-0.png,dog"), "test has the class 'dog', which train does not have"),
        (_two_layouts, "holds several layouts of images; choose one. class folders without a split: --data "),
        (_no_annotations, "has Tiny-ImageNet's layout, but val/val_annotations.txt with the labels of val/images/"),
        (_less_annotated, "has no label for 2 of the 18 images in"),
        (_one_level_too_high, "has one folder with images, photos/, which is a dataset: --data "),
        (_flat, "holds images without labels; expected class folders, or a CSV file"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_with_what_is_nearest(
    bench: Any, tmp_path: Path, make: Callable[[Path], Path], message: str
) -> None:
    path = make(tmp_path / "images")
    code, printed = bench("run", "cpu", "--data", path, "--out", tmp_path / "out", *_QUICK)
    assert code == 2 and message in printed, printed
    assert "Traceback" not in printed and not (tmp_path / "out").exists()


def test_what_is_left_out_is_counted_and_named(bench: Any, tmp_path: Path) -> None:
    root = split(tmp_path / "images", test="test")
    for place in ("train/ant/notes.txt", "train/bee/raw.heic", "train/ant/.DS_Store", "train/ant/Thumbs.db"):
        put(root / place, "no image")
    put(root / "__MACOSX" / "train" / "ant" / "._0.png", "no image")
    put(root / "train" / "__MACOSX" / "0.png", "no image")
    for split_name in ("val", "validation"):
        for name in CLASSES:
            put(root / split_name / name / "0.png", encoded(0, 9))
    code, printed = bench("data", "inspect", root)
    assert code == 0, printed
    assert "54 train, 6 validation, 18 test images" in printed
    assert (
        "left out: 2 files of types that are not read here (1 .txt and 1 .heic), such as train/ant/notes.txt" in printed
    )
    assert "val/ is left alone: the validation split is cut from train/" in printed


def test_every_type_of_image_is_read(bench: Any, tmp_path: Path) -> None:
    """TIFF, GIF, JFIF, BMP, AVIF and the others are images like JPEG and PNG."""
    from PIL import features

    kinds = {"tif": "TIFF", "tiff": "TIFF", "gif": "GIF", "jfif": "JPEG", "bmp": "BMP", "webp": "WEBP", "ppm": "PPM"}
    kinds |= {"JPG": "JPEG", "jpeg": "JPEG"} | ({"avif": "AVIF"} if features.check("avif") else {})
    for label, name in enumerate(("ant", "bee")):
        for number, (ending, kind) in enumerate(kinds.items()):
            put(tmp_path / "images" / name / f"{number}.{ending}", encoded(label, number, kind=kind))
    data = load_dataset(DatasetSpec(name="folder"), tmp_path / "images")
    assert sum(data.manifest.counts.values()) == 2 * len(kinds)
    assert not [note for note in data.notes if note.startswith("left out")]
    code, printed = bench("data", "convert", tmp_path / "images", tmp_path / "x.h5")
    assert code == 0, printed


def test_linked_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    root = split(tmp_path / "images", test="test")
    for number, (_, name, content) in enumerate(images("train")):
        put(tmp_path / "elsewhere" / name / f"more-{number}.png", content + b"\0")
    (root / "train" / "ant" / "more").symlink_to(tmp_path / "elsewhere" / "ant")
    (root / "train" / "ant" / "more" / "back").symlink_to(root / "train" / "ant")
    (root / "train" / "ant" / "up").symlink_to(root)
    data = load_dataset(DatasetSpec(name="folder"), root)
    assert data.manifest.counts == {"train": 72, "validation": 8, "test": 18}
    (tmp_path / "linked" / "train").mkdir(parents=True)
    (tmp_path / "linked" / "test").symlink_to(root / "test")
    for name in CLASSES:
        (tmp_path / "linked" / "train" / name).symlink_to(root / "train" / name)
    assert load_dataset(DatasetSpec(name="folder"), tmp_path / "linked").manifest.digest == data.manifest.digest


def test_the_drawn_test_split_depends_on_the_images_and_the_seed_alone(tmp_path: Path) -> None:
    first = load_dataset(DatasetSpec(name="folder"), unsplit(tmp_path / "a"))
    for path in unsplit(tmp_path / "b").rglob("*.png"):
        path.rename(path.with_name(f"x{99 - int(path.stem)}.png"))
    again = load_dataset(DatasetSpec(name="folder"), tmp_path / "b")
    assert again.manifest == first.manifest
    assert first.test.labels.bincount().tolist() == [5, 5, 5]
    other = load_dataset(DatasetSpec(name="folder", split_seed=1), tmp_path / "b")
    assert other.manifest.digest != first.manifest.digest
    half = load_dataset(DatasetSpec(name="folder", test_share=0.5), tmp_path / "b")
    assert half.manifest.counts["test"] == 39
    assert "there is no labelled test split: 20% of each class became one, drawn with seed 0" in again.notes[0]


def test_a_smaller_dataset_is_the_same_run_as_all_of_it(bench: Any, tmp_path: Path) -> None:
    path = split(tmp_path / "images", test="test")
    for settings in ("dataset.train_images=null", "dataset.train_images=20000"):
        arguments = ("--data", path, "--out", tmp_path / "out", *_QUICK, "--set", settings)
        code, printed = bench("run", "cpu", *arguments)
        assert code == 0, printed
    assert "nothing to do" in printed
    record = json.loads(next((tmp_path / "out").rglob("record.json")).read_text())
    assert record["dataset"]["counts"] == {"train": 54, "validation": 6, "test": 18}
