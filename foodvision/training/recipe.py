"""What to train and how: every setting of a run, with its meaning, in one place.

A recipe is a TOML file (those that ship are in `foodvision/recipes`); single settings are changed
on top of it. The result is written into the model, so that a run can be read and repeated.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from foodvision.errors import RecipeError
from foodvision.images.spec import ImageSpec, Interpolation, ResizeMode
from foodvision.models.config import Pooling, ViTConfig, parse_name

CHANGEABLE = ("num_workers", "trackers")
"""Settings that do not change the result: the ones that a resumed run may have anew."""

FROM_NOTHING: dict[str, Any] = {
    "network": "vit_ti",
    "patch_size": 8,
    "image_size": 64,
    "pooling": "class_token",
    "resize_mode": "crop",
    "crop_fraction": 1.0,
    "interpolation": "bilinear",
    "reduced_decode": False,
}
"""What weights bring with them, and what it is where there are none."""

OF_A_PROBE = {
    *("weights", "network", "trainable", "optimizer", "image_size", "reduced_decode", "batch_size"),
    *("precision", "class_weights", "seed", "classes", "exclude_classes", "fraction"),
    "validation_fraction",
}
"""All settings that the optimiser lbfgs looks at."""


class Recipe(BaseModel):
    """All settings of a training run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    weights: str | None = None
    """Pretrained weights to begin with (see `read_checkpoint`); none begins from nothing. They
    bring their network and their way to prepare images, and get a new head of zeros unless
    theirs is of the same classes."""
    trainable: Literal["all", "head"] = "all"
    """What is trained: all layers, or the head alone on the weights' features."""
    network: str | None = None
    """Table 1's variant: vit_ti, vit_s, vit_b, vit_l, vit_h; `vit_b16` also sets patch_size.
    vit_ti, or the weights', which must be of the one that is named."""
    patch_size: int | None = None
    """P, pixels of a patch's side: 4, 8, 14, 16 or 32. 8, or the weights'."""
    image_size: int | None = Field(None, gt=0)
    """Pixels of the input's side, a multiple of patch_size. 64, or the weights' unless given:
    position embeddings are then resized (section 3.2)."""
    num_layers: int | None = Field(None, gt=0)
    """L, if other than the variant's."""
    pooling: Pooling | None = None
    """What the head sees: the class token (the paper's) or the average of the patches. class_token,
    or the weights'."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability, after the embedding and every dense layer."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability, on the attention weights."""
    stochastic_depth: float = Field(0.0, ge=0, lt=1)
    """Probability of skipping the last block's branches; grows linearly from 0 at the first."""

    resize_mode: ResizeMode | None = None
    """How an image becomes square: crop its centre, squash it or pad it. crop, or the weights'."""
    crop_fraction: float | None = Field(None, gt=0, le=1)
    """Share of the shorter side that `crop` keeps outside of training; below 1, things are as large
    as training's random crops make them (FixRes, arXiv 1906.06423). 1, or the weights'."""
    interpolation: Interpolation | None = None
    """Of the antialiased resize: bilinear or bicubic. bilinear, or the weights'."""
    reduced_decode: bool | None = None
    """Decode large JPEGs at a smaller scale, in training and ever after. false, or the weights'
    unless given."""
    min_area: float = Field(0.35, gt=0, le=1)
    """Smallest share of the image that a random crop keeps; 1 takes what evaluation sees."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a horizontal flip."""
    auto_augment: Literal["none", "randaugment", "trivialaugment"] = "none"
    """Random colour and shape changes: none, randaugment or trivialaugment."""
    magnitude: int = Field(9, ge=0, le=30)
    """Of randaugment's changes."""
    erasing: float = Field(0.0, ge=0, le=1)
    """Probability of erasing a random rectangle."""
    mixup: float = Field(0.0, ge=0)
    """Mix two images of a batch, the share drawn from Beta(mixup, mixup); 0 does not."""
    cutmix: float = Field(0.0, ge=0)
    """Paste a rectangle of another image, the share from Beta(cutmix, cutmix); 0 does not."""
    mix_probability: float = Field(1.0, ge=0, le=1)
    """Share of the batches that are mixed, by one of the two that are on."""

    epochs: int = Field(60, gt=0)
    """Passes over the training images."""
    batch_size: int = Field(64, gt=0)
    """Images of one step, on each device."""
    accumulate: int = Field(1, gt=0)
    """Batches whose gradients are averaged before the weights change."""
    optimizer: Literal["adamw", "muon", "sgd", "lbfgs"] = "adamw"
    """AdamW; Muon for the encoder's matrices and AdamW for the rest; SGD with momentum 0.9 (the
    paper's for fine-tuning); or, for the head alone, L-BFGS on features that are computed once,
    with the L2 strength that validates best: it knows neither epochs nor a learning rate."""
    learning_rate: float = Field(1e-3, gt=0)
    """At the end of the warm-up."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor of the learning rate from each stage of the network to the one before it; the head and
    the last stage have the whole rate (BEiT, arXiv 2106.08254)."""
    weight_decay: float = Field(0.05, ge=0)
    """Decoupled for AdamW; never on biases, norms, class token and position embeddings."""
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises linearly from 0."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to 0 after the warm-up, or that it does not."""
    clip_norm: float = Field(1.0, gt=0)
    """Global norm to which a gradient is scaled down (the paper's 1)."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` weighs rare classes up in the loss, and takes the shift out of the saved model."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Of the moving average of the weights, which is then what is validated and saved; 0 for none.
    It warms up: after step t it is no more than (1 + t) / (10 + t)."""
    patience: int = Field(0, ge=0)
    """Stop after this many epochs without a lower validation log loss; 0 never stops early."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """Of the training step: bf16 autocast wherever the device computes it fast."""
    compile: bool = False
    """Let torch.compile write fused kernels for the network first; wants a C++ compiler."""

    seed: int = Field(0, ge=0)
    """Of everything random."""
    classes: tuple[str, ...] = ()
    """Those to learn, of the data set's; none for all."""
    exclude_classes: tuple[str, ...] = ()
    """Those not to learn."""
    fraction: float = Field(1.0, gt=0, le=1)
    """Share of each class's training images to learn from; validation is the same for all."""
    validation_fraction: float = Field(0.15, gt=0, lt=1)
    """Share of the training images that validates where the data has no validation split."""
    num_workers: int = Field(0, ge=0)
    """Processes that prepare images; 0 does it between steps. Does not change the result."""
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where the history is logged as well. Does not change the result."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in what is not given, and refuse what weights leave no place for."""
        given = {name: value for name, value in values.items() if value is not None}
        if "weights" not in given:
            if given.get("trainable") == "head":
                raise ValueError("trainable = 'head' wants weights to take the other layers from")
            given = FROM_NOTHING | given
        elif not given["weights"]:
            raise ValueError(
                "this recipe begins with pretrained weights: give --weights, such as "
                "torchvision:vit_b_16/IMAGENET1K_V1, timm:NAME, hub:OWNER/NAME or a file"
            )
        else:
            for name in (*FROM_NOTHING, "num_layers"):
                if name in given and name not in ("image_size", "network", "reduced_decode"):
                    raise ValueError(
                        f"{name} comes with the weights: leave it out, and take a recipe that "
                        "begins with weights, such as probe or finetune"
                    )
        return given

    @model_validator(mode="after")
    def _is_used(self) -> Recipe:
        """Refuse what the optimiser would ignore, or cannot do."""
        if self.optimizer == "muon" and self.trainable == "head":
            raise ValueError("optimizer = 'muon' is for the matrices of a ViT's blocks")
        if self.optimizer == "lbfgs":
            if self.trainable != "head":
                raise ValueError("optimizer = 'lbfgs' is for trainable = 'head'")
            for name, field in Recipe.model_fields.items():
                if name not in OF_A_PROBE and getattr(self, name) != field.default:
                    raise ValueError(f"{name} does nothing with optimizer 'lbfgs'")
        return self

    def vit_config(self, num_classes: int) -> ViTConfig:
        """The sizes of a network that begins from nothing, for this many classes."""
        names = ["patch_size", "image_size", "pooling", "dropout", "attention_dropout"]
        names += ["stochastic_depth", *(["num_layers"] if self.num_layers else [])]
        settings = {name: getattr(self, name) for name in names}
        return ViTConfig.named(str(self.network), num_classes=num_classes, **settings)

    def image_spec(self) -> ImageSpec:
        """How a network that begins from nothing wants its images, in training and ever after."""
        names = ("resize_mode", "interpolation", "reduced_decode", "image_size", "crop_fraction")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        size, fraction = given.pop("image_size"), given.pop("crop_fraction")
        if self.resize_mode == "crop":
            given["resize_size"] = round(size / fraction)
        return ImageSpec(size, **given)


