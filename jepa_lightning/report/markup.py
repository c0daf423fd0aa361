"""HTML elements whose text is escaped unless it is an element itself."""

from html import escape


class Markup(str):
    """Text that is HTML already."""


def element(name: str, /, *children: str, **attributes: str | int | float | bool | None) -> Markup:
    """An element.

    Args:
        name: of it.
        children: elements, and text, which is escaped.
        attributes: by name; ``_`` at the end of a name is left out, other ``_`` are ``-``. True is an attribute without
            a value, False and None are none.

    Example:
        >>> element("a", "1 < 2", class_="x", href="#top")
        '<a class="x" href="#top">1 &lt; 2</a>'
    """
    given = []
    for key, value in attributes.items():
        key = key.removesuffix("_").replace("_", "-")
        if value is True:
            given.append(f" {key}")
        elif value is not None and value is not False:
            given.append(f' {key}="{escape(str(value))}"')
    start = f"<{name}{''.join(given)}>"
    return Markup(start if name in _VOID else f"{start}{joined(*children)}</{name}>")


def joined(*children: str) -> Markup:
    """Elements and text one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else escape(child) for child in children))


_VOID = {"img", "input", "link", "meta"}
