from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch.export import Dim
from torch.nn import functional as F

from foodvision.backends.openvino import CORE
from foodvision.drawings import draw_image
from foodvision.export.graph import OPSET
from foodvision.export.preprocessing import Preprocessing, resize_weights
from foodvision.export.quiet import quietly
from foodvision.images.spec import ImageSpec
from foodvision.images.transforms import prepare

SPECS = [
    ImageSpec(32),
    ImageSpec(32, "crop", 40, "bicubic"),
    ImageSpec((24, 40), "squash"),
    ImageSpec(32, "pad", interpolation="bicubic", mean=(0.485, 0.456, 0.406), std=(0.2, 0.3, 0.4)),
]

SIZES = [
    *((512, 384), (384, 512), (301, 300), (32, 32), (33, 32), (40, 40), (31, 90), (1000, 37)),
    *((1, 1), (1, 500), (500, 1), (2, 3), (10, 10), (7, 100), (64, 63), (128, 128)),
    *((255, 257), (640, 480), (90, 31), (1080, 1920)),
]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("old", "new"), [(50, 20), (20, 50), (20, 20), (97, 31), (7, 1), (1, 9)])
def test_two_products_are_torchs_antialiased_resize(old: int, new: int, interpolation: str) -> None:
    x = torch.rand(3, old, old, dtype=torch.float64)
    at = torch.arange(new, dtype=torch.float64)
    sides = [torch.tensor(float(side), dtype=torch.float64) for side in (old, new)]
    W = resize_weights(at, *sides, old, interpolation)
    options: dict[str, Any] = {"mode": interpolation, "antialias": True, "align_corners": False}
    expected = F.interpolate(x[None], (new, new), **options)[0]
    torch.testing.assert_close(W @ x @ W.T, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", [SPECS[0], SPECS[3]], ids=lambda spec: spec.resize_mode)
def test_the_graph_computes_the_same_in_both_runtimes(spec: ImageSpec) -> None:
    preprocessing = Preprocessing(spec)
    any_size = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    with quietly():
        program = torch.onnx.export(
            preprocessing,
            (torch.rand(2, 3, 331, 457),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["x"],
            dynamic_shapes=(any_size,),
        )
    assert program is not None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = CORE.compile_model(CORE.read_model(content), "CPU", exact)
    drawn = draw_image("sushi", seed=2)
    for height, width in (*SIZES, (3000, 4000)):
        pixels = torch.from_numpy(np.array(drawn.resize((width, height)))).permute(2, 0, 1)
        expected, x = prepare(pixels, spec), pixels[None].float().numpy()
        for found in (session.run(None, {"x": x})[0], model(x)[0]):
            difference = (torch.from_numpy(found[0]) - expected) * preprocessing.std
            assert difference.abs().max() < 1.01, (height, width)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.resize_mode + spec.interpolation)
def test_it_is_what_the_spec_says_up_to_a_grey_level(spec: ImageSpec) -> None:
    preprocessing = Preprocessing(spec)
    drawn = draw_image("pizza", seed=1)
    different, total = 0, 0
    for height, width in SIZES:
        image = np.array(drawn.resize((width, height)))
        pixels = torch.from_numpy(image).permute(2, 0, 1)
        found = preprocessing(pixels[None].float())[0]
        difference = (found - prepare(pixels, spec)) * preprocessing.std
        assert difference.abs().max() < 1.01, (height, width)
        different += int((difference.abs() > 0.5).sum())
        total += difference.numel()
    assert different < 0.02 * total


@pytest.mark.parametrize(
    "spec", [ImageSpec(224), ImageSpec((200, 224), "pad")], ids=["crop", "pad"]
)
def test_sizes_are_rounded_as_the_spec_rounds_them(spec: ImageSpec) -> None:
    preprocessing = Preprocessing(spec)
    sides = np.random.default_rng(0).integers(1, 6000, (2000, 2)).tolist()
    for h, w in [(2, 3), (3, 2), (223, 669), (55, 55), (1, 60_000), *sides]:
        found = preprocessing._resized_size(torch.tensor(float(h)), torch.tensor(float(w)))
        assert tuple(map(int, found)) == spec.resized_size(h, w), (h, w)
