from __future__ import annotations

from foodvision.evaluation.tables import Table

TABLE = Table(
    "Title | *x*",
    ["model", "n", ""],
    [["a|b <i> `c` \x1b[31m", "1", "yes"], ["寿司", "1,000", "no"]],
    "A note_.",
    words=(0, 2),
)


def test_columns_of_a_terminal() -> None:
    assert TABLE.to_text().splitlines() == [
        "Title | *x*",
        "model                     n",
        "a|b <i> `c` \\x1b[31m      1  yes",
        "寿司                  1,000  no",
        "A note_.",
    ]


def test_markdown_has_a_cell_for_each_cell_whatever_it_says() -> None:
    assert TABLE.to_markdown() == (
        "## Title \\| \\*x\\*\n\n"
        "| model | n |  |\n"
        "| --- | ---: | --- |\n"
        "| a\\|b \\<i\\> \\`c\\` \\\\x1b\\[31m | 1 | yes |\n"
        "| 寿司 | 1,000 | no |\n\n"
        "A note\\_."
    )
