"""Shapes and array types in one place. n rows, q queries, b batch, p parameters, k right-hand sides,
c outputs, d features. Everything stands on it; it stands on jaxtyping alone.

`Array` is any array of the array API standard (numpy, torch on any device); `Namespace` its module.
"""

from typing import Any, TypeAlias

from jaxtyping import Bool, Float, Int

__all__ = ["Array", "Bool", "Float", "Int", "Namespace", "Vector", "Vectors"]

Array: TypeAlias = Any
Namespace: TypeAlias = Any
Vector: TypeAlias = Float[Array, " p"]
Vectors: TypeAlias = Float[Array, "k p"]
