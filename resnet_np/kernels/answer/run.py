"""All steps of a picture in one call, compiled by Numba, on the layout of program.py.

A step is cut into pieces: some pixels, or tiles of them, for some of the filters. `run` does them one after the other, `run_shared`
shares those of each step among threads. Every output is the same sum in the same order, however a step is cut: the same bits.
"""

import numpy as np
from numba import get_thread_id, prange

from resnet_np.kernels.answer.direct import convolve
from resnet_np.kernels.answer.pools import global_pool, max_pool
from resnet_np.kernels.answer.program import DIRECT, MAX, WINOGRAD
from resnet_np.kernels.answer.tiles import convolve_tiles
from resnet_np.kernels.compile import inline, unlocked


@unlocked(parallel=False)
def run(x, entrance, table, weights, last, memory, scratch, places, logits):
    """x (N, C, H, W) -> logits (N, K), picture by picture.

    memory: of one picture's maps, zeros at first; scratch and places, int64 (2, ...): a thread's.
    """
    for image in range(len(x)):
        _enter(x[image], entrance, memory)
        for s in range(len(table)):
            for piece in range(table[s].pieces):
                _do(table[s], piece, weights, memory, scratch, places)
        _leave(memory, last, logits[image])


@unlocked(parallel=True)
def run_shared(x, entrance, table, weights, last, memory, scratch, places, logits):
    """The same by all threads, of which each has a row of scratch and of places."""
    for image in range(len(x)):
        _enter(x[image], entrance, memory)
        for s in range(len(table)):
            for piece in prange(table[s].pieces):
                thread = get_thread_id()
                _do(table[s], np.int64(piece), weights, memory, scratch[thread], places[thread])
        _leave(memory, last, logits[image])


@inline
def _enter(x, entrance, memory):
    """The picture, its channels side by side, into the middle of its padding."""
    channels, height, width, pad = entrance
    for c in range(channels):
        for y in range(height):
            to = ((y + pad) * (width + 2 * pad) + pad) * channels + c
            for i in range(width):
                memory[to + i * channels] = x[c, y, i]


@inline
def _do(step, piece, weights, memory, scratch, places):
    if step.kind == WINOGRAD:
        convolve_tiles(step, piece, weights, memory, scratch)
    elif step.kind == DIRECT:
        convolve(step, piece, weights, memory, places)
    elif step.kind == MAX:
        max_pool(step, memory)
    else:
        global_pool(step, memory)


@inline
def _leave(memory, last, logits):
    for k in range(len(logits)):
        logits[k] = memory[last + k]
