"""Intel's AMX for Numba: eight tile registers, and an instruction that multiplies two of them.

A tile is 16 rows of 64 bytes: 16 x 32 bf16, or 16 x 16 float32. Its number, 0 to 7, must be a literal.

    configure(), release()      before the first tile of a thread, and after its last
    clear(t)                    zeros
    load_bf16(t, a, i, step)    row r from the C-contiguous uint16 array `a`, from the flat index i + r*step on
    load_sums(t, a, i, step)    the same of a float32 array
    store_sums(t, a, i, step)   and back
    multiply(c, a, b)           c (16 x 16 float32) += a (16 x 32) times b (32 x 16). Row k of tile b holds rows 2k and 2k + 1 of
                                that factor in pairs: b[k, 2f] and b[k, 2f + 1] are of column f, and meet a[:, 2k] and a[:, 2k + 1]

Intel's "Intrinsics Guide" has them as _tile_loadconfig, _tile_release, _tile_zero, _tile_loadd, _tile_stored and _tile_dpbf16ps.
micro.py asks the system for the registers. Nothing is bounds-checked.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BYTE, _LONG = ir.IntType(8), ir.IntType(64)
_POINTER = _BYTE.as_pointer()
_ROWS, _ROW_BYTES = 16, 64
# The palette, then from byte 16 on the bytes of each tile's row, 2 bytes each, from byte 48 on its rows.
_CONFIGURATION = bytes([1] + [0] * 15 + [_ROW_BYTES, 0] * 8 + [0] * 16 + [_ROWS] * 8 + [0] * 8)


def _emit(context, builder, name, *arguments):
    kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)
    return context.get_dummy_value()


def _are_tiles(*numbers):
    return all(isinstance(number, types.IntegerLiteral) and 0 <= number.literal_value < 8 for number in numbers)


def _numbers(signature):
    return [_BYTE(number.literal_value) for number in signature.args if isinstance(number, types.IntegerLiteral)]


@intrinsic
def configure(typing_context):
    def generate(context, builder, signature, arguments):
        constant = ir.Constant(ir.ArrayType(_BYTE, len(_CONFIGURATION)), bytearray(_CONFIGURATION))
        place = cgutils.global_constant(builder.module, "tile_configuration", constant)
        return _emit(context, builder, "ldtilecfg", builder.bitcast(place, _POINTER))

    return types.void(), generate


@intrinsic
def release(typing_context):
    return types.void(), lambda context, builder, signature, arguments: _emit(context, builder, "tilerelease")


@intrinsic
def clear(typing_context, t):
    if not _are_tiles(t):
        return None
    return types.void(t), lambda context, builder, signature, arguments: _emit(context, builder, "tilezero", *_numbers(signature))


@intrinsic
def multiply(typing_context, c, a, b):
    if not _are_tiles(c, a, b):
        return None

    def generate(context, builder, signature, arguments):
        return _emit(context, builder, "tdpbf16ps", *_numbers(signature))

    return types.void(c, a, b), generate


def _mover(name, dtype):
    """An intrinsic that moves a tile from an array of that dtype, or to it."""

    @intrinsic
    def move(typing_context, t, array, index, step):
        if not (_are_tiles(t) and isinstance(array, types.Array) and array.layout == "C" and array.dtype == dtype):
            return None

        def generate(context, builder, signature, arguments):
            data = context.make_array(signature.args[1])(context, builder, arguments[1]).data
            place = builder.bitcast(builder.gep(data, [arguments[2]], inbounds=True), _POINTER)
            row_bytes = builder.mul(arguments[3], _LONG(dtype.bitwidth // 8))
            return _emit(context, builder, name, _BYTE(signature.args[0].literal_value), place, row_bytes)

        return types.void(t, array, types.intp, types.intp), generate

    return move


load_bf16 = _mover("tileloadd64", types.uint16)
load_sums = _mover("tileloadd64", types.float32)
store_sums = _mover("tilestored64", types.float32)
