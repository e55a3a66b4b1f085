from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from foodvision.models.config import PATCH_SIZES, VARIANTS, ViTConfig, parse_name
from foodvision.models.vit import EncoderBlock, ViT, sine_positions

# google-research/vision_transformer and torchvision count the same; 1000 classes, 224 px.
PARAMETERS = {
    "vit_ti16": 5_717_416,
    "vit_s16": 22_050_664,
    "vit_b16": 86_567_656,
    "vit_b32": 88_224_232,
    "vit_l16": 304_326_632,
    "vit_l32": 306_535_400,
    "vit_h14": 632_045_800,
}
GOLDEN = [1.806593137159, -6.713296867084, 4.450259626572, 3.133204734384, -5.395225492603]
SMALL = ViTConfig(
    image_size=(16, 24),
    patch_size=8,
    num_layers=3,
    hidden_size=12,
    mlp_size=20,
    num_heads=3,
    num_classes=5,
)


def count_parameters(config: ViTConfig) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in ViT(config).parameters())


def random_vit(config: ViTConfig = SMALL, seed: int = 0) -> ViT:
    torch.manual_seed(seed)
    vit = ViT(config).eval()
    for weight in vit.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return vit


@pytest.mark.parametrize("name", PARAMETERS)
def test_exact_parameter_counts(name: str) -> None:
    assert count_parameters(ViTConfig.named(name)) == PARAMETERS[name]


def test_every_variant_has_a_count() -> None:
    assert {parse_name(name)[0] for name in PARAMETERS} == set(VARIANTS)


def test_three_classes_and_higher_resolution() -> None:
    assert count_parameters(ViTConfig.named("vit_b16", num_classes=3)) == 85_800_963
    assert count_parameters(ViTConfig.named("vit_b16", image_size=384)) == 86_859_496
    assert count_parameters(ViTConfig.named("vit_h14", image_size=518)) == 633_470_440


@pytest.mark.parametrize("patch_size", PATCH_SIZES)
@pytest.mark.parametrize("pooling", ["class_token", "average"])
def test_any_patch_size_shape_and_channels(patch_size: int, pooling: str) -> None:
    config = ViTConfig.named(
        f"vit_ti{patch_size}",
        image_size=(2 * patch_size, 3 * patch_size),
        num_channels=4,
        num_classes=7,
        pooling=pooling,
    )
    logits = ViT(config)(torch.randn(2, 4, 2 * patch_size, 3 * patch_size))
    assert logits.shape == (2, 7)


def test_equation_1_patches_and_projection_are_a_strided_convolution() -> None:
    embedding = random_vit().embedding
    x = torch.randn(2, 3, 16, 24)
    kernel = embedding.E.weight.reshape(12, 3, 8, 8)
    convolved = F.conv2d(x, kernel, embedding.E.bias, stride=8).flatten(2).transpose(1, 2)
    z = embedding(x)
    torch.testing.assert_close(z[:, 1:], convolved + embedding.E_pos[:, 1:])
    torch.testing.assert_close(
        z[:, 0], (embedding.x_class + embedding.E_pos[:, :1])[0].expand(2, -1)
    )


def test_equations_2_and_3_are_two_residual_branches() -> None:
    block: EncoderBlock = random_vit().blocks[1]
    z = torch.randn(2, 7, 12)
    after_attention = block.msa(block.norm1(z)) + z
    expected = block.mlp(block.norm2(after_attention)) + after_attention
    torch.testing.assert_close(block(z), expected)


def test_equation_4_takes_the_normalised_class_token() -> None:
    vit = random_vit()
    x = torch.randn(2, 3, 16, 24)
    z = vit.embedding(x)
    for block in vit.blocks:
        z = block(z)
    torch.testing.assert_close(vit.features(x), vit.norm(z)[:, 0])


def test_equations_5_to_8_token_by_token() -> None:
    """The fused kernel against the plain equations, written as loops in float64."""
    msa = random_vit().blocks[0].msa.double()
    B, n, D, k = 2, 7, 12, 3
    Dh = D // k
    z = torch.randn(B, n, D, dtype=torch.float64)
    expected = torch.zeros(B, n, D, dtype=torch.float64)
    for b in range(B):
        heads = []
        for h in range(k):
            rows = slice(h * Dh, (h + 1) * Dh)
            q, key, v = (
                z[b] @ weight[rows].T + bias[rows]
                for weight, bias in zip(
                    msa.U_qkv.weight.chunk(3), msa.U_qkv.bias.chunk(3), strict=True
                )
            )  # Eq. 5
            SA = torch.zeros(n, Dh, dtype=torch.float64)
            for i in range(n):
                scores = [(q[i] @ key[j]).item() / math.sqrt(Dh) for j in range(n)]
                total = sum(math.exp(score) for score in scores)
                for j in range(n):
                    SA[i] += math.exp(scores[j]) / total * v[j]  # Eq. 6 and 7
            heads.append(SA)
        expected[b] = torch.cat(heads, dim=1) @ msa.U_msa.weight.T + msa.U_msa.bias  # Eq. 8
    torch.testing.assert_close(msa(z), expected, rtol=1e-10, atol=1e-10)


