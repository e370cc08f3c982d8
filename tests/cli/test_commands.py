"""The command line as a user meets it: every answer is readable, every error is one line and an exit code."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_tools import cifar, shapes10
from data_tools.image_set import ImageSet
from resnet_np.cli import columns, main
from resnet_np.cli import evaluate as evaluate_command
from resnet_np.training import Evaluation

pytestmark = pytest.mark.nojit


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Shapes-10, the first pictures only, in CIFAR-10's binary layout."""
    whole = shapes10.make()
    small = ImageSet(whole.name, whole.classes, whole.train_images[:100], whole.train_labels[:100], whole.test_images[:30],
                     whole.test_labels[:30], "a test", None)
    return cifar.write(small, tmp_path_factory.mktemp("data"), "bin")


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--data", str(data), "--model", "resnet8", "--epochs", "1", "--batch-size", "32", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("arguments, words", [
    ("train --data /no/such/place", "no such file or folder"),
    ("train --model resnet21", "resnet20 and resnet26"),
    ("train --epochs 0", "--epochs: got 0, expected a whole number of at least 1"),
    ("train --lr nan", "--lr: got nan"),
    ("train --lr -1", "--lr: got -1"),
    ("train --threads 0", "--threads: got 0"),
    ("train --resume", "--out RUN"),
    ("train --resume --out /no/such/run", "there is no run in"),
    ("summary resnet20 --stem imagenet", "--stem: got imagenet, but resnet20 has no such choice"),
    ("summary resnet18 --shortcut A", "--shortcut: got A, but resnet18 has no such choice"),
    ("train --model resnet18 --stride-in 1x1", "--stride-in: got 1x1, expected it to be left out: resnet18 has no bottlenecks"),
    ("evaluate /no/such/run", "there is no such file"),
    ("summary resnet19", "resnet14 and resnet20"),
    ("summary resnet20 --image-size 0", "--image-size: got 0"),
    ("summary resnet20 --classes 1", "--classes: got 1"),
    ("train --backend numpy --threads 2", "--threads: it is for the numba backend"),
    ("train --data ~nosuchuser/x", "no such file or folder"),
    ("summary resnet99998", "8 to 1202"),
])
def test_a_bad_request_is_one_line_and_exit_code_2(arguments, words, capsys):
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and words in err and "Traceback" not in out + err


