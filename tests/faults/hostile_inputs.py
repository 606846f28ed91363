"""Files of sample inputs that nobody should read."""

from __future__ import annotations

import io
import zipfile

import numpy as np


def packed(*members: tuple[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


def array(shape: tuple[int, ...], values: bytes = b"", kind: str = "<f4") -> bytes:
    content = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)  # type: ignore[arg-type]
    return content.getvalue() + values


GOOD = packed(("x.npy", array((1, 4, 8, 8), bytes(1024))))

FILES: dict[str, bytes] = {
    "empty.npz": b"",
    "text.npz": b"no arrays at all",
    "cut.npz": GOOD[:-30],
    "nothing.npz": packed(),
    "zeros.npz": packed(("x.npy", array((1, 4, 8192, 8192), bytes(4 * 8192 * 8192 * 4)))),
    "lie.npz": packed(("x.npy", array((2**40,)))),
    "larger_lie.npz": packed(("x.npy", array((2**62, 2**62)))),
    "negative.npz": packed(("x.npy", array((-1, 4, 8, 8)))),
    "objects.npz": packed(("x.npy", array((1, 4, 8, 8), b"cos\nsystem\n(S'touch was_run'\ntR.", "|O"))),
    "elements.npz": packed(("x.npy", array((1, 4, 8, 8), b"", "<V2147483647"))),
    "header.npz": packed(("x.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{}")),
    "no_array.npz": packed(("x", b"hello")),
    "one_array.npz": array((2**40,)),
    "elsewhere.npz": packed(("../../x.npy", array((1, 4, 8, 8), bytes(1024)))),
    "name.npz": packed(("\x1b[31m\u202e" * 5_000 + ".npy", array((1, 4, 8, 8), bytes(1024)))),
    "shape.npz": packed(("x.npy", array((1, 4, 8, 80), bytes(10_240)))),
    "no_dimensions.npz": packed(("x.npy", array((), bytes(4)))),
    "texts.npz": packed(("x.npy", array((1, 4, 8, 8), bytes(4096), "<U4"))),
}
