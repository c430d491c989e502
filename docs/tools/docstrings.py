"""Read our docstrings for the site: `Example:` is the section that griffe calls `Examples:`."""

import re

import griffe


class OurDocstrings(griffe.Extension):
    """Rename the sections before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        """Rename those of one object."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
