"""A tiny BLIP with random weights, saved by transformers in the format of Salesforce's models."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "a", "the", "of", "on", "photo", "dog", "cat", "beach"]


def save_tiny_blip(folder: Path) -> None:
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = BlipConfig(
        text_config=size
        | {
            "vocab_size": len(WORDS) + 2,  # as in the real one: two tokens that are no words
            "num_attention_heads": 2,
            "max_position_embeddings": 48,
            "bos_token_id": len(WORDS),
            "sep_token_id": WORDS.index("[SEP]"),
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        vision_config=size | {"num_attention_heads": 2, "image_size": 48, "patch_size": 16},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BlipForConditionalGeneration(config)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.6)
        with torch.no_grad():  # so that captions have words, and some end by themselves
            bias = network.text_decoder.cls.predictions.bias
            bias[: len(SPECIAL)], bias[len(WORDS) :] = -9, -9
            bias[WORDS.index("[SEP]")] = 1
    network.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 48, "width": 48}), tokenizer).save_pretrained(
        folder
    )


def as_salesforce(folder: Path) -> None:
    """Change a folder to the files of the Hub: what transformers 4 wrote, weights as a pickle."""
    from safetensors.torch import load_file

    processor = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").unlink()
    preparation = processor["image_processor"] | {"processor_class": "BlipProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(preparation))
    config = json.loads((folder / "config.json").read_text())
    legacy = {"max_length": 20, "num_beams": 1, "do_sample": False, "diversity_penalty": 0.0}
    legacy |= {"bad_words_ids": None, "chunk_size_feed_forward": 0, "torch_dtype": None}
    config["text_config"] |= legacy
    config |= {"_commit_hash": None, "torch_dtype": "float32", "transformers_version": None}
    (folder / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    tensors["text_decoder.bert.embeddings.position_ids"] = torch.arange(48)[None]
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
