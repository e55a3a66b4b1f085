"""A pretrained network that is no classifier yet: it has no head and no classes.

On disk it is a model repository like a `TorchClassifier`'s, without the tensors of a head. Whatever
takes pretrained weights takes it: `read_checkpoint` reads it.
"""

from __future__ import annotations

from pathlib import Path

from foodvision.classifier.card import headless_card
from foodvision.classifier.files import write_model
from foodvision.classifier.info import KEY, ModelInfo
from foodvision.images.spec import ImageSpec
from foodvision.models.network import Network
from foodvision.weights.from_repository import read_repository, repository_content
from foodvision.weights.repository import CONFIG, read_json


class Headless:
    """What turns images into features.

    Attributes:
        network: whose head is not saved.
        spec: how an image is prepared for it.
        info: how it was trained and what was measured.

    """

    def __init__(self, network: Network, spec: ImageSpec, info: ModelInfo) -> None:
        self.network, self.spec = network.eval(), spec
        self.config, self.tensors = repository_content(network, with_head=False)
        parameters = sum(tensor.numel() for tensor in self.tensors.values())
        self.info = info.model_copy(update={"parameters": parameters})

    @classmethod
    def read(cls, folder: Path) -> Headless:
        """Read such a folder, onto the CPU.

        Raises:
            ModelError: if it is damaged.

        """
        loaded = read_repository(folder).build(num_classes=1)
        return cls(loaded.network, loaded.spec, ModelInfo.from_config(read_json(folder / CONFIG)))

    def save(self, folder: str | Path) -> None:
        """Write the files of the model repository."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        described = {"image_spec": self.spec.to_dict(), **self.info.model_dump(mode="json")}
        network = self.network.config
        in_transformers = self.config["model_type"] != KEY
        card = headless_card(self.info, network.description, network.family, in_transformers)
        config = self.config | {"dtype": "float32", KEY: described}
        write_model(folder, config, self.tensors, self.spec, card)
