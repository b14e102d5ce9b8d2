"""What a function takes and gives, in numpy's words, and what it makes of the caller's arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpumux.errors import InputError

if TYPE_CHECKING:
    from gpumux import _gpumux

_DTYPES: dict[str, np.dtype[Any]] = {
    "u8": np.dtype(np.uint8),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "f32": np.dtype(np.float32),
    "bool": np.dtype(np.bool_),
}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output, for one item: there is no batch dimension."""

    name: str
    """The model's name for it."""
    dtype: np.dtype[Any]
    """The type of its elements."""
    dims: tuple[int | None, ...]
    """Its dimensions, outermost first; `None` is the request's length."""

    def shape(self, length: int) -> tuple[int, ...]:
        """Its shape in a request of `length`."""
        return tuple(length if dim is None else dim for dim in self.dims)

    def __str__(self) -> str:
        dims = ", ".join("length" if dim is None else str(dim) for dim in self.dims)
        return f"{self.name}: {self.dtype.name}[{dims}]"

    def _array(self, value: ArrayLike) -> NDArray[Any]:
        """The caller's value as an array of this type. Values without a type of their own are given
        this one; those that have another are refused."""
        array = np.asarray(value)
        if array.dtype == self.dtype:
            return array
        both_whole = array.dtype.kind in "iu" and self.dtype.kind in "iu"
        fits = both_whole or np.can_cast(array.dtype, self.dtype, "same_kind")
        if hasattr(value, "dtype") or not fits:
            raise InputError(
                f"input `{self.name}` is of {self.dtype.name}, not {array.dtype.name}: "
                f"convert it, as with .astype({_literal(self.dtype)})"
            )
        try:
            return np.asarray(value, dtype=self.dtype)
        except OverflowError as error:
            raise InputError(
                f"input `{self.name}` is of {self.dtype.name}, and a value is outside of that: {error}"
            ) from error

    def _wrong_shape(self, given: tuple[int, ...], length: int | None = None) -> InputError:
        at = "" if length is None else f" at length {length}, which is {self.shape(length)}"
        return InputError(f"input {self} does not take the shape {given}{at}")

    def _length(self, given: tuple[int, ...]) -> int | None:
        """The length that a shape means, or `None` where no dimension of this input varies."""
        if len(given) != len(self.dims):
            raise self._wrong_shape(given)
        lengths = {size for size, dim in zip(given, self.dims, strict=True) if dim is None}
        if len(lengths) > 1:
            raise self._wrong_shape(given)
        return lengths.pop() if lengths else None


@dataclass(frozen=True)
class Signature:
    """What a function takes and gives."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    length_max: int
    """The longest length served; 1 where no dimension varies."""

    def _arrays(self, inputs: Mapping[str, ArrayLike]) -> tuple[list[NDArray[Any]], int]:
        """The caller's inputs in the signature's order, checked, and the length that they mean."""
        names = [spec.name for spec in self.inputs]
        for name in inputs:
            if name not in names:
                raise InputError(f"there is no input `{name}`: the function takes {_listed(names)}")
        missing = [name for name in names if name not in inputs]
        if missing:
            raise InputError(f"every input is given exactly once, and {_listed(missing)} is missing")
        arrays = [spec._array(inputs[spec.name]) for spec in self.inputs]
        length, said_by = 1, None
        for spec, array in zip(self.inputs, arrays, strict=True):
            meant = spec._length(array.shape)
            if meant is None or meant == length and said_by is not None:
                continue
            if said_by is not None:
                raise InputError(
                    f"input `{spec.name}` means length {meant}, and `{said_by}` means {length}: "
                    "all inputs of one request have the same length"
                )
            length, said_by = meant, spec.name
        for spec, array in zip(self.inputs, arrays, strict=True):
            if array.shape != spec.shape(length):
                raise spec._wrong_shape(array.shape, length)
        return arrays, length


def _signature(native: _gpumux.Function) -> Signature:
    return Signature(_specs(native.inputs()), _specs(native.outputs()), native.length_max())


def _specs(native: Sequence[tuple[str, str, list[int | None]]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, _DTYPES[element], tuple(dims)) for name, element, dims in native)


def _literal(dtype: np.dtype[Any]) -> str:
    return "bool" if dtype == np.bool_ else f"np.{dtype.name}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "nothing"
