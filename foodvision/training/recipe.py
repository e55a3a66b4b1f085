"""What to train and how: every setting of a run, with its meaning, in one place.

`foodvision.training.settings` makes a `Recipe` from a TOML file and single changes. It is written
into the model, so that a run can be read and repeated.
"""

from __future__ import annotations

import tomllib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from foodvision.backends import Precision
from foodvision.images.spec import MAX_SIDE, ImageSpec, Interpolation, ResizeMode
from foodvision.models.config import Pooling, ViTConfig

SCRATCH_DEFAULTS: dict[str, Any] = {
    "network": "vit_ti",
    "patch_size": 8,
    "image_size": 64,
    "pooling": "class_token",
    "resize_mode": "crop",
    "crop_fraction": 1.0,
    "interpolation": "bilinear",
    "normalise": True,
    "reduced_decode": False,
}
"""What pretrained weights bring with them, and its value when training from scratch."""

BESIDE_WEIGHTS = ("network", "patch_size", "image_size", "reduced_decode")
"""Those of `SCRATCH_DEFAULTS` that a recipe may change although the weights bring them."""

TEACHER_DEFAULTS: dict[str, Any] = {"teacher_weight": 0.9, "teacher_temperature": 1.0}
"""What a teacher brings with it; without one, these settings have no value."""

PRETRAIN_UNUSED: dict[str, Any] = {
    **dict.fromkeys(("weights", "teacher", "teacher_weight", "teacher_temperature")),
    **{"trainable": "all", "class_weights": "none"},
    **{"mixup": 0.0, "cutmix": 0.0, "label_smoothing": 0.0, "auto_augment": "none", "erasing": 0.0},
    **{"mix_probability": 1.0, "magnitude": 9},
}
"""Settings that have no place in pretraining, with the value that leaves them out: there are no
labels to mix, smooth or weight, and the targets are an image's own colours."""

PROBE_SETTINGS = {
    *("method", "weights", *BESIDE_WEIGHTS, "batch_size", "precision"),
    *("class_weights", "seed", "classes", "exclude_classes", "fraction", "validation_fraction"),
}
"""All settings that a probe uses."""


def _split(value: Any) -> Any:
    """Names separated by commas, as the command line has them; or a TOML list."""
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        try:
            return tomllib.loads(f"names = {value}")["names"]
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
    return tuple(name for text in value.split(",") if (name := text.strip()))


