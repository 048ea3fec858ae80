// Declarations shared by the parts of the emulated device. See README.md.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

enum {  // CUDA's error codes
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_RESOURCE_HANDLE = 400,
    NOT_FOUND = 500,
    NOT_READY = 600,
    LAUNCH_FAILURE = 719,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_ISOLATION = 905,
    CAPTURE_IMPLICIT = 906,
    CAPTURED_EVENT = 907,
};

// ---------------------------------------------------------------- settings, counters, errors

extern bool lazy;  // run queued work when somebody synchronizes, not before
extern bool strict;  // treat captures in relaxed mode as in thread-local mode
extern size_t total_memory, used_memory;
extern FILE* trace;
extern std::map<std::string, long> counts;
extern int last_error;

struct Locked {  // one lock for the whole device
    Locked();
    ~Locked();
};

int fail(int error);  // remembers an error as the last one, and returns it
void complain(const char* message);
void count(const std::string& event);

// ---------------------------------------------------------------- memory

struct Block {
    size_t bytes;
    char* mapped;
    size_t mapped_bytes;
};
extern std::map<uintptr_t, Block> device_blocks;
extern std::map<uintptr_t, size_t> pinned_blocks;

int allocate(void** pointer, size_t bytes);
bool within_device(const void* pointer, size_t bytes);
bool is_pinned(const void* pointer);

// ---------------------------------------------------------------- streams

struct Work {
    std::string kind;  // what it is counted as
    std::function<int()> run;  // its closure holds all that it reads
};

struct Graph {
    std::vector<Work> work;
};

struct Stream {
    bool blocking = true;  // synchronizes with the legacy stream
    std::deque<Work> queue;
    uint64_t submitted = 0, completed = 0;
    unsigned queries = 0;
    std::unique_ptr<Graph> capture;
    int capture_mode = 0;
    std::thread::id capturing_thread;
    bool invalidated = false;
    std::set<uint64_t> allocated;  // blocks that CuPy's pool has given out during the capture
};
extern Stream legacy_stream;
extern std::set<Stream*> streams;

struct Event {
    Stream* stream = nullptr;
    uint64_t position = 0;
    unsigned queries = 0;
    Stream* captured_in = nullptr;
    std::chrono::steady_clock::time_point time;
};

const unsigned QUERIES_UNTIL_DONE = 1000;  // queries answer "not ready" that often in lazy order
enum { GLOBAL, THREAD_LOCAL, RELAXED };  // modes of capture

Stream* find_stream(void* handle);

// Run work at once, queue it, or append it to the graph that is being captured.
int submit(void* stream, const std::string& kind, std::function<int()> work);
int run_work(const Work& work);
int run_until(Stream& stream, uint64_t position);
int drain(Stream& stream);
int drain_all();

int synchronize(Stream& stream, const char* event);
int synchronize_device(const char* event);
bool is_capturing(void* stream);

// Refuse a call, and invalidate the capture of a stream.
int invalidate(Stream& stream, int error);
// Refuse, during a capture, calls that CUDA calls unsafe, and work on the legacy stream.
int check_safe(const char* call);
int check_legacy();

// ---------------------------------------------------------------- kernels

struct Kernel {  // as in include/emulated_kernel.h
    void (*call)(void** arguments);
    int parameters;
    const size_t* sizes;
    int flags;
};
enum { SINGLE_THREAD = 1, SYNCHRONIZES = 2 };

struct Triple {
    unsigned x, y, z;
};
int run_kernel(const Kernel& kernel, Triple grid, Triple block, size_t shared_bytes, void** arguments);
