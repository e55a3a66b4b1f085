"""The folder of a Space: complete, checked, and without what belongs to this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from foodvision.apps.gpu import on_gpu
from foodvision.classifier.predict import Prediction
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.deploy import Target, What
from foodvision.deploy.contents import licence_of_weights
from foodvision.deploy.deploy import deploy
from foodvision.deploy.folder import check_answer, write_space
from foodvision.deploy.plan import Plan
from foodvision.deploy.requirements import requirements
from foodvision.deploy.space_card import check_card
from foodvision.errors import FoodvisionError, ImageError, ModelError
from foodvision.images.decode import ImageSource
from foodvision.weights.repository import read_json
from tests.deploy.hub import read_header

BUILD_APP = """
import sys
from pathlib import Path

class Missing:  # as on the Space, where only requirements.txt is installed
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from foodvision.apps.classify import build_app
from foodvision.apps.uploads import find_examples, private_folder
from foodvision.classifier.classifier import Classifier
assert Path(sys.modules["foodvision"].__file__).is_relative_to(Path.cwd())
with private_folder() as folder:
    build_app(Classifier.load("model"), folder, find_examples(Path("examples")))
sys.exit("torch" in sys.modules)
"""


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    turned = Image.new("RGB", (2000, 1000), "red")
    exif = turned.getexif()
    exif[0x0112] = 6  # orientation
    exif[0x8825] = {1: "N", 2: (48.0, 51.0, 29.0)}  # a place
    turned.save(folder / "at home.jpg", exif=exif)
    return folder


def write(plan: Plan, out: Path) -> None:
    write_space(plan, licence_of_weights(plan), out)


def test_a_cpu_space_runs_without_torch(exported: Path, photographs: Path, tmp_path: Path) -> None:
    out = tmp_path / "space"
    write(Plan(str(exported), Target.CPU, examples=photographs), out)
    lines = (out / "requirements.txt").read_text().splitlines()
    pinned = {canonicalize_name(Requirement(line).name) for line in lines}
    assert not pinned & {"torch", "torchvision", "timm", "transformers", "foodvision"}
    assert all("==" in line for line in lines)
    pinned.add("pydantic-core")  # which pydantic pins
    missing = [
        module
        for module, names in packages_distributions().items()
        if not pinned & set(map(canonicalize_name, names)) and module != "foodvision"
    ]
    assert "torch" in missing
    done = subprocess.run(
        [sys.executable, "-c", BUILD_APP, " ".join(missing)],
        cwd=out,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(out / "examples/example-0.jpg") as example:
        assert example.size == (512, 1024)
        assert not example.getexif()


@pytest.mark.parametrize(
    ("code", "out", "reason"),
    [
        (0, '{"dots": 0.9, "waves": 0.1}', "differs by 1.0e-02"),
        (1, "", "does not work: ImportError: no module"),
    ],
)
def test_a_copy_that_answers_otherwise_is_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, out: str, reason: str
) -> None:
    done = subprocess.CompletedProcess([], code, out, "Traceback:\nImportError: no module\n")
    monkeypatch.setattr("foodvision.deploy.folder.subprocess.run", lambda *_, **__: done)
    with pytest.raises(FoodvisionError, match=reason):
        check_answer(tmp_path, {"dots": 0.91, "waves": 0.09})


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check starts an interpreter, which takes seconds."""
    monkeypatch.setattr("foodvision.deploy.folder.check_answer", lambda folder, known: None)


