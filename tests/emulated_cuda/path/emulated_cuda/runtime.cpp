// The CUDA runtime: rt_cudaX takes the place of cudaX, which is linked into CuPy (see __init__.py).
#include "device.h"

#include <cstring>

namespace {
std::set<Event*> events;

Event* find_event(void* handle) {
    auto event = static_cast<Event*>(handle);
    return events.count(event) ? event : nullptr;
}

bool has_completed(const Event& event) {
    return !event.stream || !streams.count(event.stream) || event.stream->completed >= event.position;
}

}  // namespace

extern "C" {

// Replaces every function that is not emulated.
int emu_unsupported(const char* name) {
    std::fprintf(stderr, "emulated CUDA: %s is not emulated\n", name);
    return fail(NOT_SUPPORTED);
}

// ---------------------------------------------------------------- device

int rt_cudaGetDeviceCount(int* n) {
    *n = 1;
    return SUCCESS;
}
int rt_cudaGetDevice(int* device) {
    *device = 0;
    return SUCCESS;
}
int rt_cudaSetDevice(int device) { return device == 0 ? SUCCESS : fail(INVALID_DEVICE); }
int rt_cudaDriverGetVersion(int* version) {
    *version = 13000;
    return SUCCESS;
}
int rt_cudaDeviceCanAccessPeer(int* can, int, int) {
    *can = 0;
    return SUCCESS;
}
int rt_cudaGetLastError() {
    int error = last_error;
    last_error = SUCCESS;
    return error;
}
int rt_cudaPeekAtLastError() { return last_error; }

int rt_cudaDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 1:
        case 2:
        case 3: *value = 1024; break;  // threads in a block, and along its axes
        case 4: *value = 64; break;
        case 5: *value = 2147483647; break;  // blocks in a grid along its axes
        case 6:
        case 7: *value = 65535; break;
        case 8:
        case 97: *value = 49152; break;  // shared memory in a block
        case 10: *value = 32; break;  // threads in a warp
        case 12: *value = 65536; break;  // registers
        case 16: *value = 2; break;  // multiprocessors
        case 39: *value = 2048; break;  // threads in a multiprocessor
        case 75: *value = 9; break;  // compute capability
        case 41: *value = 1; break;  // unified addressing
        default: *value = 0;  // no managed memory, no memory pools, no cooperative launch
    }
    return SUCCESS;
}

int rt_cudaGetDeviceProperties(char* properties, int device) {
    if (device != 0) return fail(INVALID_DEVICE);
    // The first fields of the struct; the rest is zero.
    struct {
        char name[256];
        char ids[32];
        size_t total, shared;
        int registers, warp;
        size_t pitch;
        int threads;
        int block[3];
        int grid[3];
    } known = {"Emulated CUDA device",    "", total_memory, 49152, 65536, 32, 2147483647, 1024, {1024, 1024, 64},
               {2147483647, 65535, 65535}};
    static_assert(sizeof(known) <= 360);
    std::memset(properties, 0, 768);
    std::memcpy(properties, &known, sizeof known);
    return SUCCESS;
}

int rt_cudaMemGetInfo(size_t* free, size_t* total) {
    Locked locked;
    *free = total_memory - used_memory;
    *total = total_memory;
    return SUCCESS;
}

int rt_cudaDeviceSynchronize() {
    Locked locked;
    return synchronize_device("synchronize device");
}

// ---------------------------------------------------------------- streams and events

int rt_cudaStreamCreateWithFlags(void** handle, unsigned flags) {
    Locked locked;
    auto stream = new Stream;
    stream->blocking = !(flags & 1);
    streams.insert(stream);
    *handle = stream;
    return SUCCESS;
}
int rt_cudaStreamCreate(void** handle) { return rt_cudaStreamCreateWithFlags(handle, 0); }
int rt_cudaStreamCreateWithPriority(void** handle, unsigned flags, int) {
    return rt_cudaStreamCreateWithFlags(handle, flags);
}

