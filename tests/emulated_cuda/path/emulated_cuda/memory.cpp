// The CUDA runtime's memory: allocation, copies and fills. See runtime.cpp.
#include "device.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace {
const size_t PAGE = 4096;

bool on_device(const void* pointer) { return within_device(pointer, 1); }

enum { HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, DEFAULT };

int copy(void* to, const void* from, size_t bytes, int kind, void* stream_handle, bool waits) {
    if (bytes == 0) return SUCCESS;
    const bool from_device = on_device(from), to_device = on_device(to);
    if (kind == DEFAULT)
        kind = from_device ? (to_device ? DEVICE_TO_DEVICE : DEVICE_TO_HOST)
               : to_device ? HOST_TO_DEVICE
                           : HOST_TO_HOST;
    const bool wants_from = kind == DEVICE_TO_HOST || kind == DEVICE_TO_DEVICE;
    const bool wants_to = kind == HOST_TO_DEVICE || kind == DEVICE_TO_DEVICE;
    if (wants_from != from_device || wants_to != to_device || (from_device && !within_device(from, bytes)) ||
        (to_device && !within_device(to, bytes))) {
        complain("a copy whose addresses do not fit its kind or its size");
        return fail(INVALID_VALUE);
    }
    static const char* const names[] = {"copy HtoH", "copy HtoD", "copy DtoH", "copy DtoD"};
    Stream* stream = find_stream(stream_handle);
    if (!stream) return fail(INVALID_RESOURCE_HANDLE);
    const void* host = kind == HOST_TO_DEVICE ? from : kind == DEVICE_TO_HOST ? to : nullptr;
    const bool pageable = host && !is_pinned(host);
    if (pageable) count("copy of pageable memory");
    if (stream->capture && (pageable || waits || kind == HOST_TO_HOST)) return invalidate(*stream, CAPTURE_UNSUPPORTED);
    if (waits && stream == &legacy_stream)
        if (int error = check_legacy()) return error;
    std::function<int()> work = [=] {
        std::memmove(to, from, bytes);
        return SUCCESS;
    };
    if (pageable && kind == HOST_TO_DEVICE && !waits) {  // CUDA stages pageable memory before it returns
        auto staged =
            std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
        work = [=] {
            std::memcpy(to, staged->data(), bytes);
            return SUCCESS;
        };
    }
    int error = submit(stream_handle, names[kind], work);
    if (error == SUCCESS && (waits || (pageable && kind == DEVICE_TO_HOST))) error = drain(*stream);
    if (waits) count("synchronize for a copy");
    return fail(error);
}

int fill(void* pointer, int value, size_t bytes, void* stream, bool waits) {
    if (bytes == 0) return SUCCESS;
    if (!within_device(pointer, bytes)) {
        complain("a memset outside of device memory");
        return fail(INVALID_VALUE);
    }
    if (waits)
        if (int error = check_legacy()) return error;
    return fail(submit(stream, "memset", [=] {
        std::memset(pointer, value, bytes);
        return SUCCESS;
    }));
}
}  // namespace

extern "C" {

int rt_cudaMalloc(void** pointer, size_t bytes) {
    Locked locked;
    count("malloc");
    if (int error = check_safe("malloc")) return error;
    return fail(allocate(pointer, bytes));
}

int rt_cudaFree(void* pointer) {
    Locked locked;
    if (!pointer) return SUCCESS;
    count("free");
    if (int error = check_safe("free")) return error;
    auto block = device_blocks.find(reinterpret_cast<uintptr_t>(pointer));
    if (block == device_blocks.end()) return fail(INVALID_VALUE);
    drain_all();  // as CUDA does
    munmap(block->second.mapped, block->second.mapped_bytes);
    used_memory -= block->second.bytes;
    device_blocks.erase(block);
    return SUCCESS;
}

int rt_cudaHostAlloc(void** pointer, size_t bytes, unsigned) {
    Locked locked;
    count("malloc host");
    if (int error = check_safe("malloc host")) return error;
    *pointer = std::aligned_alloc(PAGE, (bytes + PAGE) / PAGE * PAGE);
    if (!*pointer) return fail(OUT_OF_MEMORY);
    std::memset(*pointer, 0xff, bytes);
    pinned_blocks[reinterpret_cast<uintptr_t>(*pointer)] = bytes;
    return SUCCESS;
}

int rt_cudaFreeHost(void* pointer) {
    Locked locked;
    if (!pointer) return SUCCESS;
    if (int error = check_safe("free host")) return error;
    if (!pinned_blocks.erase(reinterpret_cast<uintptr_t>(pointer))) return fail(INVALID_VALUE);
    drain_all();
    std::free(pointer);
    return SUCCESS;
}

int rt_cudaHostRegister(void* pointer, size_t bytes, unsigned) {
    Locked locked;
    pinned_blocks[reinterpret_cast<uintptr_t>(pointer)] = bytes;
    return SUCCESS;
}

int rt_cudaHostUnregister(void* pointer) {
    Locked locked;
    return pinned_blocks.erase(reinterpret_cast<uintptr_t>(pointer)) ? SUCCESS : fail(INVALID_VALUE);
}

int rt_cudaPointerGetAttributes(void* attributes, const void* pointer) {
    Locked locked;
    struct Attributes {
        int type, device;
        const void *on_device, *on_host;
    } known = {0, -2, nullptr, pointer};
    if (on_device(pointer))
        known = {2, 0, pointer, nullptr};
    else if (is_pinned(pointer))
        known = {1, 0, pointer, pointer};
    std::memcpy(attributes, &known, sizeof known);
    return SUCCESS;
}

int rt_cudaMemcpy(void* to, const void* from, size_t bytes, int kind) {
    Locked locked;
    return copy(to, from, bytes, kind, nullptr, true);
}
int rt_cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, void* stream) {
    Locked locked;
    return copy(to, from, bytes, kind, stream, false);
}
int rt_cudaMemcpyPeer(void* to, int, const void* from, int, size_t bytes) {
    Locked locked;
    return copy(to, from, bytes, DEVICE_TO_DEVICE, nullptr, true);
}
int rt_cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t bytes, void* stream) {
    Locked locked;
    return copy(to, from, bytes, DEVICE_TO_DEVICE, stream, false);
}
int rt_cudaMemset(void* pointer, int value, size_t bytes) {
    Locked locked;
    return fill(pointer, value, bytes, nullptr, true);
}
int rt_cudaMemsetAsync(void* pointer, int value, size_t bytes, void* stream) {
    Locked locked;
    return fill(pointer, value, bytes, stream, false);
}
}
