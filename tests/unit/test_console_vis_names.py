"""Text as wide as there is room for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from console_vis.names import pad, shorten


@given(st.text(st.characters(blacklist_categories=["Cc", "Cf", "Cs", "Mn", "Me"]), max_size=60), st.integers(0, 20))
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= max(width, 0)
    assert short == text or "…" in short or width == 0


def test_a_long_name_is_cut_in_the_middle() -> None:
    assert shorten("backbone.stage1.conv", 11) == "backb….conv"
    assert shorten("backbone.stage1.conv", 11, "~") == "backb~.conv"
    assert shorten("日本語日本語", 7) == "日…語"
    assert pad("日本", 6) == "日本  "
    assert pad("日本", 6, right=True) == "  日本"