int rt_cudaStreamDestroy(void* handle) {
    Locked locked;
    auto stream = static_cast<Stream*>(handle);
    if (!streams.count(stream)) return fail(INVALID_RESOURCE_HANDLE);
    drain(*stream);
    streams.erase(stream);
    delete stream;
    return SUCCESS;
}

int rt_cudaStreamGetFlags(void* handle, unsigned* flags) {
    Locked locked;
    Stream* stream = find_stream(handle);
    if (!stream) return fail(INVALID_RESOURCE_HANDLE);
    *flags = !stream->blocking;
    return SUCCESS;
}
int rt_cudaStreamGetPriority(void*, int* priority) {
    *priority = 0;
    return SUCCESS;
}

int rt_cudaStreamSynchronize(void* handle) {
    Locked locked;
    if (trace) std::fprintf(trace, "synchronize %p\n", handle);
    Stream* stream = find_stream(handle);
    return stream ? synchronize(*stream, "synchronize stream") : fail(INVALID_RESOURCE_HANDLE);
}

// Queries do not run work in lazy order, until they have been repeated often.
int rt_cudaStreamQuery(void* handle) {
    Locked locked;
    Stream* stream = find_stream(handle);
    if (!stream) return fail(INVALID_RESOURCE_HANDLE);
    if (stream->capture) return invalidate(*stream, CAPTURE_UNSUPPORTED);
    if (stream->completed == stream->submitted) return SUCCESS;
    return ++stream->queries % QUERIES_UNTIL_DONE ? NOT_READY : fail(drain(*stream));
}

int rt_cudaEventCreateWithFlags(void** handle, unsigned) {
    Locked locked;
    auto event = new Event;
    events.insert(event);
    *handle = event;
    return SUCCESS;
}
int rt_cudaEventCreate(void** handle) { return rt_cudaEventCreateWithFlags(handle, 0); }

int rt_cudaEventDestroy(void* handle) {
    Locked locked;
    Event* event = find_event(handle);
    if (!event) return fail(INVALID_RESOURCE_HANDLE);
    events.erase(event);
    delete event;
    return SUCCESS;
}

int rt_cudaEventRecord(void* handle, void* stream_handle) {
    Locked locked;
    Event* event = find_event(handle);
    Stream* stream = find_stream(stream_handle);
    if (!event || !stream) return fail(INVALID_RESOURCE_HANDLE);
    event->captured_in = stream->capture ? stream : nullptr;
    event->stream = stream;
    event->position = stream->submitted;
    event->time = std::chrono::steady_clock::now();
    return SUCCESS;
}

int rt_cudaEventQuery(void* handle) {
    Locked locked;
    Event* event = find_event(handle);
    if (!event) return fail(INVALID_RESOURCE_HANDLE);
    if (int error = check_safe("query an event")) return error;
    if (event->captured_in) return fail(CAPTURED_EVENT);
    if (has_completed(*event)) return SUCCESS;
    return ++event->queries % QUERIES_UNTIL_DONE ? NOT_READY : fail(run_until(*event->stream, event->position));
}

int rt_cudaEventSynchronize(void* handle) {
    Locked locked;
    count("synchronize event");
    Event* event = find_event(handle);
    if (!event) return fail(INVALID_RESOURCE_HANDLE);
    if (int error = check_safe("synchronize an event")) return error;
    if (event->captured_in) return fail(CAPTURED_EVENT);
    return has_completed(*event) ? SUCCESS : fail(run_until(*event->stream, event->position));
}

int rt_cudaEventElapsedTime(float* milliseconds, void* first, void* second) {
    Locked locked;
    Event *begin = find_event(first), *end = find_event(second);
    if (!begin || !end) return fail(INVALID_RESOURCE_HANDLE);
    *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
    return SUCCESS;
}

