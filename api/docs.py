"""The OpenAPI document for people: a plain list in HTML, or Swagger UI where the extra `[docs]` is installed.

Both are offline. The list is made of the document alone, and shows everything that it says. Swagger UI
(https://github.com/swagger-api/swagger-ui, from the package `swagger-ui-bundle`) can also call what it shows; its calls
come from our own origin and pass the same access checks as those of any page.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import msgspec

_Json = dict[str, Any]
SWAGGER_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
"""What Swagger UI consists of, with the media types."""
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API of Aura Ollama</title>
<link rel="icon" type="image/png" href="/page/aura-ollama.png">
"""
SWAGGER = f"""{_HEAD}<link rel="stylesheet" href="/docs/swagger-ui.css">
<script src="/docs/swagger-ui-bundle.js" defer></script>
<script type="module" src="/page/docs.js"></script>
</head>
<body>
<p><a href="/docs/list">The same as a plain list</a></p>
<main id="swagger"></main>
</body>
</html>
""".encode()
"""The page that starts Swagger UI."""


def _swagger_folder() -> Path | None:
    found = importlib.util.find_spec("swagger_ui_bundle")
    if found is None or found.origin is None:
        return None
    return next((path.parent for path in Path(found.origin).parent.glob("vendor/*/swagger-ui-bundle.js")), None)


SWAGGER_FOLDER = _swagger_folder()
"""Where the files of Swagger UI are, None where it is not installed. The package itself is not imported."""


def plain(description: bytes) -> bytes:
    """An OpenAPI document as one HTML page: each call with its parameters and answers, then each body's fields."""
    document = msgspec.json.decode(description, type=_Json)
    calls = [
        (method, path, call) for path, methods in document["paths"].items() for method, call in sorted(methods.items())
    ]
    schemas = sorted(document["components"]["schemas"].items())
    info = document["info"]
    return f"""{_HEAD}<link rel="stylesheet" href="/page/style.css">
<link rel="stylesheet" href="/page/docs.css">
</head>
<body class="docs">
<header><h1>API of Aura Ollama {escape(info["version"])}</h1></header>
<main>
<p>{escape(info["description"])} The same for programs: <a href="/openapi.json">openapi.json</a>, in OpenAPI
{escape(document["openapi"])}. The page for people: <a href="/">Aura Ollama</a>.</p>
<h2>Calls</h2>
<ul class="calls">{"".join(_entry(*each) for each in calls)}</ul>
{"".join(_call(*each) for each in calls)}
<h2>Bodies</h2>
{"".join(_schema(*each) for each in schemas)}
</main>
</body>
</html>
""".encode()


def _anchor(method: str, path: str) -> str:
    return escape(f"{method}-{path}".replace("{", "").replace("}", ""))


def _entry(method: str, path: str, call: _Json) -> str:
    name = f"<code>{method.upper()} {escape(path)}</code>"
    return f'<li><a href="#{_anchor(method, path)}">{name}</a> {escape(call["summary"])}</li>\n'


def _call(method: str, path: str, call: _Json) -> str:
    token = "" if {} in call["security"] else "<p>Needs the token.</p>"
    rows = [
        (f"<code>{escape(one['name'])}</code>", one["in"], _type(one["schema"]), escape(_limits(one["schema"])))
        for one in call["parameters"]
    ]
    sent = call.get("requestBody")
    body = f"<p>Body: {_content(sent)}</p>" if sent else ""
    answers = [
        (f"<code>{status}</code>", escape(answer["description"]), _content(answer))
        for status, answer in call["responses"].items()
    ]
    return f"""<section id="{_anchor(method, path)}">
<h3><code>{method.upper()} {escape(path)}</code></h3>
<p>{escape(call["summary"])}</p>
{token}{_table("Parameters", ("Name", "In", "Type", "Meaning"), rows)}{body}
{_table("Answers", ("Status", "Meaning", "Body"), answers)}
</section>
"""


def _schema(name: str, schema: _Json) -> str:
    required = schema.get("required", ())
    rows = [
        (f"<code>{escape(field)}</code>", _type(kind), "always" if field in required else "")
        for field, kind in schema.get("properties", {}).items()
    ]
    return f"""<section id="body-{escape(name)}">
<h3>{escape(name)}</h3>
<p>{escape(schema.get("description", ""))}</p>
{_table("Fields", ("Field", "Type", "There"), rows)}
</section>
"""


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """`rows` are HTML already. Nothing, if there are none."""
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    if not lines:
        return ""
    top = "".join(f'<th scope="col">{head}</th>' for head in heads)
    inside = "".join(f"<tr>{line}</tr>\n" for line in lines)
    # What is wider than the screen scrolls by itself, also by the keyboard.
    start = f'<div class="wide" tabindex="0" role="group" aria-label="{title}"><table>'
    return f"{start}<caption>{title}</caption><thead><tr>{top}</tr></thead><tbody>\n{inside}</tbody></table></div>"


def _content(holder: _Json) -> str:
    parts = [
        f"{_type(each['schema'])} as <code>{escape(media)}</code>" for media, each in holder.get("content", {}).items()
    ]
    return ", ".join(parts) or "none"


def _type(schema: _Json) -> str:
    """A JSON Schema in words, as HTML."""
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#body-{name}">{name}</a>'
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(choice) for choice in choices)
    if choices := schema.get("enum"):
        return " or ".join(f"<code>{escape(str(choice))}</code>" for choice in choices)
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(inside := schema.get("additionalProperties"), dict):
        return f"object of {_type(inside)}"
    return escape(str(kind))


def _limits(schema: _Json) -> str:
    """What more is known of a parameter: its meaning, its form, its limits and its default."""
    words = {"minimum": "at least", "maximum": "at most", "pattern": "of the form", "default": "by default"}
    parts = [schema["description"]] if "description" in schema else []
    return " ".join(parts + [f"{word} {schema[key]}" for key, word in words.items() if key in schema])
