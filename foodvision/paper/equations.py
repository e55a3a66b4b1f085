"""Is our code the paper's equations? Each one by naive loops in float64, against our `ViT`.

An image goes through a small random `ViT`, whose intermediate results are recorded. The same image
then goes through the functions below, which read nothing but the weights: one per equation, in
plain Python, token by token and number by number. Each records the largest difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from foodvision.errors import ModelError
from foodvision.evaluation.tables import Table
from foodvision.models.config import ViTConfig
from foodvision.models.vit import EncoderBlock, ViT

TOLERANCE = 1e-10
"""What float64 may differ by, of results of the order of 1 to 10."""

CONFIG = ViTConfig(
    image_size=(16, 24),
    patch_size=8,
    num_layers=3,
    hidden_size=12,
    mlp_size=20,
    num_heads=3,
    num_classes=5,
)

STATEMENTS = {
    1: ("z_0 = [x_class; x_p¹E; ...; x_pᴺE] + E_pos", "PatchEmbedding.forward"),
    2: ("z'_l = MSA(LN(z_(l-1))) + z_(l-1)", "EncoderBlock.forward"),
    3: ("z_l = MLP(LN(z'_l)) + z'_l", "EncoderBlock.forward"),
    4: ("y = LN(z_L⁰)", "ViT.features"),
    5: ("[q, k, v] = z U_qkv", "MSA.qkv"),
    6: ("A = softmax(q kᵀ / √D_h)", "MSA.weights"),
    7: ("SA(z) = A v", "MSA.forward"),
    8: ("MSA(z) = [SA_1(z); ...; SA_k(z)] U_msa", "MSA.forward"),
}
"""What each equation says, and where it is in `foodvision.models.vit`."""

Row: TypeAlias = list[float]
Matrix: TypeAlias = list[Row]
"""Tokens as rows."""


class Equation(NamedTuple):
    """One equation, checked.

    Attributes:
        number: 1 to 8.
        statement: what it says.
        symbol: where it is in `foodvision.models.vit`.
        max_abs_diff: the largest absolute difference of any number, over all layers and heads.

    """

    number: int
    statement: str
    symbol: str
    max_abs_diff: float


def measure_equations() -> list[Equation]:
    """Compare each equation, written as loops, with our code on one random image.

    Raises:
        ModelError: if one differs by more than `TOLERANCE`.

    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        vit = ViT(CONFIG).double().eval()
        for weight in vit.parameters():
            nn.init.normal_(weight, std=0.4)  # zeros and ones would hide a mistake
        image = torch.randn(1, CONFIG.num_channels, *CONFIG.input_size, dtype=torch.float64)
        recorded = _recorded(vit, image)
    differences = _Differences(recorded)
    _in_loops(vit, image[0].tolist(), differences)
    rows = [
        Equation(number, *STATEMENTS[number], differences.largest[number]) for number in STATEMENTS
    ]
    for row in rows:
        if not row.max_abs_diff <= TOLERANCE:
            raise ModelError(
                f"Eq. {row.number}: {row.symbol} differs from {row.statement} by "
                f"{row.max_abs_diff:.1e}, which is more than {TOLERANCE:g}"
            )
    return rows


def equations_table(rows: Sequence[Equation]) -> Table:
    """The equations with their differences."""
    cells = [
        [str(row.number), row.statement, row.symbol, f"{row.max_abs_diff:.1e}"] for row in rows
    ]
    header = ["Eq.", "says", "in foodvision/models/vit.py", "largest difference"]
    note = "One random image through three layers in float64: loops over numbers against our code."
    return Table("Equations 1 to 8", header, cells, note, words=(1, 2))


def _recorded(vit: ViT, image: Tensor) -> dict[tuple[int, int], Tensor]:
    """What our code computes, by the number of the equation and the layer (0 if it has none)."""
    found: dict[tuple[int, int], Tensor] = {}
    hooks = []

    def keep(key: tuple[int, int], value: Tensor) -> None:
        found[key] = value[0]

    for layer, block in enumerate(vit.blocks, 1):
        msa: Any = block.msa
        norm2: Any = block.norm2
        hooks += [
            norm2.register_forward_pre_hook(lambda _, x, i=layer: keep((2, i), x[0])),
            block.register_forward_hook(lambda _, x, z, i=layer: keep((3, i), z)),
            msa.register_forward_pre_hook(lambda m, x, i=layer: keep((6, i), m.weights(x[0]))),
            msa.U_msa.register_forward_pre_hook(lambda _, x, i=layer: keep((7, i), x[0])),
            msa.register_forward_hook(lambda _, x, z, i=layer: keep((8, i), z)),
        ]

        def queries(m: Any, x: tuple[Tensor, ...], i: int = layer) -> None:
            keep((5, i), torch.stack(m.qkv(x[0])).transpose(0, 1))  # (1, 3, k, n, D_h)

        hooks.append(msa.register_forward_pre_hook(queries))
    hooks.append(vit.embedding.register_forward_hook(lambda _, x, z: keep((1, 0), z)))
    try:
        found[4, 0] = vit.features(image)
    finally:
        for hook in hooks:
            hook.remove()
    return found


