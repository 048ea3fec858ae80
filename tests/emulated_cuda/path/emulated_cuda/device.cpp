// The core of the emulated device: settings, memory, streams, and captures.
#include "device.h"

#include <sys/mman.h>

#include <cstring>
#include <mutex>

bool lazy = false, strict = false;
size_t total_memory = size_t(4) << 30, used_memory = 0;
FILE* trace = nullptr;
std::map<std::string, long> counts;
std::map<uintptr_t, Block> device_blocks;
std::map<uintptr_t, size_t> pinned_blocks;
Stream legacy_stream;
std::set<Stream*> streams;

int last_error = SUCCESS;

namespace {
std::recursive_mutex device_lock;
std::map<uint64_t, Stream*> owners;  // the stream on which CuPy's pool allocated a block
const size_t PAGE = 4096, GRANULE = 512;

template <class Blocks>
auto find_block(Blocks& blocks, const void* pointer) {
    auto next = blocks.upper_bound(reinterpret_cast<uintptr_t>(pointer));
    return next == blocks.begin() ? blocks.end() : std::prev(next);
}

// Whether a capture forbids this thread to call what may synchronize, such as cudaMalloc.
bool refuses_unsafe_calls(const Stream& stream) {
    if (stream.capture_mode == GLOBAL) return true;
    return (strict || stream.capture_mode == THREAD_LOCAL) && stream.capturing_thread == std::this_thread::get_id();
}

int drain_blocking_streams() {
    int error = SUCCESS;
    for (Stream* stream : streams)
        if (stream->blocking)
            if (int result = drain(*stream)) error = result;
    return error;
}
}  // namespace

Locked::Locked() { device_lock.lock(); }
Locked::~Locked() { device_lock.unlock(); }

void count(const std::string& event) { ++counts[event]; }
void complain(const char* message) { std::fprintf(stderr, "emulated CUDA: %s\n", message); }

int fail(int error) {
    if (error != SUCCESS && error != NOT_READY) {
        last_error = error;
        if (trace) std::fprintf(trace, "  error %d\n", error);
    }
    return error;
}

// ---------------------------------------------------------------- memory

bool within_device(const void* pointer, size_t bytes) {
    auto block = find_block(device_blocks, pointer);
    return block != device_blocks.end() &&
           reinterpret_cast<uintptr_t>(pointer) + bytes <= block->first + block->second.bytes;
}

bool is_pinned(const void* pointer) {
    auto block = find_block(pinned_blocks, pointer);
    return block != pinned_blocks.end() && reinterpret_cast<uintptr_t>(pointer) < block->first + block->second;
}