def test_a_terminal_that_lacks_the_letters(trained):
    """Class names may be Chinese, and a pipe on Windows Latin."""
    process = subprocess.run([sys.executable, "-m", "resnet_np", "show", str(trained), "curves", "--out", str(trained / "猫.png")],
                             capture_output=True, env=os.environ | {"PYTHONIOENCODING": "latin-1"})
    assert process.returncode == 0 and rb"\u732b.png" in process.stdout, process.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves(unbuffered):
    """`resnet-np summary resnet8 | head`: the first word that nobody reads leaves at the end, or at once."""
    process = subprocess.Popen([sys.executable, "-m", "resnet_np", "summary", "resnet8"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": unbuffered})
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


@pytest.mark.skipif(os.name == "nt", reason="the shell and /dev/full of Unix")
@pytest.mark.parametrize("redirected, code, words", [(">&-", 0, ""), (">/dev/full", 1, "cannot go on: [Errno 28]")])
def test_an_output_that_is_closed_or_full(redirected, code, words):
    command = f'"{sys.executable}" -m resnet_np summary resnet8 {redirected}'
    process = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True)
    assert process.returncode == code and words in process.stderr and process.stderr.count("\n") == bool(words)


@pytest.mark.parametrize("arguments", [
    "train --data {long} --out run", "train --out {long}", "train --resume --out {long}", "evaluate {long}", "predict {long} a.jpg",
    "predict {good} {long}", "finetune {long}", "convert {long} a.npz", "convert {good}/best.npz {long}.npz",
    "convert {good} a.npz --classes {long}", "export {good} {long}.npz", "show {long} curves",
    "show {good} filters --out {long}.png", "show {good} gradcam --picture {long}"])
def test_names_that_are_too_long(arguments, trained, tmp_path, monkeypatch, capsys):
    """Python's Path.exists raises where os.path.exists says no."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments.format(long="a" * 300, good=trained).split()) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "a" * 300 in err


def test_pictures_in_a_folder_of_odd_letters(tmp_path, monkeypatch, capsys):
    """Two blanks and a wide one: it is found again, and no other in its place."""
    monkeypatch.chdir(tmp_path)
    folder = Path("my  pets\u3000\n猫")
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for i in range(10):
            Image.fromarray(np.full((8, 8, 3), i, np.uint8)).save(folder / name / f"{i}.png")
    assert main(["train", "--data", str(folder), "--model", "resnet8", "--epochs", "1", "--batch-size", "4", "--backend", "numpy",
                 "--image-size", "8", "--out", "run"]) == 0
    assert "my pets 猫" in capsys.readouterr().out
    assert main(["evaluate", "run", "--backend", "numpy"]) == 0
    folder.rename("my pets 猫")
    capsys.readouterr()
    assert main(["evaluate", "run", "--backend", "numpy"]) == 2
    assert "my pets 猫) are not there any more" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["train --frobnicate", "train --epochs many", "train --milestones a,b", "fly", ""])
def test_what_argparse_refuses(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    err = capsys.readouterr().err
    assert stop.value.code == 2 and "error:" in err and "--help" in err and err.count("\n") == 1


def test_a_split_smaller_than_what_was_asked_for(data, tmp_path, capsys):
    assert main(["train", "--data", str(data), "--limit-train", "128", "--out", str(tmp_path / "run")]) == 2
    assert "--limit-train: got 128, but 90" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()  # a run that never began leaves nothing behind


def test_a_second_run_does_not_overwrite_the_first(data, trained, capsys):
    before = (trained / "last.npz").read_bytes()
    assert main(["train", "--data", str(data), "--out", str(trained)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["train", "--data", str(data), "--out", str(trained), "--resume", "--model", "resnet20"]) == 2
    assert "started with --model resnet8" in capsys.readouterr().err
    assert (trained / "last.npz").read_bytes() == before


def test_a_finished_run_can_be_resumed_to_its_result(data, trained, capsys):
    before = json.loads((trained / "result.json").read_text())
    assert main(["train", "--data", str(data), "--out", str(trained), "--resume"]) == 0
    assert "resuming" in capsys.readouterr().out
    assert json.loads((trained / "result.json").read_text())["test_accuracy"] == before["test_accuracy"]


def test_evaluate(data, trained, capsys):
    assert main(["evaluate", str(trained), "--data", str(data), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert {"loss", "top1", "top5", "per_class", "confusion", "count"} <= answer.keys()
    assert answer["count"] == 30 == np.sum(answer["confusion"])
    stored = json.loads((trained / "result.json").read_text())
    assert answer["top1"] == stored["test_accuracy"] and answer["loss"] == pytest.approx(stored["test_loss"])
    assert (trained / "confusion-test.png").read_bytes().startswith(b"\x89PNG")
    for split, count in (("validation", 10), ("train", 90)):
        assert main(["evaluate", str(trained / "last.npz"), "--data", str(data), "--split", split]) == 0
        out = capsys.readouterr().out
        assert f"{count} {split} pictures" in out and "rows: true class" in out and "six views" not in out
    assert main(["evaluate", str(trained), "--data", str(data), "--views", "6"]) == 0
    out = capsys.readouterr().out
    assert f"accuracy   {answer['top1']:.2%}, " in out and re.search(r"\nsix views  \d+\.\d\d%, of the answers averaged", out)


def test_nothing_is_drawn_beside_a_loose_weight_file(data, trained, tmp_path, capsys):
    loose = tmp_path / "weights" / "best.npz"  # a name is no run
    loose.parent.mkdir()
    loose.write_bytes((trained / "best.npz").read_bytes())
    command = ["evaluate", str(loose), "--data", str(data)]
    assert main(command) == 0
    assert "plot" not in capsys.readouterr().out and list(loose.parent.iterdir()) == [loose]
    assert main([*command, "--out", str(tmp_path / "nowhere" / "x.png")]) == 2
    assert "there is no folder" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "asked-for.png")]) == 0
    assert f"plot       {tmp_path / 'asked-for.png'}" in capsys.readouterr().out and list(loose.parent.iterdir()) == [loose]


def test_what_the_user_drew_is_not_drawn_over(data, trained, tmp_path, capsys):
    run = shutil.copytree(trained, tmp_path / "run")
    for name, command in (("confusion-test.png", ["evaluate", str(run), "--data", str(data)]),
                          ("filters.png", ["show", str(run), "filters"])):
        Image.new("RGB", (4, 4)).save(run / name)
        before = (run / name).read_bytes()
        assert main(command) == 2
        out, err = capsys.readouterr()
        assert err.count("\n") == 1 and f"--out: {run / name} is there already, and was not drawn by resnet-np" in err
        assert "accuracy" not in out and (run / name).read_bytes() == before


def test_the_confusion_of_chinese_names_stands_in_columns():
    confusion = np.array([[5, 0, 1], [0, 7, 0], [0, 0, 0]])
    found = Evaluation(1.0, 0.9, 1.0, confusion)
    head, *rows = evaluate_command._table(found, ("金毛寻回犬", "cat", "x" * 60), "").splitlines()[1:5]
    assert [columns.columns(row) for row in rows] == [columns.columns(head)] * 3 and columns.columns(head) < 80
    assert "金毛" in head and rows[0].split() == ["金毛寻回犬", "83.3%", "5", ".", "1"]


@pytest.mark.slow
def test_letters_that_no_font_has_are_named(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("resnet_np.viz.style.save", lambda figure, path: "no font here has the letters X")
    assert main(["evaluate", str(trained), "--data", "shapes10"]) == 0
    assert "note       no font here has the letters X\n" in capsys.readouterr().out


def test_evaluate_refuses_other_classes_and_empty_folders(trained, tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "holds no best.npz" in capsys.readouterr().err
    other = tmp_path / "other"
    picture = np.zeros((10, 3, 32, 32), np.uint8)
    labels = np.arange(10)
    names = tuple("abcdefghij")
    cifar.write(ImageSet("custom", names, picture, labels, picture, labels, "a test", None), other, "bin")
    assert main(["evaluate", str(trained), "--data", str(other)]) == 2
    assert "--data" in capsys.readouterr().err


def test_summary(capsys):
    assert main(["summary", "resnet20"]) == 0
    out = capsys.readouterr().out
    assert "269,722" in out and "40,551,040" in out and "The paper's ResNet-20" in out
    assert max(map(len, out.splitlines())) <= 100
    assert main(["summary", "resnet26", "--shortcut", "B", "--classes", "100"]) == 0
    out = capsys.readouterr().out
    assert "Not the paper's net" in out and "layer2.0.downsample.0" in out and max(map(len, out.splitlines())) <= 100


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for topic in ("python", "numpy", "backend", "BLAS", "CuPy", "data"):
        assert any(line.startswith(topic) for line in out.splitlines())


@pytest.mark.skipif(os.environ.get("RESNET_NP_BACKEND") == "numpy", reason="Numba cannot compile in this session")
def test_doctor_shows_the_threads(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "threading layer" in out and "kernel cache" in out
    (layer,) = (line for line in out.splitlines() if line.startswith("threading layer"))
    assert ("threads that wait" in layer) == (sys.platform == "linux" and " omp" in layer)


@pytest.mark.parametrize(("variables", "words"), [
    ({"RESNET_NP_BACKEND": "fortran"}, "'fortran', expected one of loops, numpy, numba"),
    ({"RESNET_NP_BACKEND": "numba", "NUMBA_DISABLE_JIT": "1"}, "NUMBA_DISABLE_JIT")])
def test_a_backend_that_cannot_run(variables, words):
    """One line; but the doctor, who is asked why, says that among all the rest."""
    train, doctor = (subprocess.run([sys.executable, "-m", "resnet_np", command], env=os.environ | variables, capture_output=True,
                                    text=True, timeout=120) for command in ("train", "doctor"))
    assert train.returncode == 2 and words in train.stderr and train.stderr.count("\n") == 1
    assert doctor.returncode == 0 and "CANNOT RUN: backend" in doctor.stdout and words in doctor.stdout
