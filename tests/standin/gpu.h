// What CUDA adds to C++, for a CPU: enough to run the .cu files of resnet_np/kernels in the tests.
//
// Blocks run one after the other. So do the threads of a block, up to the next __syncthreads(): every thread is a fiber with a stack
// of its own, and waiting is a jump to the next one. A thread that reads shared memory too early finds the value missing every time,
// where on a GPU it might be there by luck; and __syncthreads() that not all threads of a block reach is reported.

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <ucontext.h>
#include <utility>

using std::exp, std::fma, std::log, std::max, std::min, std::sqrt;

#define __global__
#define __device__ static inline
#define __shared__ static
#define __launch_bounds__(n)

struct Dimensions { unsigned x; };
static Dimensions threadIdx, blockIdx, blockDim, gridDim;

namespace gpu {

constexpr int MOST = 1024, STACK = 1 << 15;
enum State { RUNNING, WAITING, DONE };
static struct Fiber { State state; jmp_buf place; ucontext_t context; char *stack; } fibers[MOST];
static jmp_buf scheduler;
static void (*body)(void *), *arguments;

// A fiber lives for ever: when its thread is done it waits for the thread of the same number in the next block.
static void live()
{
    for (;;) {
        Fiber &me = fibers[threadIdx.x];
        body(arguments);
        me.state = DONE;
        if (_setjmp(me.place) == 0) _longjmp(scheduler, 1);
    }
}

static void resume(unsigned thread)
{
    threadIdx.x = thread;
    if (_setjmp(scheduler)) return;
    Fiber &fiber = fibers[thread];
    if (fiber.stack) _longjmp(fiber.place, 1);
    fiber.stack = (char *)malloc(STACK);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, live, 0);
    setcontext(&fiber.context);
}

static void run_block()
{
    for (unsigned t = 0; t < blockDim.x; t++) fibers[t].state = RUNNING;
    for (unsigned done = 0; done < blockDim.x;) {
        done = 0;
        for (unsigned t = 0; t < blockDim.x; t++) {
            resume(t);
            done += fibers[t].state == DONE;
        }
        if (done && done < blockDim.x) {
            fprintf(stderr, "block %u: %u of %u threads ended while the others wait at __syncthreads()\n", blockIdx.x, done, blockDim.x);
            abort();
        }
    }
}

// The letters in which a kernel says what its parameters are: "f4", "i8", and with "r" or "w" in front a pointer to read or to write.
template <class T> std::string letters()
{
    using Bare = std::remove_const_t<std::remove_pointer_t<T>>;
    std::string kind = (std::is_floating_point_v<Bare> ? "f" : "i") + std::to_string(sizeof(Bare));
    if (!std::is_pointer_v<T>) return kind;
    return (std::is_const_v<std::remove_pointer_t<T>> ? "r" : "w") + kind;
}

template <class... P> const char *parameters(void (*)(P...))
{
    static const std::string all = ((letters<P>() + " ") + ...);
    return all.c_str();
}

// values[i] points to argument i, as in cuLaunchKernel.
template <bool SYNCHRONISES, class... P, size_t... I>
void launch(void (*kernel)(P...), unsigned grid, unsigned block, void **values, std::index_sequence<I...>)
{
    struct Call { void (*kernel)(P...); void **values; } call = {kernel, values};
    body = [](void *c) { Call *call = (Call *)c; call->kernel(*(P *)call->values[I]...); };
    arguments = &call;
    gridDim.x = grid;
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++)
        if (SYNCHRONISES) run_block();
        else for (threadIdx.x = 0; threadIdx.x < block; threadIdx.x++) body(arguments);
}

template <bool SYNCHRONISES, class... P> void launch(void (*kernel)(P...), unsigned grid, unsigned block, void **values)
{
    launch<SYNCHRONISES>(kernel, grid, block, values, std::index_sequence_for<P...>());
}

}  // namespace gpu

static inline void __syncthreads()
{
    gpu::Fiber &me = gpu::fibers[threadIdx.x];
    me.state = gpu::WAITING;
    if (_setjmp(me.place) == 0) _longjmp(gpu::scheduler, 1);
}
