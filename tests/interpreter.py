"""Triton's interpreter without six of its costs: it is most of what the tests of the kernels take without a GPU.

It looks through its whole language at every call of a function within a kernel, builds a table of all types whenever
it needs one of them, checks and wraps the shape of every tensor anew, compares types and sizes one by one, scans one
element after another, and works out whether whole numbers overflow, to say so only in debugging. Here it looks once a
launch, remembers types and shapes, of which there is one of each, and scans by doubling, as a GPU does.
"""

import math
from dataclasses import replace
from functools import cache, wraps
from typing import Any

import numpy as np
from triton.runtime import interpreter

patched: set[str] = set()  # modules whose functions are the interpreter's, since the present launch began


@cache
def languages(function: Any) -> frozenset[str]:
    """Return which modules of the language a function sees."""
    known = interpreter.tl, interpreter.tl.core
    return frozenset(x.__name__ for x in function.__globals__.values() if any(x is module for module in known))


def call(self: Any, *arguments: Any, **options: Any) -> Any:
    """Call a function within a kernel."""
    if not languages(self.fn) <= patched:
        interpreter._patch_lang(self.fn)
        patched.update(languages(self.fn))
    return self.rewrite()(*arguments, **options)


def launched(launch: Any) -> Any:
    @wraps(launch)
    def run(self: Any, *arguments: Any, **options: Any) -> Any:
        patched.clear()
        return launch(self, *arguments, **options)

    return run


scalar = cache(interpreter._get_np_dtype)


def numpy_type(of: Any) -> np.dtype:
    """Return what stands for a type, whose own hash is that of a scalar only."""
    if isinstance(of, interpreter.tl.block_type):
        of = of.element_ty
    return np.dtype(np.uint64) if isinstance(of, interpreter.tl.pointer_type) else scalar(of)


core = interpreter.tl.core
check_shape = core.block_type.__init__


@cache
def sizes(shape: tuple[int, ...]) -> tuple[Any, int, str]:
    """Return what a type of blocks knows of its shape, once that is found to be one."""
    of = core.block_type.__new__(core.block_type)
    check_shape(of, core.int32, list(shape))
    return of.shape, of.numel, str(of.shape)


def make_type(self: Any, element_ty: Any, shape: Any) -> None:
    """Take the place of `block_type.__init__`."""
    assert isinstance(shape, list | core.tuple)
    self.element_ty = element_ty
    self.shape, self.numel, said = sizes(tuple(x.value if isinstance(x, core.constexpr) else x for x in shape))
    self.name = f"<{said}, {element_ty}>"


@cache
def wrapped(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return what a tensor knows of its shape."""
    return core.constexpr(math.prod(shape)), core.tuple([core.constexpr(s) for s in shape])


def make_tensor(self: Any, handle: Any, type: Any) -> None:
    """Take the place of `tensor.__init__`."""
    self.handle, self.type, self.dtype = handle, type, type.scalar
    self.numel, self.shape = wrapped(tuple(type.shape) if type.is_block() else ())


Semantic = interpreter.TritonSemantic
compatible, checked = Semantic.broadcast_impl_value, Semantic.binary_op_type_checking_impl


def alike(self: Any, left: Any, right: Any) -> tuple[Any, Any]:
    """Return two tensors in one shape."""
    if left.type.is_block() and right.type.is_block() and left.type.shape is right.type.shape:
        return left, right
    return compatible(self, left, right)


def operands(self: Any, left: Any, right: Any, *how: Any, **options: Any) -> tuple[Any, Any]:
    """Return what an operation works on, in one type and shape; only quotients change a type that both have."""
    both = isinstance(left, core.tensor) and isinstance(right, core.tensor) and left.dtype is right.dtype
    is_quotient = len(how) > 2 or bool(options)  # the first two are about pointers
    if both and not is_quotient and not left.dtype.is_ptr():
        return self.broadcast_impl_value(left, right)
    return checked(self, left, right, *how, **options)


def scan(self: Any, inputs: tuple[Any, ...]) -> list[Any]:
    """Combine every element with those before it: after step k with the 2^k last ones."""
    found = [np.moveaxis(x.handle.data, self.axis, 0) for x in inputs]
    tensors = lambda parts: [  # noqa: E731
        self.to_tensor(np.moveaxis(part, 0, self.axis), x.dtype) for part, x in zip(parts, inputs, strict=True)
    ]
    back = 1
    while back < len(found[0]):
        before = [np.concatenate([x[:back], x[:-back]]) for x in found]
        both = self.combine_fn.fn(*tensors(before), *tensors(found))
        both = both if isinstance(both, tuple | interpreter.tl.tuple) else (both,)
        both = [np.moveaxis(x.handle.data, self.axis, 0) for x in both]
        found = [np.concatenate([x[:back], y[back:]]) for x, y in zip(found, both, strict=True)]
        back *= 2
    return tensors(found)


interpreter.InterpretedFunction.__call__ = call
interpreter.GridExecutor.__call__ = launched(interpreter.GridExecutor.__call__)
interpreter._get_np_dtype = numpy_type
core.block_type.__init__ = make_type
core.tensor.__init__ = make_tensor
Semantic.broadcast_impl_value, Semantic.binary_op_type_checking_impl = alike, operands
interpreter.ScanOps.generic_scan = scan
builder = interpreter.interpreter_builder
builder.options = replace(builder.options, sanitize_overflow=builder.options.debug)