// The block is filled with NaN and ends at an unmapped page.
int allocate(void** pointer, size_t bytes) {
    *pointer = nullptr;
    if (bytes == 0) return SUCCESS;
    size_t rounded = (bytes + GRANULE - 1) / GRANULE * GRANULE;
    if (rounded < bytes || rounded > total_memory - used_memory) return OUT_OF_MEMORY;
    size_t mapped_bytes = (rounded + PAGE - 1) / PAGE * PAGE + PAGE;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* mapped = mmap(nullptr, mapped_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (mapped == MAP_FAILED) return OUT_OF_MEMORY;
    char* end = static_cast<char*>(mapped) + mapped_bytes - PAGE;
    mprotect(end, PAGE, PROT_NONE);
    std::memset(end - rounded, 0xff, rounded);
    device_blocks[reinterpret_cast<uintptr_t>(end - rounded)] = {rounded, static_cast<char*>(mapped), mapped_bytes};
    used_memory += rounded;
    *pointer = end - rounded;
    return SUCCESS;
}

// ---------------------------------------------------------------- streams

Stream* find_stream(void* handle) {
    if (reinterpret_cast<uintptr_t>(handle) <= 2) return &legacy_stream;
    auto stream = static_cast<Stream*>(handle);
    return streams.count(stream) ? stream : nullptr;
}

int run_work(const Work& work) {
    count(work.kind);
    if (trace) std::fprintf(trace, "    %s\n", work.kind.c_str());
    return work.run();
}

int run_until(Stream& stream, uint64_t position) {
    int error = SUCCESS;
    while (stream.completed < position && !stream.queue.empty()) {
        Work work = std::move(stream.queue.front());
        stream.queue.pop_front();
        if (int result = run_work(work)) error = result;
        ++stream.completed;
    }
    return error;
}

int drain(Stream& stream) { return run_until(stream, stream.submitted); }

int drain_all() {
    int error = SUCCESS;
    for (Stream* stream : streams)
        if (int result = drain(*stream)) error = result;
    return error;
}

int submit(void* handle, const std::string& kind, std::function<int()> work) {
    Stream* stream = find_stream(handle);
    if (!stream) return fail(INVALID_RESOURCE_HANDLE);
    if (stream->capture) {
        if (stream->invalidated) return fail(CAPTURE_INVALIDATED);
        if (trace) std::fprintf(trace, "  captured %s\n", kind.c_str());
        stream->capture->work.push_back({kind, std::move(work)});
        return SUCCESS;
    }
    if (stream == &legacy_stream) {
        if (int error = check_legacy()) return error;
        if (int error = drain_blocking_streams()) return error;
        return run_work({kind, std::move(work)});
    }
    stream->queue.push_back({kind, std::move(work)});
    ++stream->submitted;
    return lazy ? SUCCESS : drain(*stream);
}

int synchronize(Stream& stream, const char* event) {
    count(event);
    if (stream.capture) return invalidate(stream, CAPTURE_UNSUPPORTED);
    if (&stream != &legacy_stream) return fail(drain(stream));
    if (int error = check_legacy()) return error;
    return fail(drain_blocking_streams());
}

int synchronize_device(const char* event) {
    count(event);
    for (Stream* stream : streams)
        if (stream->capture) return invalidate(*stream, CAPTURE_UNSUPPORTED);
    return fail(drain_all());
}

// ---------------------------------------------------------------- captures

bool is_capturing(void* handle) {
    Stream* stream = find_stream(handle);
    return stream && stream->capture;
}

int invalidate(Stream& stream, int error) {
    stream.invalidated = true;
    count("capture invalidated");
    return fail(error);
}

int check_safe(const char* call) {
    for (Stream* stream : streams)
        if (stream->capture) {
            count(std::string("during a capture: ") + call);
            if (refuses_unsafe_calls(*stream)) return invalidate(*stream, CAPTURE_UNSUPPORTED);
        }
    return SUCCESS;
}

int check_legacy() {
    for (Stream* stream : streams)
        if (stream->capture && (stream->blocking || refuses_unsafe_calls(*stream)))
            return invalidate(*stream, stream->blocking ? CAPTURE_IMPLICIT : CAPTURE_UNSUPPORTED);
    return SUCCESS;
}

// ---------------------------------------------------------------- for __init__.py

extern "C" {

// Fill a block with NaN, in stream order, when CuPy's pool hands it out and when it takes it back. A block that is
// handed out and taken back during a capture is filled at every replay. `id` identifies the block.
void emu_poison(uint64_t id, void* pointer, size_t bytes, void* handle, int is_allocation) {
    Locked locked;
    if (!within_device(pointer, bytes)) return;
    const char* kind = "(poison)";  // not counted as the program's work
    auto work = [=] {
        std::memset(pointer, 0xff, bytes);
        return SUCCESS;
    };
    if (is_allocation) {
        Stream* stream = owners[id] = find_stream(handle);
        if (stream && stream->capture) {
            stream->allocated.insert(id);
            stream->capture->work.push_back({kind, work});
            work();
        } else if (stream && lazy) {
            submit(stream, kind, work);
        } else {
            work();
        }
        return;
    }
    for (Stream* stream : streams)
        if (stream->capture && stream->allocated.erase(id)) {
            stream->capture->work.push_back({kind, work});
            return;
        }
    auto found = owners.find(id);
    Stream* owner = found == owners.end() ? nullptr : found->second;
    if (found != owners.end()) owners.erase(found);
    if (owner != &legacy_stream && !streams.count(owner)) owner = nullptr;
    if (owner && owner != &legacy_stream && lazy && !owner->capture) {
        submit(owner, kind, work);
    } else {
        if (owner) drain(*owner);
        work();
    }
}

// Return "event=number" line by line; valid until the next call.
const char* emu_counts() {
    Locked locked;
    static std::string text;
    text.clear();
    for (auto& [event, number] : counts) text += event + "=" + std::to_string(number) + "\n";
    return text.c_str();
}

void emu_reset_counts() {
    Locked locked;
    counts.clear();
}
}
