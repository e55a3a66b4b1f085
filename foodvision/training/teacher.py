"""A trained classifier as a teacher: its logits for the very images that a network learns from.

The batches of the loop come in, as the network sees them: cropped, flipped, augmented, mixed and
normalised. Logits for the network's classes go out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from foodvision.backends import Precision
from foodvision.backends.device import autocast, channels_last
from foodvision.classifier.info import TeacherInfo
from foodvision.classifier.licence import licence_behind, without_folders
from foodvision.classifier.torch_classifier import TorchClassifier
from foodvision.errors import ModelError
from foodvision.images import ImageSpec
from foodvision.progress import progress_bar
from foodvision.text import list_names
from foodvision.weights.box import BOX
from foodvision.weights.tensors import sha256_of


class Teacher:
    """A classifier that answers for the classes of another network, its student.

    Attributes:
        info: what the student's model card says of it.

    """

    def __init__(
        self, name: str, classifier: TorchClassifier, classes: tuple[str, ...], spec: ImageSpec
    ) -> None:
        """Match the classes by name.

        Args:
            name: what the recipe calls it.
            classifier: the teacher.
            classes: of the student.
            spec: how the student's images are prepared.

        Raises:
            ModelError: naming the student's classes that the teacher does not know.

        """
        unknown = [label for label in classes if label not in classifier.classes]
        if unknown:
            raise ModelError(
                f"teacher {name}: does not know {list_names(unknown)}; train it on all classes, "
                "or leave these out with --exclude-classes"
            )
        self.network = classifier.network.eval()
        self.spec, self.pupil = classifier.spec, spec
        self.columns = torch.tensor([classifier.classes.index(label) for label in classes])
        local = name == BOX or Path(name).exists()
        licence = licence_behind(name if local else f"hub:{name}")
        began = [licence.origin] if licence.origin else []
        self.info = TeacherInfo(
            name=without_folders(name),
            network=classifier.config.description,
            sha256=sha256_of(
                classifier.network.state_dict(),
                classifier.config,
                classifier.spec,
                classifier.classes,
            ),
            origins=began + licence.origins_of_teachers,
        )

    def to(self, device: torch.device) -> Teacher:
        """Move it to the device that the student is trained on; returns itself."""
        self.network.to(device)
        channels_last(self.network)
        self.columns = self.columns.to(device)
        return self

    def view(self, pixels: Tensor) -> Tensor:
        """The student's input (B, 3, H, W) as the teacher's, (B, 3, h, w).

        The same pixels, padding included: scaled to the teacher's size, with its interpolation and
        nothing cut off, because the student's view is the region to classify. The student's
        normalisation is undone and the teacher's applied in one step; both are affine, so mixed
        images stay mixed.
        """
        student, teacher = (torch.tensor((spec.mean, spec.std)) for spec in (self.pupil, self.spec))
        scale = (student[1] / teacher[1]).to(pixels)[:, None, None]
        shift = ((student[0] - teacher[0]) / teacher[1]).to(pixels)[:, None, None]
        size = (self.spec.height, self.spec.width)
        if pixels.shape[-2:] != size:
            mode = self.spec.interpolation
            pixels = F.interpolate(pixels, size, mode=mode, antialias=True)
        return (pixels * scale + shift).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def answers(self, pixels: Tensor, precision: Precision) -> Tensor:
        """Its logits (B, K) for the student's classes, in float32; their softmax is renormalised.

        Args:
            pixels: the student's input (B, 3, H, W).
            precision: bf16 or float32, as the student has it.

        """
        with autocast(precision, pixels.device):
            return self.network(self.view(pixels))[:, self.columns].float()

    def answers_of_all(
        self, batches: Iterable[tuple[Tensor, Tensor]], total: int, precision: Precision
    ) -> Tensor:
        """See `answers`: (n, K), of images that look the same in every epoch.

        Args:
            batches: images as the student sees them, and labels, which are not used.
            total: number of images.
            precision: bf16 or float32.

        """
        found = []
        with progress_bar() as bar:
            task = bar.add_task("teacher", total=total, unit="images", info="")
            for pixels, _ in batches:
                found.append(self.answers(pixels.to(self.columns.device), precision))
                bar.advance(task, len(pixels))
        return torch.cat(found)


def load_teacher(name: str, classes: tuple[str, ...], spec: ImageSpec) -> Teacher:
    """Load a teacher onto the CPU; see `Teacher`.

    Raises:
        ModelError: if it cannot be loaded, or lacks a class.

    """
    try:
        classifier = TorchClassifier.load(name, "cpu")
    except ModelError as error:
        raise ModelError(f"teacher {error}") from error
    return Teacher(name, classifier, classes, spec)
