"""``/docs``: the OpenAPI document as one page that needs no script and nothing from elsewhere."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font-family:ui-monospace,monospace}table{border-collapse:collapse;margin:.5rem 0 1.5rem}"
    "td,th{border:1px solid #999;padding:.2rem .6rem;text-align:left;vertical-align:top}h2{margin-top:2.5rem}"
)


def docs_page(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: OpenAPI 3.1.
    """
    title = escape(document["info"]["title"])
    return "\n".join(
        [
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
            f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
            f"<pre>{escape(document['info']['description'])}</pre>",
            "<p>The same for programs: <code>/openapi.json</code></p>",
            *_operations(document),
            "</body></html>",
        ]
    )


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    schemas = document["components"]["schemas"]
    found = ((path, *each) for path, operations in document["paths"].items() for each in operations.items())
    for path, method, operation in found:
        yield f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['description'])}</p>"
        asked = [
            (parameter["name"], _kind(parameter["schema"]), "required" if parameter["required"] else "",
             parameter.get("description", ""))
            for parameter in operation.get("parameters", [])
        ]  # fmt: skip
        yield from _table("parameter", asked)
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
        for name in _named(schemas, answer):
            fields = schemas[name]["properties"].items()
            yield from _table(name, [(field, _kind(schema)) for field, schema in fields])
        statuses = [(status, reply["description"]) for status, reply in operation["responses"].items()]
        yield from _table("status", sorted(statuses))


def _table(head: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        cells = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
        yield f'<table><tr><th colspan="{len(rows[0])}">{escape(head)}</th></tr>'
        yield from (f"<tr>{row}</tr>" for row in cells)
        yield "</table>"


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in a few words: ``array of Order``, ``string (date-time) or null``."""
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"array of {_kind(schema['items'])}"
    limits = f" {schema['minimum']} … {schema['maximum']}" if "maximum" in schema else ""
    form = f" ({schema['format']})" if "format" in schema else ""
    return f"{schema['type']}{limits}{form}"


def _named(schemas: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """The names of the schemas that an answer is made of, the outermost first."""
    if "$ref" in schema:
        name = _kind(schema)
        yield name
        for field in schemas[name]["properties"].values():
            yield from _named(schemas, field)
    elif "items" in schema:
        yield from _named(schemas, schema["items"])
