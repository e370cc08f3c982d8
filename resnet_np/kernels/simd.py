"""Vectors for Numba: load, store, broadcast and fused multiply-add of 32 bytes at a time, or of 64 where the CPU has AVX-512.

Numba compiles scalar code and hopes that LLVM finds the vectors. In the inner product of a convolution, eight accumulators
have to stay in registers, and hope is not enough: these few intrinsics say it. A vector is 8 float32 or 4 float64, or twice
as many; the element type comes from the array, so that one kernel source serves all. LLVM translates them for any CPU (AVX2, NEON,
plain SSE2), in as many instructions as it takes.

    lanes(a)               number of elements in a vector of a's dtype: a compile-time constant
    zero(a)                a vector of zeros
    load(a, i)             elements i .. i+lanes-1 of the C-contiguous array `a`, counted flat
    store(a, i, v)         the reverse
    load_two(a, i, j)      half a vector from element i on, and half of one from element j on: pixels of two rows
    store_two(a, i, j, v)  the reverse
    transpose(a, i, p, b, j, q)
                           a square, turned: row r, load(a, i + p*r), becomes column r of b[j ...], b[j + q ...], ...
    broadcast(a, i)        element i in every lane
    evens(x, y)            elements 0, 2, 4, ... of x followed by y
    odds(x, y)             elements 1, 3, 5, ...
    lower(x, y)            x and y interleaved: x0, y0, x1, y1, ...: the first half of that
    upper(x, y)            the second half
    add(x, y)              x + y
    subtract(x, y)         x - y
    positive(x)            0 where x <= 0, else x: NaN stays
    larger(x, y)           x where x > y, else y: NaN stays
    multiply_add(x, y, z)  x * y + z, fused where the CPU can
    scale(x, k)            k * x, for a number k
    add_scaled(x, k, y)    x + k * y, fused where the CPU can

Nothing is bounds-checked: the callers' tests run on arrays that end at a guard page. Under NUMBA_DISABLE_JIT=1 intrinsics
cannot run, and the numba backend says that it is unavailable.
"""

from typing import Any

from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.extending import intrinsic, models, register_model

config: Any = numba_config  # its settings are made at run time, where mypy cannot see them


def _has_avx512() -> bool:
    """Whether Numba compiles for a CPU with 64-byte registers. They halve the number of instructions, which counts most where
    another thread shares the core: measured there, convolutions took up to a third less time (AMD EPYC, Zen 4; 2026-11-24)."""
    if config.CPU_NAME not in (None, "host"):
        return False
    if config.CPU_FEATURES is not None:  # they replace the host's own
        return all(feature in config.CPU_FEATURES.split(",") for feature in ("+avx512f", "+avx512vl"))
    features = get_host_cpu_features()
    return bool(features.get("avx512f") and features.get("avx512vl"))


VECTOR_BYTES = 64 if _has_avx512() else 32


