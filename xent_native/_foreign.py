# SPDX-License-Identifier: BSD-3-Clause
"""Arrays of other libraries as NumPy arrays that share their memory where NumPy can describe it.

No library is imported for that, but ml_dtypes for bfloat16: an object says by its attributes what it is.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_CPU = 1  # kDLCPU of the DLPack standard


def is_masked_array(value: Any) -> bool:
    """Whether this is one of numpy.ma, which is not imported here: it may be too late for imports, and takes time."""
    module = sys.modules.get("numpy.ma")
    return module is not None and isinstance(value, module.MaskedArray)


def as_ndarray(name: str, value: Any) -> np.ndarray:
    """`value` as an ndarray of whatever dtype; TypeError or ValueError that name it where there is none."""
    if value is None:
        raise TypeError(f"{name} must be an array; got None")
    try:
        return _converted(name, value)
    except _RefusedError as error:
        raise TypeError(str(error)) from None
    except MemoryError:
        raise
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from None
    except Exception as error:  # whatever the object's own methods raise
        raise TypeError(f"{name} must be an array of numbers: {error}") from error


class _RefusedError(TypeError):
    """What the user is told as it stands."""


def _converted(name: str, value: Any) -> np.ndarray:
    if is_masked_array(value):
        if np.ma.is_masked(value):
            raise _RefusedError(
                f"{name} must not be a masked array: {np.count_nonzero(np.ma.getmaskarray(value))} items are masked"
            )
        return np.asarray(value.data)
    if hasattr(value, "nnz") and hasattr(value, "toarray"):
        raise _RefusedError(f"{name} must be dense; got a sparse {type(value).__name__}: use its toarray()")
    if is_tensor(value):
        return _tensor_memory(name, value)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return _dlpack_memory(name, value)
    array = np.asarray(value)
    return _columns(value, array) if array.dtype == object else array


def is_tensor(value: Any) -> bool:
    """Whether `value` is a torch.Tensor; nobody has one who has not imported torch."""
    torch = loaded_torch()
    return torch is not None and isinstance(value, torch.Tensor)


def loaded_torch() -> Any:
    """PyTorch if somebody has imported it, and finished doing so, else None."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "Tensor") else None


def tensor_fault(tensor: Any) -> str | None:
    """What is wrong with a tensor whose numbers are not in the memory of this machine, at strides; else None."""
    if tensor.device.type != "cpu":
        return f"must be on the CPU; got a tensor on device {tensor.device}: use its cpu()"
    if tensor.is_nested:
        return "must not be a nested tensor: use torch.nested.to_padded_tensor"
    if str(tensor.layout) != "torch.strided":
        return f"must be dense; got a tensor of layout {tensor.layout}: use its to_dense()"
    return None


def storage_fault(tensor: Any) -> str | None:
    """What is wrong with a dense tensor whose memory somebody has made smaller than its shape says; else None."""
    if tensor.numel() == 0:
        return None
    last = tensor.storage_offset()
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        last += (size - 1) * stride
    expected, found = (last + 1) * tensor.element_size(), tensor.untyped_storage().nbytes()
    return None if expected <= found else f"must have storage of {expected} bytes or more; got {found}"


def _tensor_memory(name: str, tensor: Any) -> np.ndarray:
    """What a torch tensor holds. bfloat16 is copied to float32 if there is no ml_dtypes to name it in NumPy."""
    fault = tensor_fault(tensor) or storage_fault(tensor)
    if fault:
        raise _RefusedError(f"{name} {fault}")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    torch = sys.modules["torch"]
    if tensor.dtype != torch.bfloat16:
        return np.asarray(tensor.numpy())
    try:
        from ml_dtypes import bfloat16
    except ModuleNotFoundError:
        return np.asarray(tensor.float().numpy())
    return np.asarray(tensor.view(torch.int16).numpy().view(bfloat16))


def _dlpack_memory(name: str, value: Any) -> np.ndarray:
    """What an object holds that lends its memory by DLPack alone."""
    device = value.__dlpack_device__()
    if int(device[0]) != _CPU:
        raise _RefusedError(f"{name} must be on the CPU; got DLPack device {tuple(map(int, device))}")
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError) as error:
        torch = loaded_torch()  # which knows bfloat16, as NumPy does not
        if torch is None:
            raise _RefusedError(f"{name} must hold numbers that NumPy knows: {error}") from None
        return _tensor_memory(name, torch.from_dlpack(value))


def _columns(value: Any, objects: np.ndarray) -> np.ndarray:
    """Tables and nested columns that NumPy sees as objects, though each column holds numbers: a copy."""
    if hasattr(value, "iloc") and objects.ndim == 2:  # pandas, with nullable or arrow-backed columns
        return np.column_stack([np.asarray(value.iloc[:, i]) for i in range(objects.shape[1])])
    if hasattr(value, "to_numpy_ndarray"):  # pyarrow's tensors of a fixed shape
        return np.asarray(value.to_numpy_ndarray())
    if objects.ndim == 1 and objects.size and all(isinstance(row, np.ndarray) for row in objects):
        return np.stack(list(objects))  # lists of equal length, as of pyarrow and polars
    return objects
