"""How pages are made of their templates."""

from __future__ import annotations

import jinja2


def make_environment() -> jinja2.Environment:
    """Give the place where templates are found and filled in: everything is escaped, and nothing may be undefined."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("kerasburst.reports", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
