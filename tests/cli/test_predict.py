"""Photos and a net in, classes out: as a person reads it, as a program reads it, and with every accident that photos have."""

import json
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from data_tools import shapes10
from resnet_np import fonts
from resnet_np.cli import columns, main
from resnet_np.data import CIFAR10
from resnet_np.models import Checkpoint, resnet_cifar, save_checkpoint
from resnet_np.training import novelty

CLASSES = ("circle", "ring", "飞机", "square", "star", "cross", "heart", "crescent", "arrow", f"a [31m {'very ' * 20}long name")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's folder whose best.npz knows what is typical; beside it one that does not."""
    folder = tmp_path_factory.mktemp("run")
    shapes, net = shapes10.make(), resnet_cifar(8, seed=2)
    typical = novelty.learn(net, CIFAR10, shapes.train_images[:400], shapes.train_images[400:700], image_size=32, seed=0)
    save_checkpoint(folder / "best.npz", Checkpoint(net, CIFAR10, CLASSES, typical=typical))
    save_checkpoint(folder / "plain.npz", Checkpoint(net, CIFAR10, CLASSES))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for k, image in enumerate(shapes10.make().test_images[:3]):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"shape{k}.png")
    Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(folder / "noise.png")
    Image.fromarray(rng.integers(0, 256, (90, 120, 4), dtype=np.uint8), "RGBA").save(folder / "rgba.png")
    Image.fromarray(rng.integers(0, 65536, (50, 40), dtype=np.uint16)).save(folder / "grey16.png")
    Image.new("P", (1, 1)).save(folder / "one.gif")
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("a photo")
    (folder / "cut.png").write_bytes((folder / "noise.png").read_bytes()[:2000])
    (folder / "huge.png").write_bytes(huge())
    (folder / "folder").mkdir()
    return folder


