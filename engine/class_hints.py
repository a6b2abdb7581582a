"""The annotations of a class, in the module from which it really came."""

from __future__ import annotations

import sys
from typing import Any, get_type_hints


def class_hints(cls: type) -> dict[str, Any]:
    """The types of a class's annotations, by name, as ``typing.get_type_hints`` gives them.

    That looks names up in the module that ``sys.modules`` has. Where code is loaded in several versions it has another
    one, or none; but the functions of a class (a dataclass has some that it was given) know the module they came from.

    Raises:
        NameError: An annotation names what doesn't exist.
    """
    module = sys.modules.get(cls.__module__)
    if getattr(module, cls.__name__, None) is not cls:
        for value in vars(cls).values():
            namespace = getattr(value, "__globals__", {})
            if namespace.get(cls.__name__) is cls:
                return get_type_hints(cls, namespace)
    return get_type_hints(cls)