def load_recipe(
    recipe: str | Path | Recipe = "scratch", settings: Mapping[str, Any] | None = None
) -> Recipe:
    """Read a recipe and change single settings.

    Args:
        recipe: the name of one that ships, the path of a TOML file, or one that was read before.
        settings: changes on top of it; text is read as TOML where it can be.

    Raises:
        RecipeError: naming the setting and what it may be.

    """
    values = recipe.model_dump() if isinstance(recipe, Recipe) else _read_toml(recipe)
    changes = {key: _parse(value) for key, value in (settings or {}).items()}
    if not isinstance(changes.get("weights"), str | None):  # a folder may be called 2024
        changes["weights"] = str((settings or {})["weights"])
    if (values | changes).get("weights"):
        values |= changes
    else:
        values = _expand_network(values) | _expand_network(changes)
    for key in values:
        if key not in Recipe.model_fields:
            close = difflib.get_close_matches(key, Recipe.model_fields, n=1, cutoff=0.0)
            raise RecipeError(f"unknown setting {key!r}: did you mean {close[0]!r}?")
    try:
        checked = Recipe(**values)
        if checked.weights is None:
            checked.vit_config(num_classes=2)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # not about one value alone
            raise RecipeError(str(first["ctx"]["error"])) from error
        raise RecipeError(f"{first['loc'][0]} = {first['input']!r}: {first['msg']}") from error
    except ValueError as error:
        raise RecipeError(str(error)) from error
    return checked