class _Differences:
    """The largest difference of each equation so far."""

    def __init__(self, recorded: dict[tuple[int, int], Tensor]) -> None:
        self.recorded = recorded
        self.largest = dict.fromkeys(STATEMENTS, 0.0)

    def note(self, number: int, naive: Any, layer: int = 0) -> None:
        """Compare with what was recorded: in the last layer, the tokens that `ViT` makes there."""
        found = self.recorded[number, layer]
        expected = torch.tensor(naive, dtype=torch.float64)
        if number in (2, 3, 7, 8):
            expected = expected[: len(found)]
        difference = (found - expected).abs().max().item()
        # Not max(), for which a NaN would be no difference.
        if not difference <= self.largest[number]:
            self.largest[number] = difference


def _in_loops(vit: ViT, image: list[Matrix], differences: _Differences) -> None:
    """All eight equations from the pixels to y, each from the results of the ones before it."""
    z = equation_1(vit, image)
    differences.note(1, z)
    blocks: Any = vit.blocks
    for layer, block in enumerate(blocks, 1):
        x = layer_norm(z, block.norm1)
        heads = equation_5(block, x)
        differences.note(5, [[head[i] for head in heads] for i in range(3)], layer)
        A = [equation_6(q, k) for q, k, _ in heads]
        differences.note(6, A, layer)
        SA = [equation_7(weights, v) for weights, (_, _, v) in zip(A, heads, strict=True)]
        differences.note(7, _side_by_side(SA), layer)
        MSA = equation_8(block, SA)
        differences.note(8, MSA, layer)
        z = equation_2(MSA, z)
        differences.note(2, z, layer)
        z = equation_3(block, z)
        differences.note(3, z, layer)
    differences.note(4, [equation_4(vit, z)])


def equation_1(vit: ViT, image: list[Matrix]) -> Matrix:
    """Tokens of an image of channels, rows and columns: [x_class; x_p¹E; ...; x_pᴺE] + E_pos."""
    P, (rows, columns) = vit.config.patch_size, vit.config.grid
    embedding: Any = vit.embedding
    E, b = embedding.E.weight.tolist(), embedding.E.bias.tolist()
    tokens: Matrix = [embedding.x_class[0, 0].tolist()]
    for row in range(rows):
        for column in range(columns):
            patch = [
                channel[row * P + y][column * P + x]
                for channel in image
                for y in range(P)
                for x in range(P)
            ]
            tokens.append([_dot(patch, weights) + b[d] for d, weights in enumerate(E)])
    return _sum(tokens, embedding.E_pos[0].tolist())


def equation_2(MSA: Matrix, z: Matrix) -> Matrix:
    """The first residual branch: z' = MSA(LN(z)) + z."""
    return _sum(MSA, z)


def equation_3(block: EncoderBlock, z: Matrix) -> Matrix:
    """The second residual branch: z = MLP(LN(z')) + z'."""
    hidden = _linear(layer_norm(z, block.norm2), block.mlp[0])
    active = [[x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in row] for row in hidden]  # GELU
    return _sum(_linear(active, block.mlp[3]), z)


def equation_4(vit: ViT, z: Matrix) -> Row:
    """What the head reads: y = LN(z_L⁰)."""
    return layer_norm(z[:1], vit.norm)[0]


def equation_5(block: EncoderBlock, z: Matrix) -> list[tuple[Matrix, Matrix, Matrix]]:
    """Queries, keys and values of each head: [q, k, v] = z U_qkv."""
    D, k = len(z[0]), block.msa.num_heads
    D_h = D // k
    qkv = _linear(z, block.msa.U_qkv)
    parts = []
    for head in range(k):
        starts = [part * D + head * D_h for part in range(3)]  # q, k and v lie one after the other
        q, key, v = ([token[start : start + D_h] for token in qkv] for start in starts)
        parts.append((q, key, v))
    return parts


def equation_6(q: Matrix, k: Matrix) -> Matrix:
    """Attention weights of one head: A = softmax(q kᵀ / √D_h)."""
    A = []
    for query in q:
        shares = [math.exp(_dot(query, key) / math.sqrt(len(query))) for key in k]
        A.append([share / sum(shares) for share in shares])
    return A


def equation_7(A: Matrix, v: Matrix) -> Matrix:
    """What one head makes of each token: SA(z) = A v."""
    return [[_dot(weights, column) for column in zip(*v, strict=True)] for weights in A]


def equation_8(block: EncoderBlock, SA: list[Matrix]) -> Matrix:
    """All heads together: MSA(z) = [SA_1; ...; SA_k] U_msa."""
    return _linear(_side_by_side(SA), block.msa.U_msa)


def layer_norm(z: Matrix, norm: nn.LayerNorm) -> Matrix:
    """LN: each token with mean 0 and variance 1, then scaled and shifted."""
    scale, shift = norm.weight.tolist(), norm.bias.tolist()
    rows = []
    for token in z:
        mean = sum(token) / len(token)
        variance = sum((x - mean) ** 2 for x in token) / len(token)
        unit = [(x - mean) / math.sqrt(variance + norm.eps) for x in token]
        rows.append([x * g + b for x, g, b in zip(unit, scale, shift, strict=True)])
    return rows


def _linear(z: Matrix, layer: Any) -> Matrix:
    W, b = layer.weight.tolist(), layer.bias.tolist()
    return [[_dot(token, weights) + b[d] for d, weights in enumerate(W)] for token in z]


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += x * y
    return total


def _sum(a: Matrix, b: Matrix) -> Matrix:
    return [[x + y for x, y in zip(*rows, strict=True)] for rows in zip(a, b, strict=True)]


def _side_by_side(heads: list[Matrix]) -> Matrix:
    return [[x for part in token for x in part] for token in zip(*heads, strict=True)]
