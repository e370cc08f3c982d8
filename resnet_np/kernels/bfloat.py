"""bf16 for Numba: its conversions, and the product that every convolution in bf16 comes down to.

A bf16 number is the upper half of a float32: the same range, 8 bits of precision. Arrays of them are uint16 here, for Numba does
not know the type; a vector is always of 16 float32, whatever registers the CPU has (LLVM splits it where they are narrower).

    load(a, i), store(a, i, v)    16 float32 of the C-contiguous float32 array `a`, from the flat index i on
    widen(a, i)                   16 bf16 as float32: exact
    narrow(a, i, v)               16 float32 rounded to bf16, to nearest, ties to even; by AVX-512, denormal numbers become 0
    narrow_pairs(a, i, v, w)      the same of v0, w0, v1, w1, ...: 32 bf16
    copy(a, i, b, j)              16 bf16 from b[j ...] to a[i ...]
    copy_pairs(a, i, b, j, k)     32 bf16 to a[i ...]: b[j], b[k], b[j+1], b[k+1], ...
    turn(a, i, to, b, j, step)    16 x 16 bf16, turned: row r comes from b[j + r*step ...], column c goes to a[i + c*to ...]
    pixel(a, inside, i)           widen(a, i), or zeros where it is not `inside`
    zero(), splat(x), add(x, y), subtract(x, y), multiply_add(x, y, z), positive(x)
    where_positive(x, y)          y, but 0 where x <= 0
    to_float(u), to_bits(x)       one bf16 (uint16) as float32, and back, rounded
    multiply_pairs(...)           the product: see there

`multiply_pairs` is the contract of the micro-kernels. A row of A and a column of B are in pairs of neighbours, so that one
instruction can multiply two and add them:

    out[r, f]  (+)=  sum over k of   A[r, 2k] * B[2k, f] + A[r, 2k+1] * B[2k+1, f],     sums in float32

micro.py says which micro-kernel computes it. Nothing is bounds-checked: the callers' tests run on arrays that end at a guard page.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from resnet_np.kernels.compile import inline
from resnet_np.kernels.micro import MICRO_KERNEL

LANES = 16  # float32 in a vector
_FAST = MICRO_KERNEL != "portable"  # a CPU with tiles has the vectors' instructions too


class _BFloat(ir.types._BaseFloatType):
    """LLVM's bfloat, which llvmlite does not have."""

    null, intrinsic_name = "0.0", "bf16"

    def __str__(self) -> str:
        return "bfloat"


_BFloat._create_instance()

