"""Small pieces of HTML, with everything that comes from outside escaped."""

from __future__ import annotations

import html

from aimet_hooks.presentation import text


def escaped(value: str) -> str:
    """Text from outside as it can stand between tags and in an attribute: on one line, nothing that steers."""
    return html.escape(text.clean(value), quote=True)


def layer(name: str) -> str:
    """The name of a layer, as ``escaped``."""
    return html.escape(text.layer_name(name), quote=True)


def tile(label: str, value: str, more: str = "", *, title: str = "") -> str:
    """A figure with what it is, and an explanation on hover; all are HTML already."""
    small = f" <small>{more}</small>" if more else ""
    hover = f' title="{title}"' if title else ""
    return f'<div class="tile"{hover}><dt>{label}</dt><dd>{value}{small}</dd></div>'


def heading(title: str, more: str = "") -> str:
    """The heading of a part of the page; both are HTML already."""
    return f"<h2>{title}{f'<small>{more}</small>' if more else ''}</h2>"


def change(lost: float) -> str:
    """Points that were lost: "0.28 points worse", "0.10 points better", "no change"."""
    points = round(lost, 2)
    return "no change" if points == 0 else f"{abs(points):.2f} points {'worse' if points > 0 else 'better'}"
