"""What a Space runs: app.py's function, and the one call that `deploy` makes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from foodvision.apps import space
from foodvision.apps.classify import build_app
from foodvision.apps.serving import Address
from foodvision.apps.uploads import private_folder
from foodvision.apps.wording import Wording
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.deploy import What
from foodvision.deploy.deploy import call_app
from foodvision.errors import HubError
from tests.files.web import closed_port

# Gradio and its client leave files and event loops to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True, scope="module")
def collected_here() -> Iterator[None]:
    """Collect Gradio's leftovers now, so that their warnings do not fail a later test."""
    yield
    gc.collect()


def test_a_running_app_is_called(classifier: TorchClassifier, tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "examples/a red one.png")
    with private_folder() as folder:
        app = build_app(classifier, folder, [tmp_path / "examples/a red one.png"])
        _, address, _ = app.launch(prevent_thread_lock=True, quiet=True)
        try:
            answer = call_app(address, What.CLASSIFY)
            shown = str(app.get_config_file())
        finally:
            app.close()
    assert any(answer == f"runs, and says of a drawn pizza: {c}" for c in classifier.classes)
    assert "example-0.jpg" in shown


def test_no_app() -> None:
    with pytest.raises(HubError, match="does not answer"):
        call_app(f"http://127.0.0.1:{closed_port()}", What.CLASSIFY)


def test_app_py_serves_the_model_beside_it(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = []
    monkeypatch.setattr(space, "launch_app", lambda *given: served.append(given))
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    (tmp_path / "model").symlink_to(saved)
    space.serve(str(tmp_path / "app.py"), "Dots & stripes?")
    ((classifier, examples, wording, address, gpu),) = served
    assert classifier.classes == ("dots", "stripes", "waves")
    assert (list(examples), gpu) == ([], None)
    assert wording == Wording("Dots & stripes?")
    assert address == Address("0.0.0.0", browser=False)