class Vector(types.Type):
    """The Numba type of a vector: `count` elements of a float type."""

    def __init__(self, element: types.Float) -> None:
        self.element = element
        self.count = VECTOR_BYTES * 8 // element.bitwidth
        super().__init__(name=f"Vector({element} x {self.count})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.element).get_value_type(), vector.count))


def _is_float_array(array) -> bool:
    return isinstance(array, types.Array) and array.layout == "C" and isinstance(array.dtype, types.Float)


def _pointer(context, builder, array_type, array, index):
    """Address of the element at a flat index (signed: no wrap-around of negative indices, no bounds check)."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index], inbounds=True)


@intrinsic
def lanes(typing_context, array):
    if not _is_float_array(array):
        return None

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.intp, Vector(array.dtype).count)

    return types.intp(array), generate


@intrinsic
def zero(typing_context, array):
    if not _is_float_array(array):
        return None
    vector = Vector(array.dtype)

    def generate(context, builder, signature, arguments):
        return ir.Constant(context.get_value_type(vector), None)

    return vector(array), generate


@intrinsic
def load(typing_context, array, index):
    if not (_is_float_array(array) and isinstance(index, types.Integer)):
        return None
    vector = Vector(array.dtype)

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, array, *arguments)
        pointer = builder.bitcast(pointer, context.get_value_type(vector).as_pointer())
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), generate


@intrinsic
def store(typing_context, array, index, value):
    if not (_is_float_array(array) and isinstance(index, types.Integer) and isinstance(value, Vector)):
        return None

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, array, *arguments[:2])
        pointer = builder.bitcast(pointer, arguments[2].type.as_pointer())
        builder.store(arguments[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def load_two(typing_context, array, first, second):
    if not (_is_float_array(array) and isinstance(first, types.Integer) and isinstance(second, types.Integer)):
        return None
    vector = Vector(array.dtype)

    def generate(context, builder, signature, arguments):
        array, *indices = arguments
        half = ir.VectorType(context.get_value_type(vector.element), vector.count // 2)
        halves = [builder.load(builder.bitcast(_pointer(context, builder, signature.args[0], array, index), half.as_pointer()),
                               align=vector.element.bitwidth // 8) for index in indices]
        return builder.shuffle_vector(*halves, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), list(range(vector.count))))

    return vector(array, types.intp, types.intp), generate


@intrinsic
def store_two(typing_context, array, first, second, value):
    if not (_is_float_array(array) and isinstance(value, Vector)):
        return None

    def generate(context, builder, signature, arguments):
        array, first, second, value = arguments
        count = signature.args[3].count // 2
        for index, start in ((first, 0), (second, count)):
            picks = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(start, start + count)))
            half = builder.shuffle_vector(value, value, picks)
            pointer = builder.bitcast(_pointer(context, builder, signature.args[0], array, index), half.type.as_pointer())
            builder.store(half, pointer, align=signature.args[3].element.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@intrinsic
def broadcast(typing_context, array, index):
    if not (_is_float_array(array) and isinstance(index, types.Integer)):
        return None
    vector = Vector(array.dtype)

    def generate(context, builder, signature, arguments):
        element = builder.load(_pointer(context, builder, array, *arguments))
        undefined = ir.Constant(context.get_value_type(vector), ir.Undefined)
        first = builder.insert_element(undefined, element, ir.Constant(ir.IntType(32), 0))
        every_lane_from_first = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
        return builder.shuffle_vector(first, undefined, every_lane_from_first)

    return vector(array, types.intp), generate


def _lower_half(n):
    return [i // 2 + i % 2 * n for i in range(n)]


def _upper_half(n):
    return [(n + i) // 2 + i % 2 * n for i in range(n)]


def _shuffle(picks):
    """An intrinsic (x, y) -> the elements of x followed by y that picks(lanes) lists."""

    @intrinsic
    def shuffle(typing_context, x, y):
        if not (isinstance(x, Vector) and x == y):
            return None

        def generate(context, builder, signature, arguments):
            indices = ir.Constant(ir.VectorType(ir.IntType(32), x.count), picks(x.count))
            return builder.shuffle_vector(*arguments, indices)

        return x(x, y), generate

    return shuffle


evens = _shuffle(lambda n: [2 * i for i in range(n)])
odds = _shuffle(lambda n: [2 * i + 1 for i in range(n)])
lower = _shuffle(_lower_half)
upper = _shuffle(_upper_half)


@intrinsic
def transpose(typing_context, source, first, row, target, to, across):
    if not (_is_float_array(source) and _is_float_array(target) and source.dtype == target.dtype):
        return None
    vector = Vector(source.dtype)

    def generate(context, builder, signature, arguments):
        source, first, row, target, to, across = arguments
        n, align = vector.count, vector.element.bitwidth // 8

        def pointer(array, value, start, step, k):
            index = builder.add(start, builder.mul(step, ir.Constant(step.type, k)))
            return builder.bitcast(_pointer(context, builder, array, value, index), context.get_value_type(vector).as_pointer())

        rows = [builder.load(pointer(signature.args[0], source, first, row, k), align=align) for k in range(n)]
        # Interleaving rows k and k + n/2, for all k, moves an element's row number a bit towards its column number.
        low, high = (ir.Constant(ir.VectorType(ir.IntType(32), n), picks(n)) for picks in (_lower_half, _upper_half))
        for _ in range(n.bit_length() - 1):
            rows = [builder.shuffle_vector(rows[k // 2], rows[k // 2 + n // 2], high if k % 2 else low) for k in range(n)]
        for k, column in enumerate(rows):
            builder.store(column, pointer(signature.args[3], target, to, across, k), align=align)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), generate


@intrinsic
def add(typing_context, x, y):
    if not (isinstance(x, Vector) and x == y):
        return None

    def generate(context, builder, signature, arguments):
        return builder.fadd(*arguments)

    return x(x, y), generate


@intrinsic
def subtract(typing_context, x, y):
    if not (isinstance(x, Vector) and x == y):
        return None

    def generate(context, builder, signature, arguments):
        return builder.fsub(*arguments)

    return x(x, y), generate


@intrinsic
def positive(typing_context, x):
    if not isinstance(x, Vector):
        return None

    def generate(context, builder, signature, arguments):
        nothing = ir.Constant(arguments[0].type, None)
        return builder.select(builder.fcmp_ordered("<=", arguments[0], nothing), nothing, arguments[0])

    return x(x), generate


@intrinsic
def larger(typing_context, x, y):
    if not (isinstance(x, Vector) and x == y):
        return None

    def generate(context, builder, signature, arguments):
        first, second = arguments
        wins = builder.or_(builder.fcmp_ordered(">", first, second), builder.fcmp_unordered("uno", first, first))
        return builder.select(wins, first, second)

    return x(x, y), generate


def _fused(builder, vector, *factors_and_term):
    # fmuladd and not fma: on a CPU without the instruction, llvm.fma becomes a slow library call.
    kind = factors_and_term[0].type
    suffix = f"v{kind.count}f{vector.element.bitwidth}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.{suffix}")
    return builder.call(function, factors_and_term)


@intrinsic
def multiply_add(typing_context, x, y, z):
    if not (isinstance(x, Vector) and x == y == z):
        return None

    def generate(context, builder, signature, arguments):
        return _fused(builder, x, *arguments)

    return x(x, y, z), generate


def _number(context, builder, vector, number):
    """A float64, rounded to the vector's dtype, in every lane: a constant, where the number is one."""
    kind = context.get_value_type(vector)
    element = number if kind.element == number.type else builder.fptrunc(number, kind.element)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), element, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


@intrinsic
def scale(typing_context, x, number):
    if not isinstance(x, Vector):
        return None

    def generate(context, builder, signature, arguments):
        return builder.fmul(arguments[0], _number(context, builder, x, arguments[1]))

    return x(x, types.float64), generate


@intrinsic
def add_scaled(typing_context, x, number, y):
    if not (isinstance(x, Vector) and x == y):
        return None

    def generate(context, builder, signature, arguments):
        return _fused(builder, x, arguments[2], _number(context, builder, x, arguments[1]), arguments[0])

    return x(x, types.float64, x), generate
