"""Packages that share their name with a public function, and can be called like it.

`efn_compose.compose` and `efn_compose.evolve` are folders and verbs at once.
Python binds a package's name to the folder; this makes the folder callable, so
that `from efn_compose import evolve; evolve(...)` works.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


def make_callable(package: str, target: str) -> None:
    """Let calls of a package go to a function.

    Args:
        package: The package's `__name__`.
        target: "module:function"; imported at the first call.
    """
    module_name, _, function_name = target.partition(":")

    class CallablePackage(ModuleType):
        def __call__(self, *arguments: Any, **options: Any) -> Any:
            function = getattr(importlib.import_module(module_name), function_name)
            return function(*arguments, **options)

    sys.modules[package].__class__ = CallablePackage
