"""What may happen to a file: bytes that change, go, come twice or come from elsewhere."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def mutated(draw: st.DrawFn, content: bytes, most: int = 4) -> bytes:
    """The content after a few such changes."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, max(0, len(changed) - 1)))
        end = draw(st.integers(start, min(len(changed), start + 40)))
        changed[start:end] = draw(
            st.one_of(
                st.binary(min_size=end - start, max_size=end - start),  # other bytes
                st.binary(max_size=12),  # fewer or more
                st.just(bytes(changed[start:end]) * 2),  # twice
                st.sampled_from([b"\xff" * 9 + b"\x01", b"\x80" * 9 + b"\x01", b"9" * 400, b'"', b",", b"1e999"]),
            )
        )
    return bytes(changed[: draw(st.integers(0, len(changed)))] if draw(st.integers(0, 5)) == 0 else changed)