int rt_cudaStreamWaitEvent(void* handle, void* event_handle, unsigned) {
    Locked locked;
    Stream* stream = find_stream(handle);
    Event* event = find_event(event_handle);
    if (!stream || !event) return fail(INVALID_RESOURCE_HANDLE);
    if (stream->capture || event->captured_in)
        return stream == event->captured_in ? SUCCESS
               : stream->capture            ? invalidate(*stream, CAPTURE_ISOLATION)
                                            : fail(CAPTURE_ISOLATION);
    if (!event->stream || event->stream == stream) return SUCCESS;
    Stream* other = event->stream;
    uint64_t number = event->position;
    return fail(submit(handle, "wait for an event",
                       [=] { return streams.count(other) ? run_until(*other, number) : SUCCESS; }));
}

int rt_cudaLaunchHostFunc(void* stream, void (*function)(void*), void* data) {
    Locked locked;
    return fail(submit(stream, "host function", [=] {
        function(data);
        return SUCCESS;
    }));
}

int rt_cudaStreamAddCallback(void* stream, void (*function)(void*, int, void*), void* data, unsigned) {
    Locked locked;
    return fail(submit(stream, "host function", [=] {
        function(stream, SUCCESS, data);
        return SUCCESS;
    }));
}

// ---------------------------------------------------------------- capture and graphs

int rt_cudaStreamIsCapturing(void* handle, int* status) {
    Locked locked;
    Stream* stream = find_stream(handle);
    if (!stream) return fail(INVALID_RESOURCE_HANDLE);
    if (stream == &legacy_stream)
        for (Stream* other : streams)
            if (other->capture && other->blocking) return fail(CAPTURE_IMPLICIT);
    *status = stream->capture ? (stream->invalidated ? 2 : 1) : 0;
    return SUCCESS;
}

int rt_cudaStreamBeginCapture(void* handle, int mode) {
    Locked locked;
    Stream* stream = find_stream(handle);
    if (!stream) return fail(INVALID_RESOURCE_HANDLE);
    if (stream == &legacy_stream) return fail(CAPTURE_UNSUPPORTED);
    if (stream->capture) return fail(INVALID_VALUE);
    if (trace) std::fprintf(trace, "begin capture, mode %d\n", mode);
    count("capture");
    drain(*stream);
    stream->capture = std::make_unique<Graph>();
    stream->capture_mode = mode;
    stream->capturing_thread = std::this_thread::get_id();
    stream->invalidated = false;
    return SUCCESS;
}

int rt_cudaStreamEndCapture(void* handle, void** graph) {
    Locked locked;
    Stream* stream = find_stream(handle);
    *graph = nullptr;
    if (!stream) return fail(INVALID_RESOURCE_HANDLE);
    if (!stream->capture) return fail(CAPTURE_UNMATCHED);
    if (trace)
        std::fprintf(trace, "end capture: %zu nodes%s\n", stream->capture->work.size(),
                     stream->invalidated ? ", invalidated" : "");
    std::unique_ptr<Graph> captured = std::move(stream->capture);
    stream->allocated.clear();
    if (stream->invalidated) return fail(CAPTURE_INVALIDATED);
    *graph = captured.release();
    return SUCCESS;
}

int rt_cudaGraphInstantiate(void** executable, void* graph, unsigned long long) {
    Locked locked;
    *executable = new Graph(*static_cast<Graph*>(graph));
    return SUCCESS;
}
int rt_cudaGraphDestroy(void* graph) {
    Locked locked;
    delete static_cast<Graph*>(graph);
    return SUCCESS;
}
int rt_cudaGraphExecDestroy(void* graph) {
    Locked locked;
    drain_all();  // CUDA keeps the graph as long as it runs
    delete static_cast<Graph*>(graph);
    return SUCCESS;
}
int rt_cudaGraphUpload(void*, void* handle) {
    Locked locked;
    Stream* stream = find_stream(handle);
    return stream ? stream->capture ? invalidate(*stream, CAPTURE_UNSUPPORTED) : SUCCESS
                  : fail(INVALID_RESOURCE_HANDLE);
}

int rt_cudaGraphLaunch(void* graph, void* handle) {
    Locked locked;
    auto executable = static_cast<Graph*>(graph);
    return fail(submit(handle, "graph launch", [=] {
        for (const Work& work : executable->work)
            if (int error = run_work(work)) return error;
        return int(SUCCESS);
    }));
}
}
