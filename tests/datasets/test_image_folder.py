"""Folders of images are data sets; what does not fit the model or differs in size is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from job.datasets.image_folder import open_image_folder
from job.datasets.source import Opened
from job.errors import InputError
from job.manifest.datasets import ImageFolderConfig
from job.result.specs import TensorSpec
from tests.support.pictures import digits, encoded, image_source, photo, rows_of, write_digits

# All ten classes are among them.
TRAIN, TEST = range(100), range(100, 160)


def opened(folder: Path, shape: tuple[int | None, ...] = (28, 28, 1), **fields: Any) -> Opened:
    options = {
        name: fields.pop(name)
        for name in ("memory_bytes", "cache_bytes", "threads")
        if name in fields
    }
    given = {"color_mode": "grayscale", "train": {"folder": "train"}, "test": {"folder": "test"}}
    config = ImageFolderConfig.model_validate(
        {"type": "image_folder", "uri": "data/", **given, **fields}
    )
    return open_image_folder(
        image_source(folder, folder.parent / "scratch", shape, **options), config
    )


def refused(folder: Path, shape: tuple[int | None, ...] = (28, 28, 1), **fields: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(folder, shape, **fields)
    assert caught.value.hint
    return caught.value


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in train and test."""
    folder = tmp_path_factory.mktemp("digits") / "data"
    write_digits(folder / "train", TRAIN)
    write_digits(folder / "test", TEST)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(written, tmp_path / "data"))


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_are_the_images_in_the_order_of_their_names(written: Path, threads: int) -> None:
    """A PNG loses nothing; classes are sorted."""
    found = opened(written, threads=threads)
    pixels, classes = digits()
    assert found.test is not None
    for split, name in ((found.train, "train"), (found.test, "test")):
        rows = rows_of(written / name)
        np.testing.assert_array_equal(split.inputs[0][:][..., 0], pixels[rows])
        np.testing.assert_array_equal(split.targets[0], classes[rows])
        assert split.inputs[0].dtype == np.uint8
        assert split.targets[0].dtype == np.int64
    assert found.validation is None
    assert found.class_names == tuple("0123456789")
    assert found.decisions == ("10 classes, from index 0: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",)
    assert found.warnings == ()


def test_rows_are_those_of_keras(written: Path) -> None:
    """Resized, in colour; with the same indices of classes."""
    found = opened(written, (20, 24, 3), color_mode="rgb", image_size=[20, 24]).train
    wanted = keras.utils.image_dataset_from_directory(
        written / "train", image_size=(20, 24), shuffle=False, batch_size=128, verbose=False
    )
    ((pixels, classes),) = wanted.take(1)
    np.testing.assert_array_equal(found.inputs[0][:], pixels.numpy())
    np.testing.assert_array_equal(found.targets[0], classes.numpy())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("memory", "cache"), [(0, 1 << 24), (10_000, 30_000), (0, 0)])
def test_rows_without_room_are_read_or_decoded_again(
    written: Path, memory: int, cache: int, threads: int
) -> None:
    """From the scratch disk, partly from it, or all from the images."""
    kept = opened(written).train.inputs[0][:]
    rows = opened(written, memory_bytes=memory, cache_bytes=cache, threads=threads).train.inputs[0]
    assert not isinstance(rows, np.ndarray)
    np.testing.assert_array_equal(rows[:], kept)
    chosen = np.random.default_rng(0).permutation(len(kept))[:17]
    np.testing.assert_array_equal(rows[chosen], kept[chosen])
    assert rows[5:5].shape == (0, 28, 28, 1)


def test_a_file_that_changes_while_it_is_decoded_again_is_refused(folder: Path) -> None:
    """Another size would not be a row."""
    rows = opened(folder, memory_bytes=0, cache_bytes=0).train.inputs[0]
    first = min((folder / "train").rglob("*.png"))
    first.write_bytes(encoded(digits()[0][0][:1, :1], "PNG"))
    with pytest.raises(InputError, match="1 x 1"):
        rows[0:3]
    first.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        rows[0:3]
    assert caught.value.where == str(first)