_BIT, _SHORT, _INT = ir.IntType(1), ir.IntType(16), ir.IntType(32)
_FLOATS, _INTS, _SHORTS = (ir.VectorType(element, LANES) for element in (ir.FloatType(), _INT, _SHORT))
_BFLOATS, _BFLOAT_PAIRS = ir.VectorType(_BFloat(), LANES), ir.VectorType(_BFloat(), 2 * LANES)
_SHORT_PAIRS = ir.VectorType(_SHORT, 2 * LANES)
_ZIPPED = [k // 2 + k % 2 * LANES for k in range(2 * LANES)]  # of two vectors: the first of each, the second of each ...
# Shuffles of two vectors, each in halves of eight numbers. The first zips, half by half, the first four numbers of both vectors, or
# the last four; the second takes the first halves of both, or the last halves.
_ZIPPED_HALVES = [ir.Constant(_INTS, [half * 8 + first + k // 2 + k % 2 * LANES for half in range(2) for k in range(8)])
                  for first in (0, 4)]
_HALVES = [ir.Constant(_INTS, [vector * LANES + first + k for vector in range(2) for k in range(8)]) for first in (0, 8)]


class _Floats(types.Type):
    """The Numba type of 16 float32."""

    def __init__(self) -> None:
        super().__init__(name="Floats(16)")


@register_model(_Floats)
class _FloatsModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _FLOATS)


_floats = _Floats()


def _is(array, dtype) -> bool:
    return isinstance(array, types.Array) and array.layout == "C" and array.dtype == dtype


def _pointer(context, builder, array_type, array, index, kind):
    """Address of the element at a flat index (signed, no bounds check), as a pointer to `kind`."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index], inbounds=True), kind.as_pointer())


def _call(builder, name, kind, *arguments):
    function = ir.FunctionType(kind, [argument.type for argument in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def _every_lane(builder, value):
    vector = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, first, ir.Constant(_INTS, None))


def _rounded(builder, value, wide, narrow):
    """float32 (one, or a vector), as integers of 32 bits -> the upper 16 bits of each, rounded to nearest even; a NaN stays one."""
    def constant(k):
        return ir.Constant(wide, [k] * LANES if isinstance(wide, ir.VectorType) else k)

    odd = builder.and_(builder.lshr(value, constant(16)), constant(1))
    near = builder.add(builder.add(value, constant(0x7FFF)), odd)
    is_nan = builder.icmp_unsigned(">", builder.and_(value, constant(0x7FFFFFFF)), constant(0x7F800000))
    quiet = builder.or_(value, constant(0x400000))
    return builder.trunc(builder.lshr(builder.select(is_nan, quiet, near), constant(16)), narrow)


def _narrowed(builder, value):
    """16 float32 -> 16 bf16, as shorts."""
    if _FAST:
        return builder.bitcast(_call(builder, "llvm.x86.avx512bf16.cvtneps2bf16.512", _BFLOATS, value), _SHORTS)
    return _rounded(builder, builder.bitcast(value, _INTS), _INTS, _SHORTS)


@intrinsic
def load(typing_context, array, index):
    if not _is(array, types.float32):
        return None

    def generate(context, builder, signature, arguments):
        return builder.load(_pointer(context, builder, signature.args[0], *arguments, _FLOATS), align=4)

    return _floats(array, types.intp), generate


@intrinsic
def store(typing_context, array, index, value):
    if not (_is(array, types.float32) and value == _floats):
        return None

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _pointer(context, builder, signature.args[0], *arguments[:2], _FLOATS), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def widen(typing_context, array, index):
    if not _is(array, types.uint16):
        return None

    def generate(context, builder, signature, arguments):
        bits = builder.load(_pointer(context, builder, signature.args[0], *arguments, _SHORTS), align=2)
        return builder.bitcast(builder.shl(builder.zext(bits, _INTS), ir.Constant(_INTS, [16] * LANES)), _FLOATS)

    return _floats(array, types.intp), generate


@intrinsic
def narrow(typing_context, array, index, value):
    if not (_is(array, types.uint16) and value == _floats):
        return None

    def generate(context, builder, signature, arguments):
        bits = _narrowed(builder, arguments[2])
        builder.store(bits, _pointer(context, builder, signature.args[0], *arguments[:2], _SHORTS), align=2)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def narrow_pairs(typing_context, array, index, first, second):
    if not (_is(array, types.uint16) and first == second == _floats):
        return None

    def generate(context, builder, signature, arguments):
        array, index, first, second = arguments
        zipped = ir.Constant(ir.VectorType(_INT, 2 * LANES), _ZIPPED)
        if _FAST:
            name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"  # its second argument becomes the lower half
            both = builder.bitcast(_call(builder, name, _BFLOAT_PAIRS, second, first), _SHORT_PAIRS)
            bits = builder.shuffle_vector(both, both, zipped)
        else:
            bits = builder.shuffle_vector(_narrowed(builder, first), _narrowed(builder, second), zipped)
        builder.store(bits, _pointer(context, builder, signature.args[0], array, index, _SHORT_PAIRS), align=2)
        return context.get_dummy_value()

    return types.void(array, types.intp, first, second), generate


@intrinsic
def copy(typing_context, target, to, source, index):
    if not (_is(target, types.uint16) and _is(source, types.uint16)):
        return None

    def generate(context, builder, signature, arguments):
        bits = builder.load(_pointer(context, builder, signature.args[2], *arguments[2:], _SHORTS), align=2)
        builder.store(bits, _pointer(context, builder, signature.args[0], *arguments[:2], _SHORTS), align=2)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), generate


@intrinsic
def copy_pairs(typing_context, target, to, source, first, second):
    if not (_is(target, types.uint16) and _is(source, types.uint16)):
        return None

    def generate(context, builder, signature, arguments):
        target, to, source, *indices = arguments
        both = [builder.load(_pointer(context, builder, signature.args[2], source, index, _SHORTS), align=2) for index in indices]
        bits = builder.shuffle_vector(*both, ir.Constant(ir.VectorType(_INT, 2 * LANES), _ZIPPED))
        builder.store(bits, _pointer(context, builder, signature.args[0], target, to, _SHORT_PAIRS), align=2)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


@intrinsic
def turn(typing_context, target, to, to_step, source, index, step):
    if not (_is(target, types.uint16) and _is(source, types.uint16)):
        return None

    def generate(context, builder, signature, arguments):
        target, to, to_step, source, index, step = arguments

        def place(position, array, first, step, k):
            at = builder.add(first, builder.mul(step, ir.Constant(step.type, k)))
            return _pointer(context, builder, signature.args[position], array, at, _SHORTS)

        # Rows 0 to 7 and 8 to 15 are turned in halves of 8 columns: to zip the first four of eight rows with the last four, once
        # for each bit of a row's number, turns them. One instruction zips registers half by half. Then halves are exchanged.
        rows = [builder.load(place(3, source, index, step, r), align=2) for r in range(LANES)]
        for _ in range(3):
            rows = [builder.shuffle_vector(rows[k], rows[k + 4], mask)
                    for k in (0, 1, 2, 3, 8, 9, 10, 11) for mask in _ZIPPED_HALVES]
        rows = [builder.shuffle_vector(rows[k], rows[k + 8], mask) for mask in _HALVES for k in range(8)]
        for c, row in enumerate(rows):
            builder.store(row, place(0, target, to, to_step, c), align=2)
        return context.get_dummy_value()

    number = types.intp
    return types.void(target, number, number, source, number, number), generate


@intrinsic
def zero(typing_context):
    return _floats(), lambda context, builder, signature, arguments: ir.Constant(_FLOATS, None)


@intrinsic
def splat(typing_context, value):
    return _floats(types.float32), lambda context, builder, signature, arguments: _every_lane(builder, arguments[0])


def _elementwise(generate):
    """An intrinsic of two vectors -> a vector, from a function of the builder and both."""

    @intrinsic
    def function(typing_context, x, y):
        if not x == y == _floats:
            return None
        return _floats(x, y), lambda context, builder, signature, arguments: generate(builder, *arguments)

    return function


def _where_positive(builder, x, y):
    nothing = ir.Constant(_FLOATS, None)
    return builder.select(builder.fcmp_ordered("<=", x, nothing), nothing, y)  # asked this way round, NaN is kept


add = _elementwise(lambda builder, x, y: builder.fadd(x, y))
subtract = _elementwise(lambda builder, x, y: builder.fsub(x, y))
where_positive = _elementwise(_where_positive)


@intrinsic
def positive(typing_context, x):
    return _floats(_floats), lambda context, builder, signature, arguments: _where_positive(builder, arguments[0], arguments[0])


@intrinsic
def multiply_add(typing_context, x, y, z):
    if not x == y == z == _floats:
        return None

    def generate(context, builder, signature, arguments):
        return _call(builder, "llvm.fmuladd.v16f32", _FLOATS, *arguments)

    return _floats(x, y, z), generate


@intrinsic
def to_float(typing_context, bits):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(builder.shl(builder.zext(arguments[0], _INT), ir.Constant(_INT, 16)), ir.FloatType())

    return types.float32(types.uint16), generate


@intrinsic
def to_bits(typing_context, value):
    def generate(context, builder, signature, arguments):
        return _rounded(builder, builder.bitcast(arguments[0], _INT), _INT, _SHORT)

    return types.uint16(types.float32), generate


@intrinsic
def multiply_pairs(typing_context, a, a_first, a_row, a_step, a_block, b, b_first, b_step, blocks, out, out_first, out_row,
                   rows, vectors, pairs, accumulate):
    """A block of a product: out (rows, 16 vectors) = A B, or += A B; `rows`, `vectors` and `pairs` are literal numbers.

    a, b are uint16, out is float32; indices are flat. Pairs come in `blocks` of `pairs` each, which are written out: pair
    k of block j of row r of A lies at a[a_first + r*a_row + k*a_step + j*a_block], that of B, for all columns, from
    b[b_first + (j*pairs + k)*b_step] on, row r of out from out[out_first + r*out_row] on. Give a_row and a_step as numbers, where
    they are known: then an address is one register and a constant, and no register is wasted.
    """
    if not (_is(a, types.uint16) and _is(b, types.uint16) and _is(out, types.float32)
            and all(isinstance(count, types.IntegerLiteral) for count in (rows, vectors, pairs))):
        return None
    many, across, unrolled = rows.literal_value, vectors.literal_value, pairs.literal_value

    def generate(context, builder, signature, arguments):
        a, a_first, a_row, a_step, a_block, b, b_first, b_step, blocks, out, out_first, out_row, _, _, _, accumulate = arguments

        def number(k):
            return ir.Constant(a_first.type, k)

        def address(position, array, index):
            return builder.gep(context.make_array(signature.args[position])(context, builder, array).data, [index], inbounds=True)

        def at(pointer, offset, kind):
            return builder.bitcast(builder.gep(pointer, [offset], inbounds=True), kind.as_pointer())

        a_start, b_start, out_start = address(0, a, a_first), address(5, b, b_first), address(9, out, out_first)
        row_of_a = [builder.mul(a_row, number(r)) for r in range(many)]
        places = [[at(out_start, builder.add(builder.mul(out_row, number(r)), number(LANES * v)), _FLOATS) for v in range(across)]
                  for r in range(many)]
        # Sums are variables whose address nobody takes: LLVM keeps them in registers.
        sums = [[cgutils.alloca_once(builder, _FLOATS) for _ in range(across)] for _ in range(many)]
        with builder.if_else(accumulate) as (then, otherwise):
            with then:
                for place, total in zip(sum(places, []), sum(sums, []), strict=True):
                    builder.store(builder.load(place, align=4), total)
            with otherwise:
                for total in sum(sums, []):
                    builder.store(ir.Constant(_FLOATS, None), total)
        with cgutils.for_range(builder, blocks) as loop:
            a_now = builder.gep(a_start, [builder.mul(loop.index, a_block)], inbounds=True)
            first = builder.mul(loop.index, number(unrolled))
            for k in range(unrolled):
                b_now = builder.gep(b_start, [builder.mul(builder.add(first, number(k)), b_step)], inbounds=True)
                columns = [builder.load(at(b_now, number(2 * LANES * v), _INTS), align=2) for v in range(across)]
                for r in range(many):
                    offset = builder.add(row_of_a[r], builder.mul(a_step, number(k)))
                    pair = _every_lane(builder, builder.load(at(a_now, offset, _INT), align=2))
                    for v in range(across):
                        builder.store(_dot(builder, builder.load(sums[r][v]), pair, columns[v]), sums[r][v])
        for place, total in zip(sum(places, []), sum(sums, []), strict=True):
            builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    number = types.intp
    return types.void(a, number, number, number, number, b, number, number, number, out, number, number, rows, vectors, pairs,
                      types.boolean), generate


def _dot(builder, total, x, y):
    """total + x0*y0 + x1*y1 of 16 pairs of bf16, each pair an integer of 32 bits."""
    if _FAST:
        pairs = (builder.bitcast(pair, _BFLOAT_PAIRS) for pair in (x, y))
        return _call(builder, "llvm.x86.avx512bf16.dpbf16ps.512", _FLOATS, total, *pairs)
    shift, upper = ir.Constant(_INTS, [16] * LANES), ir.Constant(_INTS, [0xFFFF0000] * LANES)
    for half in (lambda pair: builder.shl(pair, shift), lambda pair: builder.and_(pair, upper)):
        total = _call(builder, "llvm.fmuladd.v16f32", _FLOATS, *(builder.bitcast(half(pair), _FLOATS) for pair in (x, y)), total)
    return total


@inline
def pixel(array, inside, index):
    if inside:
        return widen(array, index)
    return zero()