def test_what_a_cpu_space_contains(unchecked: None, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "space"
    lines = deploy(Plan(str(exported), Target.CPU, title="Dots!"), out, make_zip=True)
    assert {path.name for path in out.iterdir()} == {
        *("README.md", "app.py", "foodvision", "model", "requirements.txt")
    }
    assert {path.name for path in (out / "model/onnx").iterdir()} == {
        *("image.onnx", "model.onnx_data")
    }
    assert len((out / "app.py").read_text().splitlines()) == 3
    header = read_header((out / "README.md").read_text())
    assert header["title"] == "Dots!"
    assert header["python_version"] == "3.12"
    assert header["sdk_version"] == version("gradio")
    assert "# Dots\\!" in (out / "README.md").read_text()
    with zipfile.ZipFile(tmp_path / "space.zip") as archive:
        assert "foodvision/apps/space.py" in archive.namelist()
        assert "app.py" in archive.namelist()
    assert len(lines) == 2
    deploy(Plan(str(exported), Target.CPU), out)  # its own folder is replaced
    assert read_header((out / "README.md").read_text())["title"] == "Dots, stripes or waves?"


def test_a_zerogpu_space_pins_what_zerogpu_runs(
    unchecked: None, saved: Path, tmp_path: Path
) -> None:
    out = tmp_path / "space"
    write(Plan(str(saved), Target.ZEROGPU), out)
    lines = (out / "requirements.txt").read_text().splitlines()
    assert {"torch==2.11.0", "torchvision==0.26.0"} <= set(lines)
    assert any(line.startswith("spaces==") for line in lines)
    assert (out / "app.py").read_text().splitlines()[0].startswith("import spaces")
    header = check_card(out)
    assert header.python_version == "3.12.12"
    assert header.get("suggested_hardware") == "zero-a10g"


def test_a_static_space(exported: Path, tmp_path: Path) -> None:
    write(Plan(str(exported), Target.STATIC, title="Dots?"), tmp_path / "space")
    header = read_header((tmp_path / "space/README.md").read_text())
    assert header["sdk"] == "static"
    assert header["app_file"] == "index.html"
    assert header["python_version"] == "3.12"
    assert header["custom_headers"]["cross-origin-opener-policy"] == "same-origin"
    assert "sdk_version" not in header
    assert "<title>Dots?" in (tmp_path / "space/index.html").read_text()
    assert not (tmp_path / "space/foodvision").exists()


def test_caption_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blip = "Salesforce/blip-image-captioning-base"
    write(Plan(blip, Target.CPU, What.CAPTION), tmp_path / "cpu")
    header = read_header((tmp_path / "cpu/README.md").read_text())
    (preload,) = header["preload_from_hub"]
    assert re.fullmatch(rf"{blip} config.json,pytorch_model.bin [0-9a-f]{{40}}", preload)
    assert header["models"] == [blip]
    assert blip in (tmp_path / "cpu/app.py").read_text()
    lines = (tmp_path / "cpu/requirements.txt").read_text().splitlines()
    assert lines[0].startswith("--extra-index-url")
    assert any(line.startswith("transformers==") for line in lines)
    with pytest.raises(FoodvisionError, match="static cannot caption"):
        Plan(blip, Target.STATIC, What.CAPTION)


def test_no_path_of_this_machine_goes_along(
    unchecked: None, trained: TorchClassifier, tmp_path: Path
) -> None:
    copy = TorchClassifier(trained.network, trained.spec, trained.classes)
    copy.info = copy.info.model_copy(update={"recipe": {"weights": str(tmp_path / "my.pth")}})
    copy.save(tmp_path / "model")
    (tmp_path / "model/split.csv").write_text(f"{tmp_path}/private.jpg")
    write(Plan(str(tmp_path / "model"), Target.ZEROGPU), tmp_path / "space")
    config = read_json(tmp_path / "space/model/config.json")
    assert config["foodvision"]["recipe"]["weights"] == "my.pth"
    for path in (tmp_path / "space").rglob("*.*"):
        assert str(tmp_path).encode() not in path.read_bytes(), path


def test_the_pins_are_those_that_a_spaces_build_accepts() -> None:
    """It adds gradio[oauth,mcp], which caps pydantic below what may be installed here."""
    lines = requirements(Target.CPU, What.CLASSIFY)
    (pydantic,) = [line for line in lines if line.startswith("pydantic==")]
    needed = Requirement("pydantic<=2.12.5,>=2.11.10").specifier
    assert needed.contains(pydantic.partition("==")[2])
    assert not requirements(Target.STATIC, What.CLASSIFY)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("python_version", "'3'"),
        ("sdk_version", "six"),
        ("colorFrom", "orange"),
        ("app_file", "main.py"),
        ("short_description", "x" * 61),
        ("suggested_hardware", "a-toaster"),
    ],
)
def test_a_wrong_header_is_found_here(tmp_path: Path, line: str, value: str) -> None:
    header = {
        "title": "x",
        "sdk": "gradio",
        "sdk_version": "6.31.0",
        "python_version": "'3.12'",
        "app_file": "app.py",
        "colorFrom": "red",
        "colorTo": "red",
    }
    (tmp_path / "app.py").touch()

    def write(values: dict[str, str]) -> None:
        text = "\n".join(f"{key}: {item}" for key, item in values.items())
        (tmp_path / "README.md").write_text(f"---\n{text}\n---\n")

    write(header)
    check_card(tmp_path)
    write(header | {line: value})
    with pytest.raises(FoodvisionError, match=f"{line} is wrong"):
        check_card(tmp_path)


def test_what_does_not_fit_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="exported, and runs on the CPU"):
        write(Plan(str(exported), Target.ZEROGPU), tmp_path / "space")
    assert not (tmp_path / "space").exists()
    model = shutil.copytree(exported, tmp_path / "model")
    with pytest.raises(FoodvisionError, match="is not a Space"):
        write(Plan(str(exported), Target.CPU), model)
    assert {path.name for path in model.iterdir()} == {path.name for path in exported.iterdir()}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(FoodvisionError, match="is not a Space"):
        write(Plan(str(exported), Target.CPU), tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").exists()
    with pytest.raises(FoodvisionError, match="no images in this folder"):
        write(Plan(str(exported), Target.CPU, examples=tmp_path / "mine"), tmp_path / "s")
    with pytest.raises(FoodvisionError, match="--vendor is for"):
        Plan(str(exported), Target.CPU, vendor=tmp_path)


def test_errors_come_back_from_the_gpu() -> None:
    """ZeroGPU passes on what a function returns; of what it raises, the name alone."""

    def gpu(duration: int):  # type: ignore[no-untyped-def]
        def decorate(function):  # type: ignore[no-untyped-def]
            def call(*arguments: object) -> object:
                try:
                    return function(*arguments)
                except Exception as error:
                    raise RuntimeError(type(error).__name__) from None

            return call

        return decorate

    def predict(source: ImageSource) -> Prediction:
        if source == "bad.jpg":
            raise ImageError("bad.jpg", "is damaged")
        return Prediction(str(source), "dots")

    assert on_gpu(predict, gpu)("good.jpg").label == "dots"
    with pytest.raises(ImageError, match="is damaged"):
        on_gpu(predict, gpu)("bad.jpg")