def unchanged(
    begun: Recipe, recipe: str | Path | None, settings: Mapping[str, Any] | None
) -> Recipe:
    """The settings to go on with a run that was begun with others or the same.

    Args:
        begun: the run's.
        recipe: see `load_recipe`; None for the run's.
        settings: as for `load_recipe`.

    Raises:
        RecipeError: if one that changes the result is not the run's.

    """
    known = {"weights": begun.weights} if begun.weights else {}
    asked = load_recipe(recipe or begun, known | dict(settings or {}))
    for name, before in begun:
        now = getattr(asked, name)
        if now != before and name not in CHANGEABLE and (name, now) != ("precision", "auto"):
            raise RecipeError(
                f"{name} is {before!r} in the run to go on with, not {now!r}: leave it out, or "
                "start anew with another --out"
            )
    return begun.model_copy(update={name: getattr(asked, name) for name in CHANGEABLE})


def recipe_names() -> list[str]:
    """The recipes that ship."""
    folder = files("foodvision") / "recipes"
    return sorted(
        Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")
    )


def _read_toml(recipe: str | Path) -> dict[str, Any]:
    name = str(recipe)
    if name in recipe_names():
        return tomllib.loads((files("foodvision") / "recipes" / f"{name}.toml").read_text("utf-8"))
    try:
        return tomllib.loads(Path(recipe).read_text("utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(
            f"no recipe {name!r}: there are {', '.join(recipe_names())}, or give a TOML file"
        ) from error
    except (OSError, ValueError) as error:
        raise RecipeError(f"{name}: cannot be read as TOML ({error})") from error


def _parse(value: Any) -> Any:
    """Text from the command line: a TOML value if it is one, else itself."""
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _expand_network(values: dict[str, Any]) -> dict[str, Any]:
    """Take the patch size out of a network's name: `vit_b16` is vit_b with patch_size 16."""
    if not isinstance(values.get("network"), str):
        return values
    try:
        variant, patch_size = parse_name(values["network"])
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if patch_size is None:
        return values
    if values.get("patch_size", patch_size) != patch_size:
        raise RecipeError(f"network {values['network']} and patch_size {values['patch_size']}")
    return values | {"network": f"vit_{variant}", "patch_size": patch_size}