class Recipe(BaseModel):
    """All settings of a training run."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    method: Literal["scratch", "finetune", "probe", "pretrain"]
    """Train from scratch; train pretrained weights further, epoch by epoch; fit the head alone
    on features that are computed once, by L-BFGS, with the L2 penalty that validates best; or train
    all but the head from scratch, without labels, by self-supervision. finetune if weights are
    given, else scratch."""
    weights: str | None = None
    """Pretrained weights to begin with (see `read_checkpoint`). They bring their network and the
    preparation of their images, and get a new head of zeros unless theirs has the same classes."""
    trainable: Literal["all", "head"] = "all"
    """What `finetune` trains: all layers, or the head alone."""
    network: str | None = None
    """Table 1's variant: vit_ti, vit_s, vit_b, vit_l, vit_h; `vit_b16` also sets patch_size.
    vit_ti, or that of the weights, which must match."""
    patch_size: int | None = Field(None, ge=1, le=1024)
    """P, pixels of a patch's side: the paper's are 14, 16 and 32; at most 1,024. 8, or that of the
    weights; with another one, their patch projection is resized (FlexiViT, arXiv 2212.08013)."""
    image_size: int | None = Field(None, ge=1, le=MAX_SIDE)
    """Pixels of the input's side, a multiple of patch_size, at most 2,048. 64, or that of the
    weights; with another one, position embeddings are resized (section 3.2)."""
    num_layers: int | None = Field(None, ge=1, le=256)
    """L, if other than the variant's; at most 256."""
    hidden_size: int | None = Field(None, ge=1, le=16_384)
    """D, if other than the variant's, whose number of heads must divide it; at most 16,384. The MLP
    is 4 D wide."""
    pooling: Pooling | None = None
    """What the head sees: the class token (the paper's) or the average of the patches. class_token,
    or that of the weights."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Probability, after the embedding and every dense layer."""
    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Probability, on the attention weights."""
    stochastic_depth: float = Field(0.0, ge=0, lt=1)
    """Probability of skipping the last block's branches; grows linearly from 0 at the first."""

    resize_mode: ResizeMode | None = None
    """How an image becomes square: crop its centre, squash it or pad it. crop, or that of the
    weights."""
    crop_fraction: float | None = Field(None, ge=0.1, le=1)
    """Share of the shorter side that `crop` keeps outside of training, 0.1 to 1; below 1, objects
    are as large as in training's random crops (FixRes, arXiv 1906.06423). 1, or that of the
    weights."""
    interpolation: Interpolation | None = None
    """Of the antialiased resize: bilinear or bicubic. bilinear, or that of the weights."""
    normalise: bool | None = None
    """Give the network values in −1 to 1, as the paper's code does; false leaves them in 0 to 1.
    true, or the mean and deviation of the weights."""
    reduced_decode: bool | None = None
    """Decode large JPEGs at a smaller scale, in training and afterwards. false, or that of the
    weights."""
    min_area: float = Field(0.35, ge=0.01, le=1)
    """Smallest share of the image that a random crop keeps, 0.01 to 1; 1 is the view of
    evaluation."""
    flip: float = Field(0.5, ge=0, le=1)
    """Probability of a horizontal flip."""
    auto_augment: Literal["none", "randaugment", "trivialaugment"] = "none"
    """Random colour and shape changes: none, randaugment or trivialaugment."""
    magnitude: int = Field(9, ge=0, le=30)
    """Of randaugment's changes."""
    erasing: float = Field(0.0, ge=0, le=1)
    """Probability of erasing a random rectangle."""
    mixup: float = Field(0.0, ge=0, le=100)
    """Mix two images of a batch, the share drawn from Beta(mixup, mixup); 0 for never, at most
    100."""
    cutmix: float = Field(0.0, ge=0, le=100)
    """Paste a rectangle of another image, the share from Beta(cutmix, cutmix); 0 for never, at most
    100."""
    mix_probability: float = Field(1.0, ge=0, le=1)
    """Share of the batches that are mixed, by mixup or cutmix, whichever are on."""

    teacher: str | None = None
    """A trained classifier, as `Classifier.load` takes it, whose probabilities the network learns
    too. It sees the very images that the network sees, after all random changes, and must know all
    classes to learn, by name; its other classes are ignored."""
    teacher_weight: float | None = Field(None, gt=0, le=1)
    """Share of the loss that is the teacher's, the rest the labels'; with 1, labels are not in it.
    0.9 with a teacher."""
    teacher_temperature: float | None = Field(None, ge=0.1, le=100)
    """By which the logits of teacher and network are divided in the teacher's term, 0.1 to 100;
    above 1, unlikely classes count more. 1 with a teacher."""

    epochs: int = Field(60, ge=1, le=100_000)
    """Passes over the training images, at most 100,000."""
    batch_size: int = Field(64, ge=1, le=65_536)
    """Images of one batch, on all devices together; at most 65,536."""
    accumulate: int = Field(1, ge=1, le=65_536)
    """Batches whose gradients are averaged before the weights change; at most 65,536."""
    optimizer: Literal["adamw", "adam", "muon", "sgd"] = "adamw"
    """AdamW; Adam; Muon for the encoder's matrices and AdamW for the rest; or SGD with momentum 0.9
    (the paper's for fine-tuning)."""
    learning_rate: float = Field(1e-3, gt=0)
    """At the end of the warm-up."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Factor of the learning rate from each stage of the network to the one before it; the head and
    the last stage have the full rate (BEiT, arXiv 2106.08254)."""
    weight_decay: float = Field(0.05, ge=0, le=100)
    """At most 100; decoupled for AdamW and Muon, never on biases, norms, class token and position
    embeddings. For Adam, L2 in the gradient of every parameter, as torch.optim.Adam has it."""
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises linearly from 0."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to 0 after the warm-up; constant does not fall."""
    clip_norm: float = Field(1.0, gt=0)
    """Global norm to which a gradient is scaled down (the paper's 1)."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` gives rare classes more weight in the loss; the saved model is free of
    that shift."""
    ema_decay: float = Field(0.0, ge=0, lt=1)
    """Of the moving average of the weights, which is what is validated and saved; 0 for none. After
    step t it is at most (1 + t) / (10 + t)."""
    patience: int = Field(0, ge=0)
    """Stop after this many epochs without a lower validation log loss; 0 never stops early."""
    precision: Precision = "auto"
    """Of the training step; auto is bf16 autocast on devices where it is fast."""
    compile: bool = False
    """Compile the network with torch.compile first; on a CPU this needs a C++ compiler."""
    sharded: bool | None = None
    """Whether each of several processes keeps a part of weights, gradients and optimiser state
    (FSDP2), or all of them. true for networks larger than L. Does not change the result."""

    seed: int = Field(0, ge=0, lt=2**63)
    """Of all random choices; below 2⁶³."""
    classes: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """Classes to learn; empty for all of the dataset's."""
    exclude_classes: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """Classes to leave out."""
    fraction: float = Field(1.0, gt=0, le=1)
    """Share of each class's training images to learn from; validation images stay the same."""
    validation_fraction: float = Field(0.15, gt=0, lt=1)
    """Share of the training images used for validation if the data has no validation split."""
    num_workers: int = Field(0, ge=0, le=128)
    """Processes that prepare images, at most 128; with 0 the main process prepares them between
    steps. Does not change the result."""
    trackers: Annotated[tuple[Literal["tensorboard", "wandb"], ...], BeforeValidator(_split)] = ()
    """Where the history is also logged. Does not change the result."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in what the method leaves open, and refuse what it leaves no place for."""
        given = {name: value for name, value in values.items() if value is not None}
        method = given.setdefault("method", "finetune" if "weights" in given else "scratch")
        if method == "pretrain":
            return SCRATCH_DEFAULTS | {"label_smoothing": 0.0} | given
        if given.get("teacher"):
            given = TEACHER_DEFAULTS | given
        elif any(name in given for name in ("teacher", *TEACHER_DEFAULTS)):
            raise ValueError(
                "this recipe learns from a teacher: give --set teacher=MODEL, a folder of a "
                "trained model or a Hub id OWNER/NAME"
            )
        if method == "scratch":
            if "weights" in given:
                raise ValueError(
                    "method = 'scratch' takes no weights: leave them out, or choose a recipe that "
                    "begins with weights, such as probe or finetune"
                )
            return SCRATCH_DEFAULTS | given
        if not given.get("weights"):
            raise ValueError(
                "this recipe begins with pretrained weights: give --weights, such as "
                "torchvision:vit_b_16/IMAGENET1K_V1, timm:NAME, hub:OWNER/NAME, box or a file"
            )
        for name in (*SCRATCH_DEFAULTS, "num_layers", "hidden_size"):
            if name in given and name not in BESIDE_WEIGHTS:
                raise ValueError(f"{name} comes with the weights: leave it out")
        return given

    @model_validator(mode="after")
    def _is_used(self) -> Recipe:
        """Refuse settings that the method would ignore, or cannot apply."""
        if self.method == "probe":
            for name, field in Recipe.model_fields.items():
                if name not in PROBE_SETTINGS and getattr(self, name) != field.default:
                    raise ValueError(f"{name} does nothing with method 'probe'")
        if self.method == "pretrain":
            for name, unused in PRETRAIN_UNUSED.items():
                if getattr(self, name) != unused:
                    raise ValueError(f"{name} has no place in pretraining: leave it out")
        if self.trainable == "head" and self.method == "scratch":
            raise ValueError("trainable = 'head' needs weights to take the other layers from")
        if self.optimizer == "muon" and self.trainable == "head":
            raise ValueError("optimizer = 'muon' is for the matrices of a ViT's blocks")
        return self

    @property
    def trains_head_alone(self) -> bool:
        """Whether the layers below the head stay as the weights have them."""
        return self.method == "probe" or self.trainable == "head"

    @property
    def changes_images(self) -> bool:
        """Whether an image looks different from epoch to epoch."""
        mixes = self.mix_probability > 0 and (self.mixup > 0 or self.cutmix > 0)
        changes = self.auto_augment != "none" or self.flip > 0 or self.erasing > 0
        return self.min_area < 1 or changes or mixes

    def vit_config(self, num_classes: int) -> ViTConfig:
        """The sizes of a network to train from scratch, for this many classes."""
        names = ["patch_size", "image_size", "pooling", "dropout", "attention_dropout"]
        names += ["stochastic_depth", *(["num_layers"] if self.num_layers else [])]
        settings = {name: getattr(self, name) for name in names}
        if D := self.hidden_size:
            settings |= {"hidden_size": D, "mlp_size": 4 * D}  # as in Table 1
        config = ViTConfig.named(str(self.network), num_classes=num_classes, **settings)
        if self.method == "pretrain" and config.grid == (1, 1):
            raise ValueError("pretraining hides patches: image_size must be above patch_size")
        return config

    def image_spec(self) -> ImageSpec:
        """How images are prepared for a network that is trained from scratch."""
        names = ("resize_mode", "interpolation", "reduced_decode", "image_size", "crop_fraction")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        size, fraction = given.pop("image_size"), given.pop("crop_fraction")
        if self.resize_mode == "crop":
            given["resize_size"] = whole = round(size / fraction)
            if whole > 2 * MAX_SIDE:
                raise ValueError(
                    f"crop_fraction = {fraction:g}: images of {size:,} px would be cut from "
                    f"{whole:,} px, at most {2 * MAX_SIDE:,}"
                )
        if not self.normalise:
            given |= {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        return ImageSpec(size, **given)
