// Runs kernels: thread by thread, or, if their threads synchronize, as fibers of one host thread.
#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "device.h"

extern "C" {
Triple emu_threadIdx, emu_blockIdx, emu_blockDim, emu_gridDim;
void* emu_dynamic_shared;
uint64_t emu_exchange[1024];  // values that the threads of a warp exchange

// Save the callee-saved registers on this stack, and continue on the other one.
void emu_switch(void** from, void* to);
asm(R"(
    .text
    .globl emu_switch
    .type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emu_switch, .-emu_switch
)");
}

namespace {
const size_t STACK_BYTES = 64 * 1024;
const unsigned WARP = 32, MOST_THREADS = 1024;

enum State { READY, WAITS_FOR_BLOCK, WAITS_FOR_WARP, DONE };

struct Fiber {
    void* stack_pointer;
    Triple index;
    State state;
    unsigned mask;  // threads of the warp that it waits for
};

Fiber fibers[MOST_THREADS];
char* stacks;
void* scheduler;  // its stack pointer
Fiber* running;
const Kernel* current_kernel;
void** current_arguments;

void fiber_main() {
    current_kernel->call(current_arguments);
    running->state = DONE;
    void* unused;
    emu_switch(&unused, scheduler);
    __builtin_unreachable();
}

void wait(State state, unsigned mask) {
    Fiber* self = running;
    self->state = state;
    self->mask = mask;
    emu_switch(&self->stack_pointer, scheduler);
}

Triple nth(unsigned i, Triple size) { return {i % size.x, i / size.x % size.y, i / (size.x * size.y)}; }

// Resume the warps whose threads have all arrived; return whether there was one.
bool release_warps(unsigned threads) {
    bool released = false;
    for (unsigned first = 0; first < threads; first += WARP) {
        unsigned there = 0, alive = 0;
        unsigned last = first + WARP < threads ? first + WARP : threads;
        for (unsigned i = first; i < last; i++) {
            if (fibers[i].state == WAITS_FOR_WARP) there |= 1u << (i - first);
            if (fibers[i].state != DONE) alive |= 1u << (i - first);
        }
        for (unsigned i = first; i < last; i++)
            if (fibers[i].state == WAITS_FOR_WARP && !(fibers[i].mask & alive & ~there)) {
                fibers[i].state = READY;
                released = true;
            }
    }
    return released;
}

int run_block(unsigned threads) {
    if (!stacks) {
        stacks = static_cast<char*>(mmap(nullptr, MOST_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (stacks == MAP_FAILED) return OUT_OF_MEMORY;
    }
    for (unsigned i = 0; i < threads; i++) {
        void** top = reinterpret_cast<void**>(stacks + (i + 1) * STACK_BYTES);
        *--top = nullptr;  // aligns the stack as after a call
        *--top = reinterpret_cast<void*>(fiber_main);
        top -= 6;
        std::memset(top, 0, 6 * sizeof(void*));
        fibers[i] = {top, nth(i, emu_blockDim), READY, 0};
    }
    for (;;) {
        unsigned ran = 0, alive = 0;
        for (unsigned i = 0; i < threads; i++) {
            if (fibers[i].state == READY) {
                running = &fibers[i];
                emu_threadIdx = running->index;
                emu_switch(&scheduler, running->stack_pointer);
                ran++;
            }
            alive += fibers[i].state != DONE;
        }
        if (!alive) return SUCCESS;
        if (ran || release_warps(threads)) continue;
        for (unsigned i = 0; i < threads; i++) {
            if (fibers[i].state == WAITS_FOR_WARP) {
                std::fprintf(stderr, "emulated CUDA: threads of a warp wait for threads that never arrive\n");
                return LAUNCH_FAILURE;
            }
            if (fibers[i].state == WAITS_FOR_BLOCK) fibers[i].state = READY;
        }
    }
}
}  // namespace

extern "C" {
void emu_wait_for_block() { wait(WAITS_FOR_BLOCK, 0); }
void emu_wait_for_warp(unsigned mask) { wait(WAITS_FOR_WARP, mask); }
}

int run_kernel(const Kernel& kernel, Triple grid, Triple block, size_t shared_bytes, void** arguments) {
    if (kernel.flags & SINGLE_THREAD) grid = block = {1, 1, 1};
    static std::vector<uint64_t> shared;
    if (shared.size() * 8 < shared_bytes) shared.resize(shared_bytes / 8 + 1);
    emu_dynamic_shared = shared.data();
    emu_gridDim = grid;
    emu_blockDim = block;
    current_kernel = &kernel;
    current_arguments = arguments;
    const unsigned threads = block.x * block.y * block.z;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                emu_blockIdx = {x, y, z};
                if (shared_bytes) std::memset(emu_dynamic_shared, 0xff, shared_bytes);
                if (kernel.flags & SYNCHRONIZES) {
                    if (int error = run_block(threads)) return error;
                } else {
                    for (unsigned i = 0; i < threads; i++) {
                        emu_threadIdx = nth(i, block);
                        kernel.call(arguments);
                    }
                }
            }
    return SUCCESS;
}