def test_a_model_without_channels_gets_none(written: Path) -> None:
    """Which is said."""
    found = opened(written, (28, 28))
    assert found.train.inputs[0].shape == (100, 28, 28)
    assert "no axis of channels" in found.decisions[0]


def test_images_of_one_size_fit_a_model_of_any_size(written: Path) -> None:
    """Also where preprocessing gives rows their shape."""
    assert opened(written, (None, None, 1)).train.inputs[0].shape == (100, 28, 28, 1)
    shaped = opened(written, (784,), preprocess=[{"shape": [784]}])
    assert shaped.train.inputs[0].shape == (100, 28, 28, 1)


@pytest.mark.parametrize("shape", [(None, None, 1), (28, 28, 1)])
def test_mixed_sizes_are_refused_with_both_names_and_sizes(
    folder: Path, shape: tuple[int | None, ...]
) -> None:
    """The hint is image_size; with it, they are one size."""
    path = folder / "train" / "9" / "zebra.PNG"
    path.write_bytes(encoded(photo()[..., 0], "PNG"))
    error = refused(folder, shape)
    first = min(str(it.relative_to(folder)) for it in (folder / "train").rglob("*.png"))
    for part in ("427 x 640", "28 x 28", "train/9/zebra.PNG", first):
        assert part in error.what
    assert error.where == str(path)
    assert "image_size" in error.hint
    assert opened(folder, image_size=[28, 28]).train.inputs[0].shape == (101, 28, 28, 1)


def test_images_of_another_size_than_the_models_are_not_resized(folder: Path) -> None:
    """Nor those of another split than the first one's."""
    error = refused(folder, (32, None, 1))
    assert "28 x 28" in error.what
    assert "the model's input x is 32 x any" in error.what
    shutil.rmtree(folder / "test")
    (folder / "test" / "3").mkdir(parents=True)
    (folder / "test" / "3" / "a.png").write_bytes(encoded(digits()[0][0][:20], "PNG"))
    error = refused(folder, (None, None, 1))
    assert "test/3/a.png is of 20 x 28" in error.what
    assert "train/0/" in error.what


@pytest.mark.parametrize(
    ("shape", "fields", "where"),
    [
        ((28, 28, 3), {}, "dataset.color_mode"),
        ((28, 28), {"color_mode": "rgb"}, "dataset.color_mode"),
        ((784,), {}, "dataset.type"),
        ((28, 28, 1), {"image_size": [28, 29]}, "dataset.image_size"),
    ],
)
def test_a_setting_that_does_not_fit_the_model_is_refused(
    written: Path, shape: tuple[int, ...], fields: dict[str, Any], where: str
) -> None:
    """Before any image is read."""
    error = refused(written, shape, **fields)
    assert error.where == where
    assert str(shape) in error.what


@pytest.mark.parametrize("kind", ["input", "output"])
def test_a_model_of_several_inputs_or_outputs_is_refused(
    kind: str, written: Path, tmp_path: Path
) -> None:
    """Several outputs are good where there are no labels."""
    source = image_source(written, tmp_path / "scratch")
    specs = source.inputs if kind == "input" else source.outputs
    assert isinstance(specs, list)
    specs.append(TensorSpec("second", (3,), "float32"))
    fields = {"type": "image_folder", "uri": "data/", "color_mode": "grayscale"}
    config = ImageFolderConfig.model_validate({**fields, "train": {"folder": "train"}})
    with pytest.raises(InputError) as caught:
        open_image_folder(source, config)
    assert f"2 {kind}s" in caught.value.what
    assert "second" in caught.value.what
    if kind == "output":
        split = {"folder": "train", "labels": None}
        config = ImageFolderConfig.model_validate({**fields, "train": split})
        assert open_image_folder(source, config).train.targets == ()


