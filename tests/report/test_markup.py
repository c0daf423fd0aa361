from jepa_lightning.report.markup import Markup, element, joined


def test_text_is_escaped_and_elements_are_not() -> None:
    inner = element("b", "<script>alert('1')</script>")
    assert inner == "<b>&lt;script&gt;alert(&#x27;1&#x27;)&lt;/script&gt;</b>"
    assert element("p", inner, " & ", Markup("<i></i>")) == f"<p>{inner} &amp; <i></i></p>"
    assert joined("<", inner) == f"&lt;{inner}"


def test_attributes_are_escaped_too() -> None:
    said = element("img", alt='"><script>', class_="x", aria_label="y", hidden=True, title=None, checked=False)
    assert said == '<img alt="&quot;&gt;&lt;script&gt;" class="x" aria-label="y" hidden>'


def test_elements_with_content_are_closed() -> None:
    assert element("i", class_="c0") == '<i class="c0"></i>'
    assert element("input", name="a") == '<input name="a">'
