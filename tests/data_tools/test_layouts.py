"""All four layouts: exact round trips, and writing that fails leaves nothing behind."""

import contextlib
import errno
import importlib
import resource
import signal

import numpy as np
import pytest
from PIL import Image

from data_tools import ImageSet, cifar, find
from resnet_np.errors import DataError

pytestmark = pytest.mark.nojit
CHINESE = ("飞机", "汽车", "鸟", "猫", "鹿", "狗", "青蛙", "马", "船", "卡车 $x_1$")


@pytest.fixture(params=cifar.LAYOUTS)
def layout(request):
    return request.param


@pytest.mark.parametrize("classes", [cifar.CLASSES, CHINESE], ids=["english", "chinese"])
def test_round_trip(tmp_path, layout, classes, image_set, assert_same_pictures):
    expected = image_set(train=40, test=7, classes=classes)
    for fields in ("train_images", "train_labels", "test_images", "test_labels"):
        getattr(expected, fields).setflags(write=False)
    place = cifar.write(expected, tmp_path / "out", layout)
    found = find(str(place), say=pytest.fail, progress=False)
    assert_same_pictures(found, expected)
    assert (found.layout, found.origin) == (layout, str(place))
    assert found.name == ("cifar10" if classes == cifar.CLASSES else "custom")


def test_from_each_layout_to_each(tmp_path, layout, image_set, assert_same_pictures):
    expected = image_set()
    held = cifar.read(cifar.write(expected, tmp_path / "a", layout))
    for other in cifar.LAYOUTS:
        assert_same_pictures(cifar.read(cifar.write(held, tmp_path / other, other)), expected)


def test_sorted_labels_keep_the_order_of_the_pictures(tmp_path, layout, image_set, assert_same_pictures):
    whole = image_set(train=20)
    for order in (np.argsort(whole.train_labels), np.argsort(-whole.train_labels)):
        expected = ImageSet("x", whole.classes, whole.train_images[order], whole.train_labels[order], whole.test_images,
                            whole.test_labels, "test", None)
        assert_same_pictures(cifar.read(cifar.write(expected, tmp_path / str(order[0]), layout)), expected)


def test_an_existing_target_is_refused(tmp_path, layout, image_set):
    place = cifar.write(image_set(), tmp_path / "out", layout)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(DataError, match="exists already; remove it, or choose another place") as caught:
        cifar.write(image_set(train=5), tmp_path / "out", layout)
    assert str(place) in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_place_that_is_no_folder(tmp_path, layout, image_set):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        cifar.write(image_set(), tmp_path / "file" / "out", layout)


@pytest.mark.parametrize(("train", "test"), [(16, 4), (50_005, 4), (5, 10_001)])
@pytest.mark.parametrize("kind", ["bin", "py"])
def test_what_five_batches_cannot_hold(tmp_path, train, test, kind):
    def pictures(count):
        return np.broadcast_to(np.uint8(0), (count, 3, 32, 32)), np.zeros(count, np.int64)

    with pytest.raises(DataError, match="five equal batches .* choose npz or png"):
        cifar.write(ImageSet("custom", cifar.CLASSES, *pictures(train), *pictures(test), "test", None), tmp_path, kind)
    assert not list(tmp_path.iterdir())


@contextlib.contextmanager
def full_disk():
    """Files may have 4 KB: less than a batch or an npz. Not as a fixture: pytest itself writes, before a fixture ends."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("kind", ["bin", "py", "npz"])
def test_a_full_disk_leaves_nothing(tmp_path, kind, image_set):
    with full_disk(), pytest.raises(DataError, match="cannot be written"):
        cifar.write(image_set(), tmp_path / "out", kind)
    assert not [path for path in tmp_path.rglob("*") if path.name != "out"]
    assert kind != "npz" or not (tmp_path / "out").exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_stop_in_the_middle_of_the_pictures_leaves_nothing(tmp_path, image_set, monkeypatch, error):
    save, saved = Image.Image.save, []

    def fail_at_the_tenth(picture, path):
        saved.append(path)
        if len(saved) == 10:
            raise error
        save(picture, path)

    monkeypatch.setattr(Image.Image, "save", fail_at_the_tenth)
    with pytest.raises(DataError if isinstance(error, OSError) else KeyboardInterrupt):
        cifar.write(image_set(), tmp_path / "out", "png")
    assert len(saved) == 10
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", cifar.LAYOUTS)
def test_a_kill_before_the_end_leaves_nothing_at_the_target(tmp_path, image_set, monkeypatch, kind):
    # All that a killed process has not done yet: renaming, and removing what it wrote.
    cifar_module = importlib.import_module("data_tools.cifar")
    monkeypatch.setattr(cifar_module.Path, "rename", lambda *_: pytest.fail("killed"))
    monkeypatch.setattr(cifar_module.shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(cifar_module.Path, "unlink", lambda *_: None)
    with pytest.raises(pytest.fail.Exception):
        cifar.write(image_set(), tmp_path / "out", kind)
    with pytest.raises(DataError):
        cifar.read(tmp_path / "out")
    with pytest.raises(DataError):
        cifar.read(tmp_path)