def test_attention_maps_reproduce_the_output() -> None:
    vit = random_vit()
    x = torch.randn(2, 3, 16, 24)
    A = vit.attention(x)
    assert A.shape == (3, 2, 3, 7, 7)
    torch.testing.assert_close(A.sum(-1), torch.ones(3, 2, 3, 7))
    # The second layer's A, applied to its values, gives what the fused kernel gives.
    block = vit.blocks[1]
    z = block.norm1(vit.blocks[0](vit.embedding(x)))
    _, _, v = block.msa.qkv(z)
    plain = block.msa.U_msa((A[1] @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(block.msa(z), plain)


def test_average_pooling_has_no_class_token() -> None:
    vit = random_vit(ViTConfig(**{**vars(SMALL), "pooling": "average"}))
    x = torch.randn(2, 3, 16, 24)
    assert vit.embedding(x).shape == (2, 6, 12)
    assert vit.attention(x).shape == (3, 2, 3, 6, 6)


def test_initialisation_equals_the_authors() -> None:
    torch.manual_seed(0)
    vit = ViT(ViTConfig.named("vit_s16", image_size=64)).requires_grad_(False)
    assert (vit(torch.randn(2, 3, 64, 64)) == 0).all()  # so the first loss is log K
    assert (vit.embedding.x_class == 0).all()
    assert (vit.embedding.E_pos[:, 0] == 0).all()
    assert vit.embedding.E.weight.std() == pytest.approx(768**-0.5, rel=0.02)
    bound = math.sqrt(6 / (384 + 384))
    for matrix in vit.blocks[0].msa.U_qkv.weight.chunk(3):
        assert bound * 0.99 < matrix.abs().max() <= bound
    assert vit.blocks[0].mlp[0].bias.std() == pytest.approx(1e-6, rel=0.1)
    assert vit.norm.eps == 1e-6


def test_positions_are_initialised_as_sines_of_column_and_row() -> None:
    positions = sine_positions(3, 5, 18).reshape(3, 5, 18)
    row, column = 2, 4
    for i, frequency in enumerate([1.0, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3), 1e-4]):
        assert positions[row, column, [i, 4 + i, 8 + i, 12 + i]].tolist() == pytest.approx(
            [
                math.sin(column * frequency),
                math.cos(column * frequency),
                math.sin(row * frequency),
                math.cos(row * frequency),
            ],
            abs=1e-6,
        )
    assert (positions[..., 16:] == 0).all()
    vit = ViT(SMALL)
    assert vit.embedding.E_pos[0, 1:].equal(sine_positions(*SMALL.grid, SMALL.hidden_size))


def test_the_last_block_skips_only_unused_tokens() -> None:
    vit = random_vit(SMALL)
    z = vit.embedding(torch.randn(2, 3, 16, 24))
    block = vit.blocks[0]
    torch.testing.assert_close(block(z, 1), block(z)[:, :1])
    for skipped, whole in zip(
        torch.autograd.grad(block(z, 1).sum(), block.parameters()),
        torch.autograd.grad(block(z)[:, :1].sum(), block.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(skipped, whole)


def test_golden_logits() -> None:
    """Computed once with this code, when its logits equalled torchvision's and timm's."""
    vit = ViT(SMALL).eval().double()
    with torch.no_grad():
        for i, weight in enumerate(vit.parameters()):
            weight.copy_(torch.sin(torch.arange(weight.numel()) * 0.7 + i).view_as(weight))
        x = torch.linspace(-1, 1, 3 * 16 * 24, dtype=torch.float64).reshape(1, 3, 16, 24)
        logits = vit(x)
    expected = torch.tensor([GOLDEN], dtype=torch.float64)
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-9)


def test_dropout_and_stochastic_depth_act_in_training_only() -> None:
    for setting in ("dropout", "attention_dropout", "stochastic_depth"):
        vit = random_vit(ViTConfig(**{**vars(SMALL), setting: 0.5}))
        x = torch.randn(4, 3, 16, 24)
        assert vit(x).equal(vit(x)), setting
        vit.train()
        assert not vit(x).equal(vit(x)), setting


def test_stochastic_depth_grows_linearly_to_the_last_block() -> None:
    vit = ViT(ViTConfig(**{**vars(SMALL), "stochastic_depth": 0.2}))
    assert [block.skip.p for block in vit.blocks] == pytest.approx([0.0, 0.1, 0.2])


def test_head_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert random_vit()(torch.randn(1, 3, 16, 24)).dtype == torch.float32


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="takes 3 channels"):
        random_vit()(torch.randn(1, 3, 16, 16))


def test_attention_in_bf16_on_the_cpu_equals_the_fused_kernel() -> None:
    """There it is written as products: same numbers to bf16's three digits; dropout works."""
    msa = random_vit(SMALL).blocks[0].msa.bfloat16()
    z = torch.randn(2, 7, SMALL.hidden_size, dtype=torch.bfloat16)
    q, k, v = msa.qkv(z)
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    expected = msa.U_msa(fused.transpose(1, 2).flatten(2))
    torch.testing.assert_close(msa(z), expected, atol=2e-2, rtol=2e-2)
    assert msa(z).equal(msa.train()(z))
    msa.attention_dropout = 0.5
    assert not msa(z).equal(msa(z))
    assert msa.eval()(z).equal(msa(z))


def test_stages_hold_every_parameter_except_the_heads_exactly_once() -> None:
    network = ViT(ViTConfig.named("vit_ti16", num_layers=3))
    held = [id(weight) for stage in network.stages() for weight in stage.parameters()]
    heads = {id(weight) for weight in network.head.parameters()}
    assert len(network.stages()) == 5
    assert sorted(held) == sorted({id(weight) for weight in network.parameters()} - heads)