def test_bad_images_are_left_out_up_to_a_number(folder: Path) -> None:
    """With their labels; each is listed with its reason, one more is an error that lists them."""
    (folder / "train" / "0" / "00999.png").write_bytes(b"no image")
    good = folder / "train" / "7"
    path = min(good.iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    found = opened(folder, skip_bad=2, threads=2)
    pixels, classes = digits()
    rows = [row for row in rows_of(folder / "train") if row != int(path.stem)]
    rows.remove(999)
    np.testing.assert_array_equal(found.train.inputs[0][:][..., 0], pixels[rows])
    np.testing.assert_array_equal(found.train.targets[0], classes[rows])
    assert len(found.warnings) == 2
    assert "00999.png is left out: The file is no PNG" in found.warnings[0]
    assert str(path) in found.warnings[1]
    one = refused(folder, skip_bad=1)
    assert "More than 1 image can't" in one.what
    assert "00999.png" in one.what
    assert str(path) in one.what
    none = refused(folder)
    assert "skip_bad" in none.hint
    assert none.where.endswith("00999.png")


def test_a_split_of_bad_images_only_is_refused(folder: Path) -> None:
    """However many may be left out."""
    for path in (folder / "test").rglob("*.png"):
        path.write_bytes(b"")
    assert "None of the 60 images of the test split" in refused(folder, skip_bad=100).what


def test_a_warning_says_that_16_bits_are_cut(folder: Path) -> None:
    """As Keras cuts them, silently."""
    path = min((folder / "train" / "7").iterdir())
    path.write_bytes(encoded(digits()[0][0].astype(np.uint16) * 257, "PNG"))
    (warning,) = opened(folder).warnings
    assert "16 bits per channel (PNG; here 1)" in warning


def test_images_of_two_splits_and_lacking_classes_are_warned_of(folder: Path) -> None:
    """Both are likely mistakes."""
    found = opened(folder, test={"folder": "train"})
    assert found.warnings == ("images that are in both the train and test splits: 100",)
    shutil.rmtree(folder / "test" / "4")
    assert opened(folder).warnings == ("test: there are no images of 4",)


@pytest.mark.parametrize("names", [None, [*"0123456789", "other"]])
def test_more_classes_than_the_model_has_outputs_are_refused(
    names: list[str] | None, folder: Path
) -> None:
    """A folder that is no class; the model has ten outputs. All names are in the error."""
    (folder / "train" / "other").mkdir()
    (folder / "train" / "other" / "1.png").write_bytes(encoded(digits()[0][0], "PNG"))
    error = refused(folder, class_names=names)
    assert "11 classes, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, other;" in error.what
    assert "y has 10 values" in error.what
    assert error.where == ("dataset.class_names" if names else "dataset.train.labels")
    assert "class_names" in error.hint


@pytest.mark.parametrize("shape", [(1,), (None,), (11,)])
def test_a_model_of_one_output_or_of_an_open_size_has_any_classes(
    shape: tuple[int | None, ...], folder: Path, tmp_path: Path
) -> None:
    """Whether labels fit these is seen by the objective."""
    (folder / "train" / "other").mkdir()
    (folder / "train" / "other" / "1.png").write_bytes(encoded(digits()[0][0], "PNG"))
    source = replace(
        image_source(folder, tmp_path / "scratch"), outputs=[TensorSpec("y", shape, "float32")]
    )
    config = ImageFolderConfig.model_validate(
        {
            "type": "image_folder",
            "uri": "data/",
            "color_mode": "grayscale",
            "train": {"folder": "train"},
        }
    )
    assert len(open_image_folder(source, config).class_names) == 11


def test_an_image_larger_than_max_pixels_is_refused(written: Path) -> None:
    """By its header."""
    assert len(opened(written, max_pixels=784).train.inputs[0]) == 100
    assert "at most 783" in refused(written, max_pixels=783).what