def huge():
    """A PNG of 10,000 x 10,000 black pixels, 100 kB."""
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    header, pixels = (10_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0]), zlib.compress(bytes(10_001 * 10_000), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def predict(*arguments):
    return main(["predict", *map(str, arguments)])


def test_a_table_for_each_photo(run, photos, capsys):
    assert predict(run, photos / "shape0.png", photos / "noise.png", "--top", "10") == 0
    out, err = capsys.readouterr()
    assert not err and "10 classes, pictures of 32 x 32 pixels" in out and "\x1b" not in out
    blocks = out.split("\n\n")[1:]
    assert [block.splitlines()[0] for block in blocks] == [f"{photos}/shape0.png  (32 x 32)", f"{photos}/noise.png  (120 x 90)"]
    for block in blocks:
        lines = block.splitlines()[1:11]
        assert len({columns.columns(line[:line.index("%")]) for line in lines}) == 1  # aligned, Chinese names too
        assert all(columns.columns(line) <= 85 for line in lines)
        percents = [float(line.partition("%")[0].split()[-1]) for line in lines]
        assert percents == sorted(percents, reverse=True) and sum(percents) == pytest.approx(100, abs=0.6)
    assert "caution: unlike the training pictures" in blocks[1] and "caution" not in blocks[0]


def test_json(run, photos, capsys):
    names = [photos / name for name in ("shape0.png", "noise.png", "rgba.png", "grey16.png", "one.gif", "text.jpg")]
    assert predict(run, *names, "--json", "--top", "3") == 2
    out, err = capsys.readouterr()
    answers = json.loads(out)["photos"]
    assert [answer["file"] for answer in answers] == [str(name) for name in names] and err.count("\n") == 1
    assert [answer["unlike"] for answer in answers] == [False, True, True, True, True, None]
    for answer in answers[:5]:
        assert answer["error"] is None and len(answer["top"]) == 3 and {entry["class"] for entry in answer["top"]} <= set(CLASSES)
    assert answers[5]["top"] == [] and "text.jpg: is no picture" in answers[5]["error"]
    assert predict(run, photos / "shape0.png", "--json", "--top", "1000") == 0
    top = json.loads(capsys.readouterr().out)["photos"][0]["top"]
    assert len(top) == 10 and sum(entry["probability"] for entry in top) == pytest.approx(1, abs=1e-9)


def test_six_views_are_reported_beside_the_one(run, photos, capsys):
    assert predict(run, photos / "shape0.png", "--top", "10", "--json") == 0
    alone = json.loads(capsys.readouterr().out)["photos"][0]
    assert predict(run, photos / "shape0.png", "--top", "10", "--json", "--views", "6") == 0
    both = json.loads(capsys.readouterr().out)["photos"][0]
    views = both.pop("top_views")
    assert both == alone and views != both["top"]
    assert sum(entry["probability"] for entry in views) == pytest.approx(1, abs=1e-9)
    assert predict(run, photos / "shape0.png", "--top", "2", "--views", "6") == 0
    lines = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert lines[3] == "  averaged over six views:" and len(lines) == 6 and views[0]["class"] in lines[4]


@pytest.mark.parametrize("name, words", [
    ("empty.jpg", "is empty"), ("text.jpg", "is no picture"), ("missing.jpg", "no such file"), ("cut.png", "is cut short"),
    ("huge.png", "10,000 x 10,000 pixels"), ("folder", "is a folder, expected a picture; give a file in it")])
@pytest.mark.parametrize("others", [0, 2])
def test_a_bad_photo_is_one_line_and_stops_no_other(run, photos, capsys, name, words, others):
    good = [photos / "shape0.png", photos / "shape1.png"][:others]
    assert predict(run, *good[:1], photos / name, *good[1:]) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and words in err and "Traceback" not in out + err
    assert out.count("(32 x 32)") == others and (out == "") == (not others)


def test_no_caution_without_a_record(run, photos, capsys):
    assert predict(run / "plain.npz", photos / "noise.png") == 0
    out = capsys.readouterr().out
    assert "no caution can be given" in out and "unlike" not in out
    assert predict(run / "plain.npz", photos / "noise.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["photos"][0]["unlike"] is None


@pytest.mark.parametrize("arguments, words", [
    (["--top", "0"], "--top: got 0"), (["--threads", "0"], "--threads: got 0"),
    (["--show", "/no/such/folder/out.png"], "--show: /no/such/folder/out.png is to be drawn, but there is no folder")])
def test_a_bad_request_is_one_line(run, photos, capsys, arguments, words):
    assert predict(run, photos / "shape0.png", *arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and words in err


def test_weights_that_are_none(run, photos, tmp_path, capsys):
    for weights, words in ((tmp_path, "holds no best.npz"), (tmp_path / "none.npz", "none.npz"), (photos / "text.jpg", "text.jpg")):
        assert predict(weights, photos / "shape0.png") == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and words in err


def test_nothing_that_is_read_is_drawn_over(run, photos, capsys, tmp_path):
    photo = tmp_path / "photo.png"
    photo.write_bytes(next(photos.glob("*.png")).read_bytes())
    before = photo.read_bytes()
    for target, words in ((photo, "is one of the files that are read"), (tmp_path / "photo.jpg", "a name that ends in .png")):
        assert main(["predict", str(run), str(photo), "--show", str(target)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and words in err
    assert photo.read_bytes() == before and not (tmp_path / "photo.jpg").exists()


def test_only_figures_of_ours_are_drawn_over(run, photos, capsys, tmp_path):
    (tmp_path / "own.png").write_bytes((photos / "noise.png").read_bytes())
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    for name in ("own.png", "text.png", "folder.png"):
        before = {path: path.read_bytes() for path in tmp_path.glob("*.png") if path.is_file()}
        assert predict(run, photos / "shape0.png", "--show", tmp_path / name) == 2
        assert "is there already, and was not drawn by resnet-np" in capsys.readouterr().err
        assert {path: path.read_bytes() for path in tmp_path.glob("*.png") if path.is_file()} == before
    for _ in range(2):
        assert predict(run, photos / "shape0.png", "--show", tmp_path / "new.png") == 0


def test_show(run, photos, tmp_path, capsys):
    assert predict(run, photos / "shape0.png", photos / "empty.jpg", photos / "noise.png", "--show", tmp_path / "out.png") == 2
    assert f"picture    {tmp_path / 'out.png'}" in capsys.readouterr().out
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.format == "PNG" and picture.width == 1380
    assert predict(run, photos / "empty.jpg", "--show", tmp_path / "none.png") == 2
    assert not (tmp_path / "none.png").exists()


def test_letters_that_no_font_has_are_named(run, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fonts, "CHINESE", ())
    asked = (run, photos / "shape0.png", "--top", 10, "--show", tmp_path / "out.png")
    note = "note       no font here has the letters 飞机, which are drawn as boxes; install one, such as Debian's fonts-noto-cjk\n"
    assert predict(*asked) == 0
    assert capsys.readouterr().out.endswith(note)
    assert predict(*asked, "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) and err.endswith(note)
    assert predict(*asked[:2], "--top", 10) == 0  # nothing is drawn
    assert "boxes" not in capsys.readouterr().out


def test_terminals_without_the_letters_and_a_start_without_numba(run, photos):
    code = "import sys; from resnet_np.cli import main; code = main(sys.argv[1:]); " \
           "print(*{'numba', 'matplotlib'} & set(sys.modules)); sys.exit(code)"
    environment = {name: value for name, value in os.environ.items() if name not in ("RESNET_NP_BACKEND", "NUMBA_DISABLE_JIT")}
    process = subprocess.run(
        [sys.executable, "-c", code, "predict", run, photos / "shape0.png", "--top", "10"], capture_output=True, text=True,
        env=environment | {"PYTHONIOENCODING": "ascii"}, timeout=120)
    assert process.returncode == 0 and not process.stderr, process.stderr
    lines = process.stdout.splitlines()
    assert any("\\u98de\\u673a" in line for line in lines) and "#" in process.stdout and not lines[-1]
    assert len({line.index("%") for line in lines if line.startswith("  ")}) == 1


@pytest.mark.slow
def test_the_public_weights(shared, tmp_path, capsys):
    photo = sorted((shared / "data" / "official-samples").glob("*.png"))[0]
    assert predict(shared / "pretrained" / "resnet20-12fca82f.th", photo, "--top", "1") == 0
    out = capsys.readouterr().out
    assert "assumed" in out and "normaliser imagenet" in out and "no caution can be given" in out
