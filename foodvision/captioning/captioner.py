"""The captioner: images in, sentences out. Loading it runs no code from a file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foodvision.backends.device import choose_device, has_fast_bf16
from foodvision.backends.torch import answers_in_batches
from foodvision.bounds import check_whole
from foodvision.captioning import BASE
from foodvision.captioning.caption import Caption, CaptionSettings
from foodvision.captioning.repository import find_captioner
from foodvision.errors import FoodvisionError, ImageError, MissingExtraError, ModelError
from foodvision.images.decode import ImageSource
from foodvision.images.spec import ImageSpec
from foodvision.images.transforms import open_pixels, prepare
from foodvision.rows.row import name_of
from foodvision.weights.repository import DAMAGES, explain
from foodvision.weights.tensors import read_tensors

DEFAULTS = CaptionSettings()


class Captioner:
    """BLIP with its tokenizer and its preparation of images.

    Attributes:
        network: transformers' `BlipForConditionalGeneration`, in evaluation mode.
        processor: transformers' `BlipProcessor`.
        spec: what the processor does with an image, for `images.transforms`.
        name: of the folder that it was loaded from, without its path; or the Hub id.

    """

    def __init__(self, network: Any, processor: Any, spec: ImageSpec, name: str) -> None:
        self.network, self.processor, self.spec, self.name = network, processor, spec, name

    @classmethod
    @torch.inference_mode(False)
    def load(
        cls, model: str | Path = BASE, device: str = "auto", backend: str | None = None
    ) -> Captioner:
        """Load a folder that transformers wrote, or a model of the Hub.

        Args:
            model: a folder, or a Hub id.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            backend: device and precision as in ``cpu/bf16``; None for that device, and bf16
                where it is fast.

        Raises:
            ModelError: if it is missing or damaged, or is not a BLIP captioner.
            MissingExtraError: if transformers is not installed.
            FoodvisionError: if the machine has no such device.

        """
        device, _, precision = (backend or f"{device}/auto").partition("/")
        target = choose_device(device)
        repository = find_captioner(model)
        try:
            import transformers
        except ImportError as error:
            raise MissingExtraError("captioning", "caption") from error
        dtype = torch.float32
        if precision == "bf16" or (precision == "auto" and has_fast_bf16(target)):
            dtype = torch.bfloat16
        try:
            tensors = read_tensors(repository.weights)
            with _quietly(transformers.utils.logging):
                processor = transformers.BlipProcessor.from_pretrained(
                    repository.folder, local_files_only=True, trust_remote_code=False
                )
                config = transformers.BlipConfig.from_pretrained(
                    repository.folder, local_files_only=True
                )
                network, found = transformers.BlipForConditionalGeneration.from_pretrained(
                    None, config=config, state_dict=tensors, dtype=dtype, output_loading_info=True
                )
            if missing := sorted(found["missing_keys"]):
                raise ModelError(f"{repository.weights.name} lacks {len(missing)}: {missing[0]} …")
            spec = ImageSpec.from_preprocessor_config(_plain(processor.image_processor.to_dict()))
        except ModelError as error:
            raise ModelError(f"{model}: {error}") from error
        except DAMAGES as error:
            raise ModelError(f"{model}: cannot be loaded ({explain(error)})") from error
        except Exception as error:  # transformers' libraries raise any kind for a damaged file
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"{model}: cannot be loaded ({reason})") from error
        # What a file says about generating is not used: the settings say all of it.
        network.text_decoder.generation_config = transformers.GenerationConfig()
        name = Path(model).resolve().name if Path(model).is_dir() else str(model)
        return cls(network.eval().to(target), processor, spec, name)

    @property
    def device(self) -> torch.device:
        """Where the network's weights are."""
        return next(self.network.parameters()).device

    @property
    def backend(self) -> str:
        """Device and precision, such as ``cpu/bf16``: they decide the last bits of an answer."""
        dtype = next(self.network.parameters()).dtype
        return f"{self.device.type}/{'bf16' if dtype == torch.bfloat16 else 'float32'}"

    @torch.inference_mode()
    def caption(self, source: ImageSource, settings: CaptionSettings = DEFAULTS) -> Caption:
        """Write the captions of one image.

        Args:
            source: what `open_image` takes.
            settings: how they are written.

        Raises:
            ImageError: if it cannot be opened.
            FoodvisionError: if prefix and caption together are too long for the network.

        """
        pixels = prepare(open_pixels(source, self.spec), self.spec)
        (captions,) = self._write(pixels[None].to(self.device), settings)
        return Caption(name_of(source), captions[0], captions)

    def caption_many(
        self,
        sources: Iterable[ImageSource],
        settings: CaptionSettings = DEFAULTS,
        batch_size: int = 8,
    ) -> Iterator[Caption]:
        """Write captions as images come, in their order; a bad image has its `error` set.

        Raises:
            ValueError: if `batch_size` is not a positive integer.
            FoodvisionError: as `caption` does.

        """
        check_whole("batch_size", batch_size, 1, 1_000_000)
        names: deque[str] = deque()

        def remembered() -> Iterator[ImageSource]:
            for source in sources:
                names.append(name_of(source))
                yield source

        def answered(result: tuple[str, ...] | ImageError) -> Caption:
            name = names.popleft()
            if isinstance(result, ImageError):
                return Caption(name, error=result.reason)
            return Caption(name, result[0], result)

        results = answers_in_batches(
            lambda x: self._write(x, settings), remembered(), self.spec, self.device, batch_size
        )
        return map(answered, results)

    def _write(self, pixels: Tensor, settings: CaptionSettings) -> list[tuple[str, ...]]:
        """The captions of prepared images (B, 3, H, W)."""
        config, tokenizer = self.network.config.text_config, self.processor.tokenizer
        prefix = tokenizer(settings.prefix.strip(), add_special_tokens=False).input_ids
        room = config.max_position_embeddings - 1 - len(prefix)
        if settings.max_length > room:
            raise FoodvisionError(
                f"prefix and max_length are too long together: this model has room for {room} "
                "tokens after the prefix"
            )
        # `generate` drops the last token, where a tokenizer puts the end of a text.
        tokens = torch.tensor([config.bos_token_id, *prefix, config.sep_token_id])
        tokens = tokens.repeat(len(pixels), 1).to(self.device)
        written = self.network.generate(
            pixels,
            tokens,
            torch.ones_like(tokens),
            do_sample=False,
            num_beams=max(settings.beams, settings.captions),
            num_return_sequences=settings.captions,
            max_new_tokens=settings.max_length,
            repetition_penalty=float(settings.repetition_penalty),
        )
        texts = tokenizer.batch_decode(written[:, 1:], skip_special_tokens=True)
        texts = [" ".join(text.split()) for text in texts]
        n = settings.captions
        return [tuple(texts[i : i + n]) for i in range(0, len(texts), n)]


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """With lists, as in a file."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in config.items()}


@contextmanager
def _quietly(logging: Any) -> Iterator[None]:
    """Transformers reports on stderr what is checked here, and shows a bar for a second's work."""
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
