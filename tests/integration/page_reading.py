"""Read from a tab what a viewer sees there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

MODEL = "Bokeh.documents[0].get_model_by_name"


def wait_for(tab: Page, condition: str, seconds: float = 30.0) -> None:
    """Wait for a condition in JavaScript; ``model`` and ``data`` find models and their data by name."""
    tab.wait_for_function(
        f"""() => {{
          if (!window.Bokeh || !Bokeh.documents[0] || !Bokeh.documents[0].roots().length) return false
          const model = (name) => {MODEL}(name)
          if (!model("header")) return false
          const data = (name) => model(name).data
          const columns = () => Object.entries(data("cells")).filter(([name]) => name.startsWith("cell_"))
          const cells = () => columns().flatMap(([, column]) => column)
          const scores = () => cells().filter((cell) => /^[0-9]+\\|[^|]*\\|-?[0-9]/.test(cell)).length
          const text = () => document.body.innerText
          return {condition}
        }}""",
        timeout=1000 * seconds,
    )


def data(tab: Page, name: str) -> dict[str, Any]:
    """The columns of a source."""
    found = tab.evaluate(f"JSON.stringify(Object.fromEntries(Object.entries({MODEL}({json.dumps(name)}).data)))")
    return dict(json.loads(found))


def header(tab: Page) -> str:
    """The text of the header, without markup."""
    return str(tab.evaluate(f"new DOMParser().parseFromString({MODEL}('header').text, 'text/html').body.textContent"))


def visible_text(tab: Page) -> str:
    """All text that is painted, in the shadow roots too."""
    return str(
        tab.evaluate(
            """() => {
              const texts = []
              const walk = (node) => {
                if (node.nodeType === Node.TEXT_NODE) texts.push(node.textContent)
                if (node.nodeName === "STYLE" || node.nodeName === "SCRIPT") return
                if (node.classList?.contains("name")) return texts.push(node.textContent) // in two halves
                for (const child of node.shadowRoot ? node.shadowRoot.childNodes : []) walk(child)
                for (const child of node.childNodes) walk(child)
              }
              walk(document.body)
              return texts.join("\\n")
            }"""
        )
    )


def row_of(tab: Page, layer: str) -> Locator:
    """The row of a layer in the table of scores; their order in the document is not that on the screen."""
    return tab.locator(".slick-row", has=tab.locator(".slick-cell.l0 label")).filter(
        has=tab.get_by_text(layer, exact=True), has_not=tab.locator(".ratio")
    )


def tick_layer(tab: Page, layer: str) -> None:
    """Tick a row of the table of scores as a viewer does."""
    row_of(tab, layer).locator(".slick-cell.l0").click()
